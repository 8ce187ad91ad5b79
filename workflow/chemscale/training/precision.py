"""Precision of the training step, and whether it is compiled: chosen by a short probe where there is time to gain."""

import logging
import math
import time
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from itertools import islice
from pathlib import Path

import torch

from chemscale.files import read_json, write_json
from chemscale.training import distributed

LOG = logging.getLogger(__name__)

WORTH = 180.0  # seconds of training ahead below which a probe is not worth its time
STEPS = 3  # timed, of each candidate, over the same batches
GAIN = 0.9  # share of the float32 step's time that another candidate must stay below
AGREE = 0.01  # relative difference of a loss from that in float32 above which a candidate is refused


def device() -> str:
    """Where training runs: the first visible GPU, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def in_precision(precision: str) -> AbstractContextManager:
    """Context of a forward pass in "float32" or "bfloat16"; of the latter are matrix products alone, never weights."""
    return torch.autocast(device(), torch.bfloat16) if precision == "bfloat16" else nullcontext()


def settle_precision(task, steps: int, state: Path) -> dict:
    """Precision of this run: as its settings say, or by a probe. Kept in `state`, so that a resumed run goes on in it.

    `steps` is how many the run has. The result holds `precision`, `compiled`, and either the seconds a step took in
    each candidate with the loss it gave, or the reason why none was tried.
    """
    asked = task.settings["training"].get("precision", "float32")
    if asked != "probe":
        return _use(task, {"precision": asked, "compiled": False, "probe": "not asked for"})
    path = state / "precision.json"
    if distributed.first() and not path.exists():
        write_json(path, _probe(task, steps))
    while not path.exists():  # another process probes
        time.sleep(0.2)
    return _use(task, read_json(path))


def _use(task, chosen: dict) -> dict:
    if chosen["compiled"]:
        task.trained = torch.compile(task.model, dynamic=True)  # batches differ in both dimensions
    return chosen


def _probe(task, steps: int) -> dict:
    """Time candidates on copies of the model, side by side on the same batches; the run's own state is not touched."""
    batches = [parts[0] for parts in islice(task.batches(first=0, device=device()), STEPS + 1)]
    seconds, losses = _measure(task, batches[:2], "float32", compiled=False)
    if seconds * steps < WORTH:
        return {
            "precision": "float32",
            "compiled": False,
            "probe": f"not worth it for {seconds * steps:.0f} s of training",
        }
    compiled = (False, True) if device() == "cuda" else (False,)  # on a CPU 1-2 % for minutes of compiling
    candidates = [("float32", False), *(("bfloat16", c) for c in compiled)]
    tried = []
    for precision, compile_it in candidates:
        seconds, losses = _measure(task, batches, precision, compile_it)
        loss = losses[-1] if math.isfinite(losses[-1]) else None
        tried.append({"precision": precision, "compiled": compile_it, "step_seconds": seconds, "loss": loss})
    base = tried[0]

    def fits(trial: dict) -> bool:
        agrees = None not in (trial["loss"], base["loss"]) and abs(trial["loss"] / base["loss"] - 1) < AGREE
        return agrees and trial["step_seconds"] < GAIN * base["step_seconds"]

    best = min(filter(fits, tried[1:]), key=lambda t: t["step_seconds"], default=base)
    LOG.info(f"precision: {best['precision']}{', compiled' if best['compiled'] else ''}")
    return {"precision": best["precision"], "compiled": best["compiled"], "probe": tried}


def _measure(task, batches: list, precision: str, compiled: bool) -> tuple[float, list[float]]:
    """Seconds of the fastest training step over `batches` after the first, and the losses of all of them."""
    model = deepcopy(task.model).to(device())
    own, task.trained = task.trained, torch.compile(model, dynamic=True) if compiled else model
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    times, losses = [], []
    try:
        for batch in batches:
            start = time.perf_counter()
            optimiser.zero_grad()
            with in_precision(precision):
                loss, _ = task.loss(batch)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())  # waits for the device
            times.append(time.perf_counter() - start)
    finally:
        task.trained = own
    return min(times[1:]), losses
