"""Time, memory and GPUs of every job of a study, from the work that it does and what the cluster allows.

Nothing here imports torch: Snakemake asks for these numbers at every start, on the head node and in every job.
"""

import math
from dataclasses import dataclass

from chemscale.study.grid import ATOMS_PER_STRUCTURE, PAIRS_PER_ATOM, TOKENS_PER_MOLECULE, Cell, Work, sweep_work
from chemscale.study.site import Site

CPU_FLOPS = 5e9  # per second on one core, at the small shapes that run there
GPU_FLOPS = 5e13
SECONDS_PER_LAUNCH = 1e-3  # lower bound of forward, backward and optimiser of one layer, however small it is
CPU_HOURS = 4  # cells above this go to a GPU

MARGIN = 2  # time limit / estimated time; a longer training continues in another job
USE_MARGIN = 4  # the same for generation, simulation and evaluation, which would start again
SHORTEST_LIMIT = 10  # minutes: imports on a cold file system, reading of the data

SECONDS_PER_GENERATED = 0.02  # validity and properties of one molecule
MOLECULES_PER_BATCH = 500
STEPS_PER_RELAXATION = 200  # mean for one molecule
STRUCTURES = 10_000  # assumed of a dataset that does not say how many it has
ATOMS_PER_BATCH = 512
ARM_OF_USE = {"generate": "language", "simulate": "potential", "evaluate": "potential"}  # by name of the command


@dataclass(frozen=True)
class Estimate:
    """Needs of one job: wall seconds without margin, memory in MB, GPUs."""

    family: str
    seconds: float
    mem_mb: int
    gpu: int
    margin: float = MARGIN


def estimate(cell: Cell, site: Site | None = None) -> Estimate:
    """Return the time, memory and GPUs of the training of a cell."""
    return _estimate(cell.family, cell.work, site, cell.gpus)


def estimate_sweep(config: dict, arm: str, family: str, site: Site | None = None) -> Estimate:
    """Return the time, memory and GPUs of a family's sweep of learning rates: one job trains all its trials."""
    return _estimate(family, sweep_work(config, arm, family), site)


def estimate_use(config: dict, use: str, cell: Cell, datasets: dict[str, dict], site: Site | None = None) -> Estimate:
    """Return the time, memory and GPUs of a `use` of a trained cell: generate, simulate or evaluate.

    The entries of `datasets` state sizes.
    """
    gpu = min(1, estimate(cell).gpu)
    work, more = {"generate": _generation, "simulate": _simulation, "evaluate": _evaluation}[use](
        config[cell.arm], cell, datasets
    )
    seconds = _seconds(cell.family, work, gpu, site) + more
    return Estimate(cell.family, seconds, _memory(work), gpu, USE_MARGIN)


def uses(config: dict, cell: Cell) -> list[str]:
    """Return the uses that a study makes of a trained cell; generation and simulation are by each cell's first run."""
    options = config[cell.arm]
    wanted = {"generate": options.get("generate"), "simulate": options.get("simulate")}
    found = [use for use, asked in wanted.items() if asked and cell.seed == 0]
    return found + (["evaluate"] if options.get("evaluate_on") else [])


def seconds_of(work: Work, gpus: int) -> float:
    """Return the wall seconds of work on so many GPUs, or on one core, at the speed of no machine in particular."""
    return max(work.flops / (GPU_FLOPS * gpus or CPU_FLOPS), work.launches * SECONDS_PER_LAUNCH)


def resources(found: Estimate, attempt: int = 1, site: Site | None = None) -> dict[str, int]:
    """Return what a job asks a scheduler for: mem_mb, runtime in minutes, gpu.

    The time limit is the same for every attempt and within what the site allows: a training that needs longer saves
    its state, stops, and goes on in a further job. Memory is doubled from the third attempt on, up to what the site
    allows. Snakemake does not tell an attempt why the one before failed: the second, with equal memory, is for jobs
    that were cancelled or lost, and the further ones are for jobs that ran out of memory.
    """
    nodes = (site or Site()).nodes(found.gpu)
    minutes = max(SHORTEST_LIMIT, math.ceil(found.margin * found.seconds / 60))
    memory = found.mem_mb * 2 ** max(0, attempt - 2)
    return {
        "mem_mb": min(memory, nodes.max_mem_mb or memory),
        "runtime": min(minutes, nodes.max_runtime),
        "gpu": found.gpu,
    }


def _estimate(family: str, work: Work, site: Site | None, gpus: int = 1) -> Estimate:
    gpu = gpus if work.flops / CPU_FLOPS > 3600 * CPU_HOURS else 0
    return Estimate(family, _seconds(family, work, gpu, site), _memory(work) * max(1, gpu), gpu)


def _seconds(family: str, work: Work, gpu: int, site: Site | None) -> float:
    measured = site.calibration.get(family, {}).get("gpu" if gpu else "cpu", 1.0) if site else 1.0
    return measured * seconds_of(work, gpu)


def _memory(work: Work) -> int:
    """Return memory in MB: libraries, and 64 bytes per parameter.

    20 bytes are for weights, gradients, Adam's moments and best weights, the rest for activations.
    """
    return round(2500 + 4 * 16 * work.parameters / 1e6)


def _generation(options: dict, cell: Cell, datasets: dict[str, dict]) -> tuple[Work, float]:
    asked = options["generate"]
    batches = math.ceil(asked["molecules"] / MOLECULES_PER_BATCH)
    steps = batches * datasets[options["dataset"]]["max_tokens"]
    layers = 24  # at most, of any family
    tokens = TOKENS_PER_MOLECULE * asked["molecules"]
    work = Work(cell.work.parameters, 2 * cell.work.parameters * tokens, layers * steps)
    return work, SECONDS_PER_GENERATED * (asked["molecules"] + asked["reference"])


def _simulation(options: dict, cell: Cell, datasets: dict[str, dict]) -> tuple[Work, float]:
    asked = options["simulate"]
    steps = 2 * asked["picoseconds"] * 1000 / asked["step_fs"]  # isolated, and in a heat bath; all molecules at once
    relaxations = STEPS_PER_RELAXATION * asked["molecules"]  # one molecule at a time
    structures = steps * asked["molecules"] + relaxations
    return _forces(cell, structures, steps + relaxations), 0.0


def _evaluation(options: dict, cell: Cell, datasets: dict[str, dict]) -> tuple[Work, float]:
    structures = sum(_structures(datasets[name]) for name in options["evaluate_on"])
    return _forces(cell, structures, structures * ATOMS_PER_STRUCTURE / ATOMS_PER_BATCH), 0.0


def _structures(entry: dict) -> int:
    return entry.get("structures") or entry.get("molecules", STRUCTURES) * entry.get("geometries_per_molecule", 1)


def _forces(cell: Cell, structures: float, passes: float) -> Work:
    """Return the work of energies and forces: half that of a training step on as many atoms."""
    flops = 6 * cell.work.parameters * PAIRS_PER_ATOM / 3 * ATOMS_PER_STRUCTURE * structures
    layers = cell.settings.depth or 1
    return Work(cell.work.parameters, flops, round(4 * layers * passes))
