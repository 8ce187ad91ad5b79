"""From a complete configuration to the table of cells: what each trains, its size and its work.

Nothing here imports torch: Snakemake reads this table at every start, on the head node and in every job.
"""

from dataclasses import dataclass
from typing import NamedTuple

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


class Work(NamedTuple):
    """Size and cost of a training, as far as they are known beforehand."""

    parameters: int  # non-embedding
    flops: float
    launches: int  # layers run in all its steps: the bound of a small model on a GPU


@dataclass(frozen=True)
class Cell:
    """One training run; `settings` holds everything that decides its result."""

    arm: str
    family: str
    size: str  # label, such as w64 or d2-w32
    data: int
    seed: int
    settings: CellSettings
    work: Work  # of the whole training
    gpus: int  # to train on at once, if it needs any

    @property
    def name(self) -> str:
        """Identity and path of the cell within its study."""
        return f"{self.arm}/{self.family}/{self.size}/{self.data}/seed{self.seed}"


def cells(config: dict) -> list[Cell]:
    """Return all cells of a complete configuration (`chemscale.config.complete`), small ones first within a family."""
    return [
        _cell(config["study"], config["repetition"], arm, options, family, depth, width, data, seed)
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
    repetition: int,
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
        **_repetition(repetition),
        "dataset": f"results/data/{options.dataset}",
        "learning_rate": learning_rate,
        "tuning": tuning_path(study, arm, family) if learning_rate == "tuned" else None,
        "training": options.training,
        "recipe": options.recipe,
    }
    work = _work(family, depth, width, data, options.training)
    return Cell(arm, family, size, data, seed, CellSettings.model_validate(settings), work, options.gpus)


def _repetition(number: int) -> dict[str, int]:
    return {"repetition": number} if number else {}  # absent from the settings of studies that are not repeated


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
        **_repetition(config["repetition"]),
        "dataset": f"results/data/{options.dataset}",
        "training": options.training,
        "tune": options.tune,
        "recipe": options.recipe,
    }
    return SweepSettings.model_validate(settings)


def sweep_work(config: dict, arm: str, family: str) -> Work:
    """Return the work of all trials of a family's sweep, with the parameters of its largest model."""
    sweep = tuning_settings(config, arm, family)
    trials = [sweep.trial(width, 1.0, sweep.training.batch_tokens) for width in sweep.tune.widths]
    works = [_work(family, sweep.depth, trial.width, trial.data, trial.training) for trial in trials]
    rates = len(sweep.tune.learning_rates) * len(sweep.tune.batch_tokens or [1])
    parameters, flops, launches = zip(*works, strict=True)
    return Work(max(parameters), rates * sum(flops), rates * sum(launches))


def _work(
    family: str, depth: int | None, width: int, data: int, training: LanguageTraining | PotentialTraining
) -> Work:
    """Return the work of one training; evaluations are left out."""
    if isinstance(training, LanguageTraining):
        shape = language_family(family).shape(width)
        groups = shape.parameters(VOCABULARY)
        parameters = non_embedding(groups)
        steps = training.steps.budget(data, training.batch_tokens / TOKENS_PER_MOLECULE)
        flops: float = 6 * (parameters + groups["embedding"]) * training.batch_tokens * steps
        return Work(parameters, flops, shape.layers * steps)
    layers = depth or 1
    parameters = non_embedding(potential_family(family).parameters(layers, width))
    steps = training.steps.budget(data, training.batch_atoms / ATOMS_PER_STRUCTURE)
    # filters run over pairs, and forces make the step a second derivative
    flops = 12 * parameters * PAIRS_PER_ATOM / 3 * training.batch_atoms * steps
    return Work(parameters, flops, 4 * layers * steps)
