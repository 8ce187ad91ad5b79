"""Whether a training runs compiled: decided by the time that lies ahead, and verified against eager."""

import logging
import math
import time
from contextlib import suppress
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from chemscale.errors import ChemscaleError
from chemscale.files import read_json, write_json
from chemscale.geometries import keys
from chemscale.training import distributed
from chemscale.training.devices import device
from chemscale.training.tasks import Task

LOG = logging.getLogger(__name__)

FIRST_SECONDS = 40.0  # to trace and compile a step for the first time, roughly; others of its size then gain too
CACHED_SECONDS = 6.0  # the same from the cache of an earlier run
TYPICAL_GAIN = 0.4  # of the time of a step
TRIED_STEPS = 3  # of each, over the same batches
MAX_TIME_RATIO = 0.9  # a compiled step must take less than this share of the eager one
MAX_DIFFERENCE = 1e-4  # of loss and gradients, relative to the largest entry; rounding stays below 1e-5

STEPS: dict[str, Any] = {}  # compiled by this process, by key: the trials of a sweep share them


def choose_compilation(task: Task, steps: int, state: Path) -> dict[str, Any]:
    """Return whether the steps of a training are `compiled`, with the reason or the measured times as `probe`.

    The choice is kept in `state`, so that a resumed training takes the same steps; the compiled step is then the task's
    `step`. Only tasks that have one can be compiled.
    """
    if not hasattr(task, "step"):
        return {}
    path = state / "compiled.json"
    try:
        kept = read_json(path) if path.exists() else None
    except ChemscaleError:  # cut off by a crash of the machine
        kept = None
    if kept and not kept["compiled"]:
        return kept
    chosen = _choose(task, steps, decided=kept)
    if distributed.first() and not kept:
        write_json(path, chosen)
    return chosen


def _choose(task: Any, steps: int, decided: dict[str, Any] | None) -> dict[str, Any]:
    from chemscale.training.compiled_step import CompiledStep, compiler, distinct_sizes, use_cache

    if distributed.processes() > 1:
        return _eager("several processes share each step")
    if not compiler():
        return _eager("no C++ compiler is installed")
    batches = [parts[0].batch for parts in islice(task.batches(first=0, device=device()), 4 * TRIED_STEPS)]
    model = deepcopy(task.model).to(device())
    tried = batches[:TRIED_STEPS]
    eager, losses, gradients = _measure(task, model, tried, None)
    cache = Path(task.settings.dataset).parent / ".compiled"
    use_cache(cache)
    note = cache / f"{task.compiled_key}.json"
    before = _noted(note)
    if "failed" in before and not decided:
        return _eager(before["failed"])
    expected = CACHED_SECONDS if before else FIRST_SECONDS
    gain = 1 - before["compiled_seconds"] / before["eager_seconds"] if before else TYPICAL_GAIN
    if task.compiled_key in STEPS:
        expected = 0.0
    if not decided and eager * steps * gain < expected:
        return _eager(f"not worth it for {eager * steps:.0f} s of training")
    example = next((batch for batch in batches if distinct_sizes(model, batch)), None)
    if example is None:
        return _eager("no batch has sizes that differ from those of the model")
    start = time.perf_counter()
    try:
        step = STEPS.get(task.compiled_key) or CompiledStep(model, task.step_loss, example)
        compiled, other_losses, other_gradients = _measure(task, model, tried, step)
    except Exception as error:  # of torch's tracer or compiler, or of the C++ compiler; eager always works
        LOG.warning(f"training is not compiled ({type(error).__name__}: {str(error).splitlines()[0][:200]})")
        return _keep(note, {"failed": f"could not be compiled: {type(error).__name__}"})
    probe: dict[str, float | None] = {"eager_seconds": eager, "compiled_seconds": compiled}
    probe["compilation_seconds"] = time.perf_counter() - start
    difference = _difference([*losses, *gradients], [*other_losses, *other_gradients])
    probe["difference"] = difference if math.isfinite(difference) else None
    if not difference < MAX_DIFFERENCE:
        LOG.warning(f"training is not compiled: gradients differ by {difference:.1g}")
        return _keep(note, {"failed": f"gradients differed by {difference:.1g}"})
    _keep(note, probe)
    if not decided and compiled > MAX_TIME_RATIO * eager:
        return {"compiled": False, "probe": probe}
    task.step = STEPS[task.compiled_key] = step
    LOG.info(f"training is compiled: {1e3 * compiled:.1f} ms a step instead of {1e3 * eager:.1f} ms")
    return decided or {"compiled": True, "probe": probe}


def _keep(note: Path, measured: dict[str, Any]) -> dict[str, Any]:
    """Tell later trainings with the same step what was measured, where the folder can be written."""
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(note, measured | {"torch": torch.__version__})
    return _eager(measured.get("failed", ""))


def _noted(note: Path) -> dict[str, Any]:
    """Return what an earlier training with the same step and version of torch has noted; empty without one."""
    try:
        found = read_json(note) if note.exists() else {}
    except ChemscaleError:
        return {}
    return found if found.get("torch") == torch.__version__ else {}


def _eager(reason: str) -> dict[str, Any]:
    return {"compiled": False, "probe": reason}


def _measure(task: Any, model: Any, batches: list, step: Any) -> tuple[float, list, list]:
    """Return the seconds of the fastest step of two passes over `batches`, their losses, and the last gradients."""
    times, losses = [], []
    for batch in [*batches, *batches]:
        start = time.perf_counter()
        model.zero_grad()
        sizes = len(batch[keys.N_ATOMS]), len(batch[keys.Z])
        loss = step(model, batch, *sizes) if step else task.step_loss(model, batch, *sizes)
        loss.backward()
        losses.append(loss.detach().double().cpu())  # waits for the device
        times.append(time.perf_counter() - start)
    gradients = [p.grad.detach().clone() for p in model.parameters() if p.grad is not None]
    return min(times[1:]), losses, gradients


def _difference(some: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    """Return the largest difference of tensors, relative to the largest entry of each; infinite for unequal counts."""
    if len(some) != len(others):
        return math.inf
    scale = max(float(one.abs().max()) for one in some)
    return max(
        float((one - other).abs().max()) / max(float(one.abs().max()), 1e-3 * scale)
        for one, other in zip(some, others, strict=True)
    )
