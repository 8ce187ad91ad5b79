"""What the rules ask of the study: paths, cells and resources. No rule is here."""

import functools
import json
import math
import os
import shlex
from pathlib import Path

from snakemake.exceptions import WorkflowError

from chemscale import arms, study
from chemscale.cli import warm
from chemscale.config.complete import complete
from chemscale.data.sources import SOURCES, registry
from chemscale.errors import ChemscaleError
from chemscale.files import remembered_sha256
from chemscale.processes import put_commands_on_path

put_commands_on_path()
warm.offer()

REGISTRY = registry()
try:
    config = complete(config, REGISTRY)
    SITE = study.read_site(Path(), os.environ)
except ChemscaleError as error:
    raise WorkflowError(str(error)) from None

ENVIRONMENT = "../../envs/chemscale.yaml"  # relative to this folder, as `conda:` wants it
# the folder above, relative to the working directory: the workflow may be used from any
WORKFLOW = os.path.relpath(workflow.current_basedir.join("..").get_path_or_uri(secret_free=True))
CELL = "{arm}/{family}/{size}/{data}/seed{seed}"
RUN = f"results/{{study}}/runs/{CELL}"
TABLES = "results/{study}/tables"
RESULTS = f"results/{config['study']}"

DATASETS = REGISTRY | config["datasets"]
ARMS = [arm for arm in arms.ARMS if arm in config]
CELLS = {cell.name: cell for cell in study.cells(config)}
SWEEPS = [study.tuning_path(config["study"], arm, family) for arm, family in study.tuned_families(config)]
GENERATE = config.get("language", {}).get("generate", {})
SIMULATE = config.get("potential", {}).get("simulate", {})
EVALUATED_ON = config.get("potential", {}).get("evaluate_on", [])


def of_cells(file, arm=None, seeds=None):
    """Return the path of `file` in the record of every cell, or of those of one arm and the first `seeds` seeds."""
    cells = [cell for cell in CELLS.values() if arm in (None, cell.arm) and (seeds is None or cell.seed < seeds)]
    return [f"{RESULTS}/runs/{cell.name}/{file}" for cell in cells]


RECORDS = of_cells("metrics.json")
QUALITIES = of_cells("quality.json", "language", seeds=1) if GENERATE else []
DYNAMICS = of_cells("dynamics.json", "potential", seeds=1) if SIMULATE else []
ERRORS = of_cells("errors.json", "potential") if EVALUATED_ON else []


def datasets_of(arm, fetched=None):
    """Return the regular expression of an arm's datasets: those with a raw file to fetch, those without, or all."""
    names = [
        name
        for name, entry in DATASETS.items()
        if entry["arm"] == arm and fetched in (None, SOURCES[entry["source"]].fetch is not None)
    ]
    return "|".join(names) or "(?!)"


def as_json(settings):
    """Return settings as JSON that does not depend on the order of keys: Snakemake compares the text."""
    return json.dumps(settings, sort_keys=True)


def dataset_entry(wildcards):
    """Return what decides the content of a dataset, as JSON: its registry entry without the prose."""
    entry = DATASETS[wildcards.dataset]
    return as_json({key: value for key, value in entry.items() if key not in ("title", "licence", "citation")})


def own_file(wildcards):
    """Return the user's file or folder of a dataset, if the entry names one; its content decides, not its time."""
    path = DATASETS[wildcards.dataset].get("path")
    return ancient(str(Path(path).expanduser())) if path else []


def own_file_content(wildcards):
    """Return the SHA-256 of the user's file or folder of a dataset, if the entry names one."""
    path, note = DATASETS[wildcards.dataset].get("path"), Path(f"results/data/{wildcards.dataset}/.own-file.json")
    return remembered_sha256(Path(path).expanduser(), note) if path else ""


def content_of_own_files():
    """Return the parameter by which an edited file is noticed; a study without own files keeps the parameters it had."""
    used = [config[arm]["dataset"] for arm in ARMS] + EVALUATED_ON
    return {"content": own_file_content} if any("path" in DATASETS[name] for name in used) else {}


def dataset_path(arm):
    """Return the header of the dataset of an arm, which is written last."""
    return f"results/data/{config[arm]['dataset']}/{arms.ARMS[arm].header}"


