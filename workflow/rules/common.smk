"""What the rules ask of the study: its cells, their paths and their resources. No rule is here."""

import json
import math
from pathlib import Path

from snakemake.exceptions import WorkflowError

from chemscale import arms, study
from chemscale.config.complete import complete
from chemscale.data.sources import SOURCES, registry
from chemscale.processes import put_commands_on_path
from chemscale.errors import ChemscaleError

put_commands_on_path()

REGISTRY = registry()
try:
    config = complete(config, REGISTRY)
except ChemscaleError as error:
    raise WorkflowError(str(error)) from None

DATASETS = REGISTRY | config["datasets"]
CELLS = {cell.name: cell for cell in study.cells(config)}
ARMS = [arm for arm in arms.ARMS if arm in config]
RECORDS = [f"results/{config['study']}/runs/{name}/metrics.json" for name in CELLS]
GENERATES = "generate" in config.get("language", {})
QUALITIES = [
    f"results/{config['study']}/runs/{cell.name}/quality.json"
    for cell in CELLS.values()
    if GENERATES and cell.arm == "language" and cell.seed == 0
]
SIMULATES = "simulate" in config.get("potential", {})
DYNAMICS = [
    f"results/{config['study']}/runs/{cell.name}/dynamics.json"
    for cell in CELLS.values()
    if SIMULATES and cell.arm == "potential" and cell.seed == 0
]

EVALUATED_ON = config.get("potential", {}).get("evaluate_on", [])
ERRORS = [
    f"results/{config['study']}/runs/{cell.name}/errors.json"
    for cell in CELLS.values()
    if EVALUATED_ON and cell.arm == "potential"
]

SWEEPS = [study.tuning_path(config["study"], arm, family) for arm, family in study.tuned_families(config)]


def datasets_of(arm, fetched=None):
    """Return the regular expression of an arm's datasets: those with a raw file to fetch, those without, or all."""
    names = [
        name
        for name, entry in DATASETS.items()
        if entry["arm"] == arm and fetched in (None, SOURCES[entry["source"]].fetch is not None)
    ]
    return "|".join(names) or "(?!)"


def as_json(settings):
    """Settings as JSON that does not depend on the order of keys: Snakemake compares the text."""
    return json.dumps(settings, sort_keys=True)


def dataset_entry(wildcards):
    """What decides a dataset's content, as JSON: its registry entry without the prose."""
    entry = DATASETS[wildcards.dataset]
    return as_json({key: value for key, value in entry.items() if key not in ("title", "licence", "citation")})


def own_molecules(wildcards):
    """The file of molecules to make geometries of, if the entry names one."""
    return DATASETS[wildcards.dataset].get("path", [])


def dataset_path(arm):
    """The header that is written last when the dataset of an arm is complete."""
    return f"results/data/{config[arm]['dataset']}/{arms.ARMS[arm].header}"


def stores_evaluated_on():
    """The headers of the datasets that potentials are only evaluated on."""
    return [f"results/data/{name}/{arms.ARMS['potential'].header}" for name in EVALUATED_ON]


def data_of_arm(wildcards):
    """The data a training of this arm reads."""
    return dataset_path(wildcards.arm)


def encode_memory(wildcards):
    """Memory to encode a dataset in MB: a process a core, and some sixty bytes a molecule."""
    return round(1500 + 1e-4 * (DATASETS[wildcards.dataset].get("molecules") or 1e6))


def ingest_memory(wildcards):
    """Memory to ingest a dataset in MB: some two hundred bytes a structure, whatever the atoms."""
    return round(1500 + 2e-4 * DATASETS[wildcards.dataset].get("structures", 5e6))


def cell_of(wildcards):
    """The cell these wildcards name."""
    name = f"{wildcards.arm}/{wildcards.family}/{wildcards.size}/{wildcards.data}/seed{wildcards.seed}"
    if name not in CELLS:
        raise WorkflowError(f"{name} is not a cell of the study {config['study']}; its configuration decides which are")
    return CELLS[name]


def cell_settings(wildcards):
    """Everything that decides a cell's result, as JSON: a change here, and only here, trains it again."""
    return as_json(cell_of(wildcards).settings.to_json())


def cell_tuning(wildcards):
    """The tuned learning rates of the cell's family, if it takes them."""
    return cell_of(wildcards).settings.tuning or []


def cell_memory(wildcards, attempt):
    return study.resources(cell_of(wildcards), attempt)["mem_mb"]


def cell_runtime(wildcards, attempt):
    return study.resources(cell_of(wildcards), attempt)["runtime"]


def cell_priority(wildcards):
    """Large cells first, so that none is left to run alone at the end: decades of FLOPs."""
    return math.log10(cell_of(wildcards).flops)


def cell_gpu(wildcards):
    return study.resources(cell_of(wildcards))["gpu"]


def sweep_memory(wildcards, attempt):
    return study.tuning_resources(config, wildcards.arm, wildcards.family, attempt)["mem_mb"]


def sweep_runtime(wildcards, attempt):
    return study.tuning_resources(config, wildcards.arm, wildcards.family, attempt)["runtime"]


def sweep_gpu(wildcards):
    return study.tuning_resources(config, wildcards.arm, wildcards.family)["gpu"]


def sweep_settings(wildcards):
    """Settings of a family's sweep of learning rates, as JSON."""
    return as_json(study.tuning_settings(config, wildcards.arm, wildcards.family).to_json())


def to_collect(files):
    """Input function: all `files`, or those that are there with `results_source: finished`."""
    return lambda wildcards: [file for file in files if config["results_source"] != "finished" or Path(file).exists()]


def molecules_to_simulate(wildcards):
    """The held-out molecules that every potential of the study is simulated on."""
    potential = config["potential"]
    return f"results/data/{potential['dataset']}/minima-{potential['simulate']['molecules']}.parquet"


def training_properties(wildcards):
    """Properties of the training molecules that generated ones are compared with."""
    language = config["language"]
    return f"results/data/{language['dataset']}/properties-{language['generate']['reference']}.parquet"


def longest_molecule(wildcards):
    """Tokens of the longest molecule there can be in the language arm's corpus: none is generated beyond it."""
    return DATASETS[config["language"]["dataset"]]["max_tokens"]


def figures_of_study(wildcards):
    """Every figure and table drawn from the study's tables and fits."""
    drawn = {
        "language": ["language-data.svg", "language-size.svg"],
        "potential": ["potential-data.svg", "potential-unseen.svg"],
    }
    files = [file for arm in ARMS for file in drawn[arm]]
    files += ["generation.svg"] if GENERATES else []
    files += ["dynamics.svg"] if SIMULATES else []
    files += ["transfer.svg"] if EVALUATED_ON else []
    files += ["training-curves.svg", "learning-rates.svg", "performance-estimation.svg"]
    files += ["forecast.svg", "conventions.svg", "compute-frontier.svg", "families-matched.svg"]
    files += ["exponents.csv", "judgements.csv", "comparisons.csv", "next-cells.csv"]
    return [f"results/{config['study']}/figures/{file}" for file in files]


def configuration_arguments(wildcards):
    """How this Snakemake was told its configuration, for the one that writes the report."""
    files = [str(Path(file).resolve()) for file in workflow.overwrite_configfiles]
    pairs = [f"{key}={json.dumps(value)}" for key, value in workflow.config_settings.config.items()]
    return [*(["--configfile", *files] if files else []), *(["--config", *pairs] if pairs else [])]
