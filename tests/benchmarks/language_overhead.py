"""What is not arithmetic: the start of `chemscale train`, and the loop about a small model's step.

The loop is measured at the slim width of 32 (25,280 parameters but for embeddings) against a bare one: same loss,
optimiser, clipping and stream of batches, nothing else. Ours adds the schedule, Lightning and its hooks, the
bookkeeping of work and losses and the checks that they are finite. Neither evaluates or saves in between.
"""

import json
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch
from interleaved import Window, interleave, rates, ratio
from language_corpus import corpus

from chemscale.config.cell_settings import CellSettings
from chemscale.training.attempts import Attempts
from chemscale.training.checkpoints import Checkpointing
from chemscale.training.evaluation import Evaluation
from chemscale.training.loop import TrainingModule, fit
from chemscale.training.tasks import make_task

WIDTH = 32
BATCHES = (320, 1200)  # tokens: the default study's, the default
STEPS, WARM = 150, 30
MOLECULES = 2000
SETTINGS = {
    "study": "benchmark",
    "arm": "language",
    "family": "chemgpt-slim",
    "size": f"w{WIDTH}",
    "width": WIDTH,
    "seed": 0,
    "recipe": 1,
    "tuning": None,
    "learning_rate": 1e-3,
}
TRAINING = {
    "evaluations": 1,
    "patience": 9,
    "weight_decay": 0.1,
    "warmup": 0.05,
    "schedule": "cosine",
    "clip": 1.0,
}


def settings(dataset: Path, molecules: int, batch_tokens: int, steps: int) -> CellSettings:
    """A cell of exactly `steps` steps."""
    count = {"per_sqrt_example": 0, "epochs": 0, "minimum": steps, "maximum": steps}
    training = TRAINING | {"batch_tokens": batch_tokens, "steps": count}
    return CellSettings.from_json(SETTINGS | {"dataset": str(dataset), "data": molecules, "training": training})


class Stamped:
    """Batches that note the CPU and wall time whenever one is asked for."""

    def __init__(self, batches):
        self.batches, self.times = batches, []

    def __iter__(self):
        for parts in self.batches:
            self.times.append((time.process_time(), time.perf_counter()))
            yield parts

    def window(self, steps: int) -> tuple[float, float]:
        """CPU and wall seconds of the last `steps` steps but one."""
        (cpu, wall), (last_cpu, last_wall) = self.times[-steps - 1], self.times[-1]
        return last_cpu - cpu, last_wall - wall


def stamp(task) -> Stamped:
    """Have `task` hand out its batches through a `Stamped`."""
    batches, holder = task.batches, Stamped(())

    def stamped(*arguments, **keywords):
        holder.batches = batches(*arguments, **keywords)
        return holder

    task.batches = stamped
    return holder


def lightning(wanted: CellSettings) -> Stamped:
    """Train by `fit` as `chemscale train` does."""
    task = make_task(wanted)
    stamped = stamp(task)
    with tempfile.TemporaryDirectory() as state:
        checkpointing = Checkpointing(Path(state), "", 1e9, Attempts(Path(state)))
        fit(TrainingModule(task, Evaluation(1, 9)), checkpointing, resume=None)
    return stamped


def bare(wanted: CellSettings) -> Stamped:
    """Train by a loop of five lines."""
    task = make_task(wanted)
    stamped = stamp(task)
    optimiser = TrainingModule(task, Evaluation(1, 9)).configure_optimizers()["optimizer"]
    for parts in islice(task.batches(first=0), wanted.training.steps.minimum):
        optimiser.zero_grad()
        for part in parts:
            task.loss(part)[0].backward()
        torch.nn.utils.clip_grad_norm_(task.model.parameters(), TRAINING["clip"])
        optimiser.step()
    return stamped


class Loop:
    """A peer of `interleave` whose windows leave out start and end."""

    def __init__(self, loop, wanted: CellSettings):
        self.loop, self.wanted = loop, wanted
        self.windows: list[tuple[float, float]] = []

    def __call__(self) -> int:
        self.windows.append(self.loop(self.wanted).window(STEPS - WARM))
        return STEPS - WARM

    def inner(self, outer: list[Window]) -> list[Window]:
        """`outer` windows with the seconds of the steps alone; of repeated ones the last counts."""
        return [
            w._replace(cpu=cpu, wall=wall) for w, (cpu, wall) in zip(outer, self.windows[-len(outer) :], strict=True)
        ]


def measure(rounds: int) -> dict:
    """Tables by name."""
    with tempfile.TemporaryDirectory() as directory:
        data = corpus(Path(directory), MOLECULES)
        molecules = data.header["molecules"]["train"]
        wanted = {tokens: settings(Path(directory), molecules, tokens, STEPS) for tokens in BATCHES}
        loops = {
            (tokens, name): Loop(loop, wanted[tokens])
            for tokens in BATCHES
            for name, loop in (("bare", bare), ("chemscale", lightning))
        }
        outer = interleave(loops, rounds)
        inner = {key: loop.inner(outer[key]) for key, loop in loops.items()}
        rows = []
        for (tokens, name), windows in inner.items():
            of_loop = rates(windows)
            rows.append({
                "batch tokens": tokens, "loop": name,
                "ms a step, best": 1e3 / of_loop["best"], "ms a step, median": 1e3 / of_loop["median"],
                "overhead": 1 / ratio(windows, inner[tokens, "bare"]) - 1, "target": 0.1 if name != "bare" else None,
                "load": of_loop["load"], "unsteady": of_loop["unsteady"],
            })  # fmt: skip
        return {"loop": rows, "start": start_up(wanted[BATCHES[0]], rounds)}


def start_up(wanted: CellSettings, rounds: int) -> list[dict]:
    """Seconds of `chemscale train` on a cell of two steps, as a process of its own, and of what it imports."""
    steps = {"per_sqrt_example": 0, "epochs": 0, "minimum": 2, "maximum": 2}
    content = wanted.to_json()
    content["training"]["steps"] = steps
    rows = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as directory:
            out = Path(directory) / "out"
            whole, whole_wall = _seconds(
                [sys.executable, "-m", "chemscale.cli", "train", "-", "--out", str(out), "--gpus", "0"],
                json.dumps(content),
            )
            metrics = json.loads((out / "metrics.json").read_text())
        torch_, torch_wall = _seconds([sys.executable, "-c", "import torch"])
        imports, imports_wall = _seconds([sys.executable, "-c", "import chemscale.training.run"])
        rows.append({
            "train with two steps: wall": whole_wall, "CPU": whole,
            "of it before the task, CPU": metrics["startup_cpu_seconds"],
            "imports: wall": imports_wall, "imports: CPU": imports,
            "torch alone: wall": torch_wall, "torch alone: CPU": torch_, "target": 6.0,
        })  # fmt: skip
    return sorted(rows, key=lambda row: row["train with two steps: wall"])


def _seconds(command: list[str], stdin: str = "") -> tuple[float, float]:
    """CPU and wall seconds of a process."""
    import resource

    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, input=stdin, text=True, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - start