def stores_evaluated_on():
    """Return the headers of the datasets that potentials are only evaluated on."""
    return [f"results/data/{name}/{arms.ARMS['potential'].header}" for name in EVALUATED_ON]


HEADERS = [dataset_path(arm) for arm in ARMS] + stores_evaluated_on()


def data_of_arm(wildcards):
    """Return the header of the dataset that a training of this arm reads."""
    return dataset_path(wildcards.arm)


def encode_memory(wildcards):
    """Return the memory in MB to encode a dataset: one process per core, and some hundred bytes per molecule."""
    return round(1500 + 1e-4 * (DATASETS[wildcards.dataset].get("molecules") or 1e6))


def ingest_memory(wildcards):
    """Return the memory in MB to ingest a dataset: some two hundred bytes per structure, whatever its atoms."""
    return round(1500 + 2e-4 * DATASETS[wildcards.dataset].get("structures", 5e6))


def cell_name(wildcards):
    """Return the name of the cell that the wildcards name."""
    name = CELL.format_map(vars(wildcards))
    if name not in CELLS:
        advice = "check families, widths and data of its configuration"
        raise WorkflowError(f"{name}: not a cell of study {config['study']}; {advice}")
    return name


def cell_of(wildcards):
    """Return the cell that the wildcards name."""
    return CELLS[cell_name(wildcards)]


def cell_settings(wildcards):
    """Return everything that decides the result of a cell, as JSON: a change here, and only here, trains it again."""
    return as_json(cell_of(wildcards).settings.to_json())


def cell_tuning(wildcards):
    """Return the file of tuned learning rates that a cell uses, if it uses one."""
    return cell_of(wildcards).settings.tuning or []


@functools.cache
def estimated(command, *names):
    """Return the estimate of a job by its command and the names in its path."""
    if command == "tune":
        return study.estimate_sweep(config, *names, SITE)
    cell = CELLS[names[0]]
    return (
        study.estimate(cell, SITE) if command == "train" else study.estimate_use(config, command, cell, DATASETS, SITE)
    )


PACKS = study.packs(CELLS, {name: study.estimate(cell, SITE) for name, cell in CELLS.items()}, SITE)
PACK_OF = {cell: pack for pack, cells in PACKS.items() for cell in cells}
# the name of all packs in the profile's group-components: the cells of a pack do not depend on one another
workflow.parent_groupids.update(dict.fromkeys(PACKS, "pack"))


def pack(wildcards):
    """Return the pack of a small cell: on a cluster, its cells are trained one after the other in one job."""
    return PACK_OF.get(cell_name(wildcards))


def train_asks():
    """Return the resources of a training; in a pack, cells share the start of a job and run one at a time."""

    def runtime(wildcards, attempt):
        name = cell_name(wildcards)
        if name not in PACK_OF:
            return requested(attempt, "train", name)["runtime"]
        first = PACKS[PACK_OF[name]][0] == name
        return study.runtime_in_pack(estimated("train", name), first)

    return cell_asks("train") | {"runtime": runtime, "one_at_a_time": 1}


@functools.cache
def requested(attempt, *job):
    """Return what a job of `estimated` asks for in an attempt."""
    return study.resources(estimated(*job), attempt, SITE)


def asks(job_of):
    """Return the resources of jobs that have an estimate, by name: functions of wildcards and attempt."""

    def asks_for(resource):
        return lambda wildcards, attempt: requested(attempt, *job_of(wildcards))[resource]

    return {resource: asks_for(resource) for resource in ("mem_mb", "runtime", "gpu")} | of_site(
        lambda wildcards: SITE.nodes(estimated(*job_of(wildcards)).gpu).partition
    )


def cell_asks(command):
    """Return the resources of jobs whose command trains or uses a cell."""
    return asks(lambda wildcards: (command, cell_name(wildcards)))


def sweep_asks():
    """Return the resources of a sweep of learning rates."""
    return asks(lambda wildcards: ("tune", wildcards.arm, wildcards.family))


def on_cpu(mem_mb, runtime):
    """Return the resources of a rule that has no estimate and no use for a GPU; `mem_mb` is a function of wildcards."""
    asked = {"mem_mb": lambda wildcards: min(mem_mb(wildcards), SITE.cpu.max_mem_mb or math.inf)}
    return asked | {"runtime": min(runtime, SITE.cpu.max_runtime)} | of_site(SITE.cpu.partition)


