"""From a complete configuration to the table of cells: what each trains, how big it is and what it costs.

Nothing here imports torch: Snakemake reads this table at every start, on the head node and in every job.
"""

from dataclasses import dataclass

from chemscale.models.shapes import GPT_SHAPES, POTENTIAL_PARAMETERS
from chemscale.training.schedule import step_budget

VOCABULARY = 64  # of a corpus not yet encoded; enters estimates of cost only
ATOMS_PER_STRUCTURE = 15
PAIRS_PER_ATOM = 15
TOKENS_PER_MOLECULE = 40

CPU_FLOPS = 5e9  # per second on one core, at the small shapes that run there
GPU_FLOPS = 5e13
GPU_SECONDS_A_LAYER = 1e-3  # forward, backward and optimiser of one layer cannot be faster, however small it is
CPU_HOURS = 4  # cells above this go to a GPU


@dataclass(frozen=True)
class Cell:
    """One training run. `settings` is everything that decides its result, as plain JSON types."""

    arm: str
    family: str
    size: str  # label, such as w64 or d2-w32
    data: int
    seed: int
    settings: dict
    parameters: int  # non-embedding
    flops: float  # estimated, of the whole training
    launches: int  # layers run in all its steps: what bounds a small model on a GPU
    gpus: int  # that it trains on at once, if it needs any

    @property
    def name(self) -> str:
        """Identity and path of the cell within its study."""
        return f"{self.arm}/{self.family}/{self.size}/{self.data}/seed{self.seed}"


def cells(config: dict) -> list[Cell]:
    """All cells of a complete configuration (see chemscale.config.complete), small ones first within a family."""
    return [
        _cell(config, arm, family, depth, width, data, seed)
        for arm in ("language", "potential")
        if arm in config
        for family, choices in config[arm]["families"].items()
        for depth in choices.get("depths", [None])
        for width in choices["widths"]
        for data in config[arm]["data"]
        for seed in range(seeds(config[arm], data))
    ]


def seeds(arm: dict, data: int) -> int:
    """Runs of a cell with `data` examples: the smaller half of the data sizes, without a middle one, has more."""
    small_half = arm["data"][: len(arm["data"]) // 2]
    return arm["seeds"]["small_half" if data in small_half else "large_half"]


def _cell(config: dict, arm: str, family: str, depth: int | None, width: int, data: int, seed: int) -> Cell:
    options = config[arm]
    shape = {"width": width} if depth is None else {"depth": depth, "width": width}
    size = f"w{width}" if depth is None else f"d{depth}-w{width}"
    learning_rate = options["families"][family]["learning_rate"]
    settings = {
        "study": config["study"],
        "arm": arm,
        "family": family,
        "size": size,
        **shape,
        "data": data,
        "seed": seed,
        "dataset": f"results/data/{options['dataset']}",
        "learning_rate": learning_rate,
        "tuning": tuning_path(config, arm, family) if learning_rate == "tuned" else None,
        "training": options["training"],
        "recipe": options["recipe"],
    }
    cost = _cost(arm, family, depth, width, data, options["training"])
    return Cell(arm, family, size, data, seed, settings, *cost, options.get("gpus", 1))


def tuning_path(config: dict, arm: str, family: str) -> str:
    """Where the tuned learning rates of a family lie."""
    return f"results/{config['study']}/tuning/{arm}/{family}.json"


def tuned_families(config: dict) -> list[tuple[str, str]]:
    """(arm, family) of every family whose learning rate is tuned."""
    return [
        (arm, family)
        for arm in ("language", "potential")
        if arm in config
        for family, choices in config[arm]["families"].items()
        if choices["learning_rate"] == "tuned"
    ]


def tuning_settings(config: dict, arm: str, family: str) -> dict:
    """Settings of a family's sweep of learning rates, as plain JSON types."""
    options = config[arm]
    choices = options["families"][family]
    return {
        "arm": arm,
        "family": family,
        **({"depth": choices["depths"][0]} if "depths" in choices else {}),
        "seed": 0,
        "dataset": f"results/data/{options['dataset']}",
        "training": options["training"],
        "tune": options["tune"],
        "recipe": options["recipe"],
    }


def _cost(arm: str, family: str, depth: int | None, width: int, data: int, training: dict) -> tuple[int, float, int]:
    """Non-embedding parameters, estimated training FLOPs, and layers run; evaluations left out."""
    if arm == "language":
        shape = GPT_SHAPES[family](width)
        groups = shape.parameters(VOCABULARY)
        parameters = groups["matrices"] + groups["scalars"]
        steps = step_budget(data, training["batch_tokens"] / TOKENS_PER_MOLECULE, training["steps"])
        flops = 6 * (parameters + groups["embedding"]) * training["batch_tokens"] * steps
        return parameters, flops, shape.layers * steps
    parameters = POTENTIAL_PARAMETERS[family](depth, width, elements=0)
    steps = step_budget(data, training["batch_atoms"] / ATOMS_PER_STRUCTURE, training["steps"])
    # filters run over pairs, and forces make the step a second derivative
    flops = 12 * parameters * PAIRS_PER_ATOM / 3 * training["batch_atoms"] * steps
    return parameters, flops, 4 * depth * steps


def tuning_resources(config: dict, arm: str, family: str, attempt: int = 1) -> dict[str, int]:
    """What a family's sweep of learning rates asks of a machine: as one cell that trains all its trials."""
    sweep = config[arm]["tune"]
    depth = config[arm]["families"][family].get("depths", [None])[0]
    steps = {"per_sqrt_example": 0, "epochs": 0, "minimum": sweep["steps"], "maximum": sweep["steps"]}
    training = config[arm]["training"] | {"steps": steps}
    costs = [_cost(arm, family, depth, width, sweep["data"], training) for width in sweep["widths"]]
    rates = len(sweep["learning_rates"]) * len(sweep.get("batch_tokens", [1]))
    parameters, flops, launches = (values for values in zip(*costs, strict=True))
    return _resources(max(parameters), rates * sum(flops), rates * sum(launches), attempt)


def resources(cell: Cell, attempt: int = 1) -> dict[str, int]:
    """What a cell asks of a machine: memory in MB, run time in minutes, GPUs. Later attempts ask for more.

    A time limit that is hit is no loss: the next attempt goes on from the checkpoint.
    """
    return _resources(cell.parameters, cell.flops, cell.launches, attempt, cell.gpus)


def _resources(parameters: int, flops: float, launches: int, attempt: int, gpus: int = 1) -> dict[str, int]:
    cpu_hours = flops / CPU_FLOPS / 3600
    gpu = gpus if cpu_hours > CPU_HOURS else 0
    hours = max(flops / GPU_FLOPS / gpus, launches * GPU_SECONDS_A_LAYER) / 3600 if gpu else cpu_hours
    memory = 2500 + 4 * 16 * parameters / 1e6  # libraries; weights, gradients, Adam's moments, best weights
    return {
        "mem_mb": round(memory * max(1, gpu) * attempt),
        "runtime": round(min(max(10, 2 * 60 * hours), 24 * 60) * attempt),
        "gpu": gpu,
    }
