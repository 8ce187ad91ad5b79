"""Precision of the training step, and whether it is compiled: chosen by a short probe where there is time to gain."""

import logging
import math
import time
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from chemscale.files import read_json, write_json
from chemscale.training import distributed
from chemscale.training.devices import device
from chemscale.training.tasks import Task

LOG = logging.getLogger(__name__)

FLOAT32 = {"precision": "float32", "compiled": False, "probe": "not requested"}
MIN_SECONDS_TO_PROBE = 180.0  # shorter trainings do not gain what a probe costs
PROBE_STEPS = 3  # timed per candidate, over the same batches
MAX_TIME_RATIO = 0.9  # a candidate's step must take less than this share of the float32 step
MAX_LOSS_DIFFERENCE = 0.01  # relative to the loss in float32; a candidate must differ by less


def in_precision(precision: str) -> AbstractContextManager:
    """Return the context of a forward pass in "float32" or "bfloat16", which is for matrix products, never weights."""
    return torch.autocast(device(), torch.bfloat16) if precision == "bfloat16" else nullcontext()


def choose_precision(task: Task, steps: int, state: Path) -> dict[str, Any]:
    """Return the precision that the settings name, or that a probe finds best for a training of `steps` steps.

    The result holds `precision`, `compiled`, and as `probe` either the seconds per step and the loss of each candidate
    or the reason why none was tried. It is kept in `state`, so that a resumed training goes on in the same precision.
    """
    asked = task.settings.training.precision
    if asked != "probe":
        return _use(task, FLOAT32 | {"precision": asked})
    path = state / "precision.json"
    if distributed.first() and path.exists() and not path.stat().st_size:
        path.unlink()  # cut off by a crash of the machine
    if distributed.first() and not path.exists():
        write_json(path, _probe(task, steps))
    while not path.exists():  # another process probes
        time.sleep(0.2)
    return _use(task, read_json(path))


def _use(task: Task, chosen: dict[str, Any]) -> dict[str, Any]:
    if chosen["compiled"]:
        task.trained = torch.compile(task.model, dynamic=True)  # batches differ in both dimensions
    return chosen


def _probe(task: Task, steps: int) -> dict[str, Any]:
    """Time the candidates on copies of the model, on the same batches; the state of the training is not touched."""
    batches = [micro_batches[0] for micro_batches in islice(task.batches(first=0, device=device()), PROBE_STEPS + 1)]
    seconds, losses = _measure(task, batches[:2], "float32", compiled=False)
    if seconds * steps < MIN_SECONDS_TO_PROBE:
        return FLOAT32 | {"probe": f"not worth it for {seconds * steps:.0f} s of training"}
    compiled = (False, True) if device() == "cuda" else (False,)  # on a CPU 1-2 % for minutes of compilation
    candidates = [("float32", False), *(("bfloat16", c) for c in compiled)]
    tried: list[dict[str, Any]] = []
    for precision, compile_it in candidates:
        seconds, losses = _measure(task, batches, precision, compile_it)
        loss = losses[-1] if math.isfinite(losses[-1]) else None
        tried.append({"precision": precision, "compiled": compile_it, "step_seconds": seconds, "loss": loss})
    base = tried[0]

    def fits(trial: dict) -> bool:
        agrees = None not in (trial["loss"], base["loss"])
        agrees = agrees and abs(trial["loss"] / base["loss"] - 1) < MAX_LOSS_DIFFERENCE
        return agrees and trial["step_seconds"] < MAX_TIME_RATIO * base["step_seconds"]

    best = min(filter(fits, tried[1:]), key=lambda t: t["step_seconds"], default=base)
    LOG.info(f"precision: {best['precision']}{', compiled' if best['compiled'] else ''}")
    return {"precision": best["precision"], "compiled": best["compiled"], "probe": tried}


def _measure(task: Task, batches: list, precision: str, compiled: bool) -> tuple[float, list[float]]:
    """Return the seconds of the fastest training step over `batches` after the first, and all losses."""
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
