"""`snakemake --profile slurm` with the real executor plugin, and stub commands in Slurm's place (stub_slurm/)."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from helpers.clones import make_clone
from snakemake_executor_plugin_slurm.utils import set_gres_string

from chemscale.config.complete import complete
from chemscale.files import read_json, read_table
from chemscale.study import Cell, cells, estimate, resources

STUBS = Path(__file__).parent / "stub_slurm"
STUDY = {
    "study": "cluster",
    "language": {
        "dataset": "nci-small",
        "families": {"chemgpt-slim": {"widths": [8], "learning_rate": 0.01}},
        "data": [60, 200, 600],
        "seeds": {"small_half": 1},
        "training": {
            "batch_tokens": 400,
            "steps": {"per_sqrt_example": 40, "epochs": 0, "minimum": 50},
            "evaluations": 5,
            "patience": 5,
        },
    },
    "scaling": {"draws": 100},
}
CANCELLED = "language/chemgpt-slim/w8/600/seed0"  # once, when it has a checkpoint
OPTIONS = (
    "fits --profile slurm --configfile cluster.yaml --jobs 3 --latency-wait 5"
    " --slurm-init-seconds-before-status-checks 1"
    " --default-resources slurm_account=test slurm_partition=cpu mem_mb=1000 runtime=10"
)


def submissions(jobs: Path) -> list[dict]:
    """Everything submitted, in order: the `job`'s number, its `comment` and the options `asked`."""
    found = [json.loads(path.read_text()) for path in jobs.glob("*/submission.json")]
    return sorted(found, key=lambda submission: submission["job"])


def submissions_of(submitted: list[dict], cell: Cell) -> list[dict]:
    """What was submitted for a cell, once an attempt."""
    wildcards = f"{cell.arm}_{cell.family}_{cell.size}_{cell.data}_{cell.seed}"
    return [one for one in submitted if one["comment"] == f"rule_train_wildcards_cluster_{wildcards}"]


@pytest.fixture(scope="module")
def registry(checkout) -> dict:
    return yaml.safe_load((checkout / "resources" / "datasets.yaml").read_text())


@pytest.fixture(scope="module")
def study(registry) -> dict[str, Cell]:
    """The cells of the study by name."""
    return {cell.name: cell for cell in cells(complete(STUDY, registry))}


@pytest.fixture(scope="module")
def cluster(checkout, study, tmp_path_factory) -> tuple[Path, list[dict], str]:
    """The study run through the stub with one job cancelled: its directory, its submissions and Snakemake's output."""
    directory = make_clone(checkout, tmp_path_factory.mktemp("cluster"))
    jobs = directory / "jobs"
    jobs.mkdir()
    (directory / "cluster.yaml").write_text(yaml.safe_dump(STUDY))
    rules = directory / "workflow" / "rules" / "training.smk"
    rules.write_text(rules.read_text().replace("chemscale train -", "chemscale train - --checkpoint-seconds 0.5"))

    environment = os.environ | {
        "PATH": f"{STUBS}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(directory / "workflow"),
        "STUB_SLURM": str(jobs),
        "CHEMSCALE_SITE": "site.yaml",
    }
    (directory / "site.yaml").write_text("pack_minutes: 0\n")  # a job per cell
    with open(directory / "output", "w") as output:
        command = [sys.executable, "-m", "snakemake", *OPTIONS.split()]
        head = subprocess.Popen(command, cwd=directory, env=environment, stdout=output, stderr=output)
    try:
        state = directory / "results" / "cluster" / "checkpoints" / CANCELLED
        while not list(state.glob("step-*.ckpt")):
            assert head.poll() is None, (directory / "output").read_text()
            time.sleep(0.05)
        (first,) = submissions_of(submissions(jobs), study[CANCELLED])
        subprocess.run([STUBS / "scancel", str(first["job"])], env=environment, check=True)
        code = head.wait(timeout=300)
    finally:
        head.kill()
        for job in jobs.iterdir():
            subprocess.run([STUBS / "scancel", job.name], env=environment, check=True)
    assert code == 0, (directory / "output").read_text()
    return directory, submissions(jobs), (directory / "output").read_text()


def asked(submission: dict) -> dict[str, str]:
    """The options of sbatch that have a value."""
    text = " ".join(submission["asked"])
    return dict(re.findall(r"(?<!\S)(-{1,2}[\w-]+)[ =]([^\s-]\S*)", text))


def test_every_cell_is_one_job_that_asks_for_what_the_study_says(cluster, study):
    _, submitted, _ = cluster
    for cell in study.values():
        attempts = submissions_of(submitted, cell)
        assert len(attempts) == (2 if cell.name == CANCELLED else 1), cell.name
        for number, submission in enumerate(attempts, start=1):
            expected = resources(estimate(cell), attempt=number)
            options = asked(submission)
            assert options["--mem"] == str(expected["mem_mb"]) and options["-t"] == str(expected["runtime"])
            assert options["--cpus-per-task"] == "1"
            assert not [option for option in submission["asked"] if option.startswith(("--gpus", "--gres"))]
            assert "--requeue" in submission["asked"]


def test_what_is_quick_stays_on_the_head_node(cluster, study):
    directory, submitted, _ = cluster
    rules = [submission["comment"].split("_wildcards")[0] for submission in submitted]
    assert sorted(set(rules)) == ["rule_encode", "rule_train"]
    assert len(rules) == 1 + len(study) + 1
    assert read_json(directory / "results/cluster/fits/language.json")["left_out"] == []


def test_a_cancelled_job_is_resubmitted_as_it_was_and_goes_on(cluster, study):
    directory, submitted, output = cluster
    first, second = (asked(submission) for submission in submissions_of(submitted, study[CANCELLED]))
    assert (second["--mem"], second["-t"]) == (first["--mem"], first["-t"])
    assert "SLURM status is: 'CANCELLED'" in output
    table = read_table(directory / "results/cluster/tables/runs.parquet").set_index("cell")
    assert table["status"].eq("finished").all() and set(table.index) == set(study)
    assert table["attempts"].to_dict() == {name: 2 if name == CANCELLED else 1 for name in study}
    assert "going on from" in (directory / f"logs/cluster/train/{CANCELLED}.log").read_text()


def test_large_cells_ask_slurm_for_a_gpu(checkout, registry):
    paper = yaml.safe_load((checkout / "config" / "studies" / "paper.yaml").read_text())
    by_cost = sorted(cells(complete(paper, registry)), key=lambda cell: cell.work.flops)
    small, large = (
        set_gres_string(SimpleNamespace(resources=resources(estimate(cell)))) for cell in (by_cost[0], by_cost[-1])
    )
    assert small == "" and large == " --gpus=1"