def of_site(partition):
    """Return account and partition of a job where the site names them and the command line does not."""
    named = {"slurm_account": SITE.account}
    named |= {"slurm_partition": partition} if SITE.cpu.partition or SITE.gpu.partition else {}
    given = workflow.resource_settings.default_resources or ()
    return {resource: value for resource, value in named.items() if value and resource not in given}


def ranks(wildcards):
    """Return the processes of a training, one per GPU: each has a core."""
    return max(1, estimated("train", cell_name(wildcards)).gpu)


def cell_priority(wildcards):
    """Return the decade of FLOPs of a cell: large cells go first, so that none is left to run alone at the end."""
    return math.log10(cell_of(wildcards).work.flops)


def sweep_settings(wildcards):
    """Return the settings of the sweep of learning rates of a family, as JSON."""
    return as_json(study.tuning_settings(config, wildcards.arm, wildcards.family).to_json())


def to_collect(files):
    """Return the input function of all `files`; with `results_source: finished`, of those that exist."""
    return lambda wildcards: [file for file in files if config["results_source"] != "finished" or Path(file).exists()]


def molecules_to_simulate(wildcards):
    """Return the file of held-out molecules that every potential of the study is simulated on."""
    return f"results/data/{config['potential']['dataset']}/minima-{SIMULATE['molecules']}.parquet"


def training_properties(wildcards):
    """Return the properties of the training molecules that generated ones are compared with."""
    return f"results/data/{config['language']['dataset']}/properties-{GENERATE['reference']}.parquet"


def longest_molecule(wildcards):
    """Return the most tokens of a molecule in the corpus of the language arm: no longer one is generated."""
    return DATASETS[config["language"]["dataset"]]["max_tokens"]


def figures_of_study(wildcards):
    """Return every figure and table that is drawn from the tables and fits of the study."""
    drawn = {
        "language": ["language-data.svg", "language-size.svg"],
        "potential": ["potential-data.svg", "potential-unseen.svg"],
    }
    files = [file for arm in ARMS for file in drawn[arm]]
    files += ["generation.svg"] if GENERATE else []
    files += ["dynamics.svg"] if SIMULATE else []
    files += ["transfer.svg"] if EVALUATED_ON else []
    files += ["datasets.csv", "training-curves.svg", "learning-rates.svg", "performance-estimation.svg"]
    files += ["forecast.svg", "conventions.svg", "compute-frontier.svg", "surfaces.svg", "families-matched.svg"]
    files += ["ladder.svg", "exponents.csv", "judgements.csv", "comparisons.csv", "ladder.csv", "next-cells.csv"]
    return [f"{RESULTS}/figures/{file}" for file in files]


def first_page_of_report():
    """Return the first page of the report: that of the study once it is written, relative to the main Snakefile."""
    page = Path(f"{RESULTS}/figures/first-page.rst")
    return str(page.absolute()) if page.exists() else "workflow/report/first-page.rst"


def drawn(file, category, label):
    """Return a figure or table as it enters the report, with the caption of its name in workflow/report."""
    return report(
        f"results/{{study}}/figures/{file}",
        category=category,
        caption=f"../report/{Path(file).stem}.rst",
        labels={"figure": label},
    )


def notebook_parameters(wildcards, input, output):
    """Return papermill's options for the parameters of a notebook: its inputs by name and the folder of figures."""
    paths = {name: files for name, files in input.items() if name != "notebook"}
    paths["figures"] = str(Path(output.notebook).parent)
    return " ".join(f"-p {name} {shlex.quote(str(files))}" for name, files in paths.items())


def configuration_arguments(wildcards):
    """Return the options of this Snakemake that set its configuration, for the one that writes the report."""
    files = [os.path.relpath(file) for file in workflow.overwrite_configfiles]
    pairs = [f"{key}={json.dumps(value)}" for key, value in workflow.config_settings.config.items()]
    return [*(["--configfile", *files] if files else []), *(["--config", *pairs] if pairs else [])]


def make_default(target):
    """Make `target` the default one, under the name that a workflow using this one as a module gives it."""
    if workflow.modifier.avail_rulename(target):
        workflow.default_target = workflow.modifier.modify_rulename(target)
