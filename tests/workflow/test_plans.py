"""What Snakemake would do: plans of every study, profile and target, with the number of jobs of each rule."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.clones import SMOKE, plan, snakemake

PAPER = "config/studies/paper.yaml"
REFERENCE = "config/studies/reference.yaml"
FIGURES = {"draw_language": 1, "draw_potential": 1, "draw_training": 1, "draw_scaling": 1}
USE = {"properties": 1, "generate": 6, "minima": 1, "simulate": 9}
SMOKE_FIGURES = FIGURES | {"draw_generation": 1, "draw_dynamics": 1}
SCALING = {"collect": 1, "fit": 2}
SMOKE_TRAINING = {"tune": 3, "train": 15}
EMBEDDED = {"fetch_molecules": 1, "encode": 1, "label": 1}


@pytest.mark.parametrize(
    ("target", "jobs"),
    [
        ("data", EMBEDDED | {"data": 1}),
        ("training", EMBEDDED | SMOKE_TRAINING | {"training": 1}),
        ("fits", EMBEDDED | SMOKE_TRAINING | USE | SCALING | {"fits": 1}),
        ("figures", EMBEDDED | SMOKE_TRAINING | USE | SCALING | SMOKE_FIGURES | {"figures": 1}),
        (
            "report",
            EMBEDDED
            | SMOKE_TRAINING
            | USE
            | SCALING
            | SMOKE_FIGURES
            | {"write_first_page": 1, "write_report": 1, "report": 1},
        ),
        (
            "all",
            EMBEDDED
            | SMOKE_TRAINING
            | USE
            | SCALING
            | SMOKE_FIGURES
            | {"write_first_page": 1, "write_report": 1, "all": 1},
        ),
    ],
)
@pytest.mark.parametrize("profile", [(), ("--profile", "profiles/local-gpu"), ("--profile", "slurm")], ids=str)
def test_targets_of_the_smoke_study(clone, target, jobs, profile):
    assert plan(clone, target, "--configfile", SMOKE, *profile) == jobs


def test_default_study_has_the_grid_its_configuration_says(clone):
    jobs = plan(clone)
    # 3 widths × (2 × 2 + 3) runs; 2 families × 2 widths × (2 × 2 + 3) runs
    assert jobs == EMBEDDED | {"tune": 3, "train": 36 + 36} | SCALING | FIGURES | {
        "write_first_page": 1,
        "write_report": 1,
        "all": 1,
    }


def test_paper_study_plans_the_whole_grid(clone):
    jobs = plan(clone, "--profile", "slurm", "--configfile", PAPER)
    # 8 widths × (3 × 2 + 3); 4 families × 9 capacities × (2 × 2 + 2)
    assert jobs["train"] == 72 + 216 and jobs["tune"] == 1 + 4
    assert jobs["ingest"] == jobs["fetch_geometries"] == jobs["fetch_molecules"] == 1


def test_paper_study_on_rmd17_plans_a_sweep_per_family(clone):
    jobs = plan(clone, "--profile", "slurm", "--configfile", "config/studies/paper-rmd17.yaml")
    assert (jobs["tune"], jobs["train"], jobs["fetch_geometries"]) == (3, 3 * (2 + 1 + 1), 1)


def test_reference_draws_from_cached_results_and_trains_nothing(clone):
    assert plan(clone, "figures", "--configfile", REFERENCE) == FIGURES | {"figures": 1}


def test_both_entries_give_the_same_plan(clone):
    shim = plan(clone, "--snakefile", "workflow/Snakefile", "--configfile", SMOKE)
    assert shim == plan(clone, "--configfile", SMOKE)


def test_settings_of_every_cell_are_in_the_plan(clone):
    output = snakemake(clone, "--dry-run", "--printshellcmds", "--configfile", SMOKE)
    assert '"family": "painn"' in output and '"learning_rate": "tuned"' in output and '"recipe": 2' in output


def asked_by_cell(output: str) -> dict[str, str]:
    """Resources that the trainings of chemgpt ask for."""
    found = re.findall(r"output: \S+/(chemgpt/\S+/\d+/seed\d)/metrics.*?resources: ([^\n]*)", output, re.DOTALL)
    return dict(found)


def test_large_cells_ask_for_more_and_for_a_gpu(clone):
    asked = asked_by_cell(snakemake(clone, "training", "--dry-run", "--configfile", PAPER))
    small, large = asked["chemgpt/w16/100/seed0"], asked["chemgpt/w2048/9000000/seed0"]
    memory = [int(re.search(r"mem_mb=(\d+)", text)[1]) for text in (small, large)]
    assert memory[1] > 10 * memory[0] and "gpu=1" in large and "gpu=0" in small


def test_jobs_go_where_the_site_says_unless_the_command_line_does(clone):
    site = clone / "profiles" / "slurm" / "site.yaml"
    site.write_text(
        "account: chem\ncpu: {partition: std, max_runtime: 120}\ngpu: {partition: a100, max_runtime: 600}\n"
    )
    paper = yaml.safe_load((clone / PAPER).read_text())
    paper["language"]["gpus"] = 2
    (clone / "two.yaml").write_text(yaml.safe_dump(paper))
    arguments = ("training", "--dry-run", "--cores", "8", "--profile", "slurm", "--configfile", "two.yaml")
    output = snakemake(clone, *arguments)
    asked = asked_by_cell(output)
    two = sum("gpu=2" in text for text in asked.values())
    assert output.count("threads: 2") == 1 + two > 1, "encode has two cores, and a training one per rank"
    small, large = asked["chemgpt/w16/100/seed0"], asked["chemgpt/w2048/9000000/seed0"]
    assert "slurm_partition=std" in small and "runtime=52," in small
    assert "slurm_partition=a100" in large and "runtime=600," in large
    assert all("slurm_account=chem" in text for text in asked.values())
    defaults = ("--default-resources", "slurm_partition=mine", "slurm_account=mine", "mem_mb=1000")
    asked = asked_by_cell(snakemake(clone, *arguments, *defaults))
    assert {tuple(re.findall(r"slurm_\w+=(\w+)", text)) for text in asked.values()} == {("mine", "mine")}
    site.write_text("gpu: {max_runtime: 1d}\n")
    output = snakemake(clone, *arguments, check=False)
    assert "site.yaml: gpu.max_runtime = '1d': expected a whole number" in output and "Traceback" not in output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"langauge": {}}, "langauge: unknown key; did you mean language?"),
        (
            {"language": {"dataset": "nci-small", "families": {"chemgpt-slim": {"widths": "16"}}, "data": [1]}},
            "language.families.chemgpt-slim.widths = '16': expected a list",
        ),
    ],
    ids=["unknown", "mistyped"],
)
def test_configuration_errors_are_readable(clone, change, message):
    config = yaml.safe_load((clone / SMOKE).read_text())
    (clone / "bad.yaml").write_text(yaml.safe_dump(config | change))
    output = snakemake(clone, "--dry-run", "--configfile", "bad.yaml", check=False)
    assert message in output and "docs/reference/configuration.md explains every key" in output
    assert "Traceback" not in output


def test_workflow_is_clean(checkout):
    assert "good condition" in snakemake(checkout, "--lint")
    tools = Path(sys.executable).parent
    for command in (
        ["snakefmt", "--check", "Snakefile", "workflow"],
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
    ):
        done = subprocess.run([tools / command[0], *command[1:]], cwd=checkout, capture_output=True, text=True,
                              env={"PATH": f"{tools}:/usr/bin:/bin"})  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
