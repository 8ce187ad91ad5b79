"""From a complete configuration to the table of cells: what each trains, its size and its cost.

Nothing here imports torch: Snakemake reads this table at every start, on the head node and in every job.
"""

from dataclasses import dataclass

from chemscale.arms import ARMS
from chemscale.config.cell_settings import CellSettings, SweepSettings
from chemscale.config.study_models import (
    ARM_MODELS,
    LanguageArm,
    LanguageTraining,
    PotentialArm,
    PotentialGrid,
    PotentialTraining,
)
from chemscale.models.family import non_embedding
from chemscale.models.registry import language_family, potential_family

VOCABULARY = 64  # of a corpus not yet encoded; enters estimates of cost only
ATOMS_PER_STRUCTURE = 15
PAIRS_PER_ATOM = 15
TOKENS_PER_MOLECULE = 40

CPU_FLOPS = 5e9  # per second on one core, at the small shapes that run there
GPU_FLOPS = 5e13
GPU_SECONDS_PER_LAYER = 1e-3  # lower bound of forward, backward and optimiser of one layer, however small it is
CPU_HOURS = 4  # cells above this go to a GPU


@dataclass(frozen=True)
class Cell:
    """One training run; `settings` holds everything that decides its result."""

    arm: str
    family: str
    size: str  # label, such as w64 or d2-w32
    data: int
    seed: int
    settings: CellSettings
    parameters: int  # non-embedding
    flops: float  # estimated, of the whole training
    launches: int  # layers run in all its steps: the bound of a small model on a GPU
    gpus: int  # to train on at once, if it needs any

    @property
    def name(self) -> str:
        """Identity and path of the cell within its study."""
        return f"{self.arm}/{self.family}/{self.size}/{self.data}/seed{self.seed}"


def cells(config: dict) -> list[Cell]:
    """Return all cells of a complete configuration (`chemscale.config.complete`), small ones first within a family."""
    return [
        _cell(config["study"], arm, options, family, depth, width, data, seed)
        for arm, options in arm_options(config).items()
        for family, choices in options.families.items()
        for depth in (choices.depths if isinstance(choices, PotentialGrid) else [None])
        for width in choices.widths
        for data in options.data
        for seed in range(seeds(options, data))
    ]


def arm_options(config: dict) -> dict[str, LanguageArm | PotentialArm]:
    """Return the arms that a complete configuration has, by name."""
    return {arm: ARM_MODELS[arm].model_validate(config[arm]) for arm in ARMS if arm in config}


def seeds(options: LanguageArm | PotentialArm, data: int) -> int:
    """Return the runs per cell with `data` examples: the smaller half of the sizes, without a middle one, has more."""
    small_half = options.data[: len(options.data) // 2]
    return options.seeds.small_half if data in small_half else options.seeds.large_half


def _cell(
    study: str,
    arm: str,
    options: LanguageArm | PotentialArm,
    family: str,
    depth: int | None,
    width: int,
    data: int,
    seed: int,
) -> Cell:
    shape = {"width": width} if depth is None else {"depth": depth, "width": width}
    size = f"w{width}" if depth is None else f"d{depth}-w{width}"
    learning_rate = options.families[family].learning_rate
    settings = {
        "study": study,
        "arm": arm,
        "family": family,
        "size": size,
        **shape,
        "data": data,
        "seed": seed,
        "dataset": f"results/data/{options.dataset}",
        "learning_rate": learning_rate,
        "tuning": tuning_path(study, arm, family) if learning_rate == "tuned" else None,
        "training": options.training,
        "recipe": options.recipe,
    }
    cost = _cost(family, depth, width, data, options.training)
    return Cell(arm, family, size, data, seed, CellSettings.model_validate(settings), *cost, options.gpus)


def tuning_path(study: str, arm: str, family: str) -> str:
    """Return the path of the tuned learning rates of a family."""
    return f"results/{study}/tuning/{arm}/{family}.json"


def tuned_families(config: dict) -> list[tuple[str, str]]:
    """Return (arm, family) of every family whose learning rate is tuned."""
    return [
        (arm, family)
        for arm, options in arm_options(config).items()
        for family, choices in options.families.items()
        if choices.learning_rate == "tuned"
    ]


def tuning_settings(config: dict, arm: str, family: str) -> SweepSettings:
    """Return the settings of a family's sweep of learning rates."""
    options = arm_options(config)[arm]
    choices = options.families[family]
    settings = {
        "arm": arm,
        "family": family,
        **({"depth": choices.depths[0]} if isinstance(choices, PotentialGrid) else {}),
        "seed": 0,
        "dataset": f"results/data/{options.dataset}",
        "training": options.training,
        "tune": options.tune,
        "recipe": options.recipe,
    }
    return SweepSettings.model_validate(settings)


def _cost(
    family: str, depth: int | None, width: int, data: int, training: LanguageTraining | PotentialTraining
) -> tuple[int, float, int]:
    """Return non-embedding parameters, estimated training FLOPs, and layers run; evaluations are left out."""
    if isinstance(training, LanguageTraining):
        shape = language_family(family).shape(width)
        groups = shape.parameters(VOCABULARY)
        parameters = non_embedding(groups)
        steps = training.steps.budget(data, training.batch_tokens / TOKENS_PER_MOLECULE)
        flops: float = 6 * (parameters + groups["embedding"]) * training.batch_tokens * steps
        return parameters, flops, shape.layers * steps
    layers = depth or 1
    parameters = non_embedding(potential_family(family).parameters(layers, width))
    steps = training.steps.budget(data, training.batch_atoms / ATOMS_PER_STRUCTURE)
    # filters run over pairs, and forces make the step a second derivative
    flops = 12 * parameters * PAIRS_PER_ATOM / 3 * training.batch_atoms * steps
    return parameters, flops, 4 * layers * steps


def tuning_resources(config: dict, arm: str, family: str, attempt: int = 1) -> dict[str, int]:
    """Return the resources of a family's sweep of learning rates: those of one cell that trains all its trials."""
    sweep = tuning_settings(config, arm, family)
    trials = [sweep.trial(width, 1.0, sweep.training.batch_tokens) for width in sweep.tune.widths]
    costs = [_cost(family, sweep.depth, trial.width, trial.data, trial.training) for trial in trials]
    rates = len(sweep.tune.learning_rates) * len(sweep.tune.batch_tokens or [1])
    parameters, flops, launches = (values for values in zip(*costs, strict=True))
    return _resources(max(parameters), rates * sum(flops), rates * sum(launches), attempt)


def resources(cell: Cell, attempt: int = 1) -> dict[str, int]:
    """Return what a cell asks of a machine: memory in MB, run time in minutes, GPUs. Later attempts ask for more.

    A time limit that is hit is no loss: the next attempt continues from the checkpoint.
    """
    return _resources(cell.parameters, cell.flops, cell.launches, attempt, cell.gpus)


def _resources(parameters: int, flops: float, launches: int, attempt: int, gpus: int = 1) -> dict[str, int]:
    cpu_hours = flops / CPU_FLOPS / 3600
    gpu = gpus if cpu_hours > CPU_HOURS else 0
    hours = max(flops / GPU_FLOPS / gpus, launches * GPU_SECONDS_PER_LAYER) / 3600 if gpu else cpu_hours
    memory = 2500 + 4 * 16 * parameters / 1e6  # libraries; weights, gradients, Adam's moments, best weights
    return {
        "mem_mb": round(memory * max(1, gpu) * attempt),
        "runtime": round(min(max(10, 2 * 60 * hours), 24 * 60) * attempt),
        "gpu": gpu,
    }
