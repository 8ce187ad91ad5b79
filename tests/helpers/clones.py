"""A clone of the repository to run Snakemake in, and what its plans say."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

SMOKE = "config/studies/smoke.yaml"
PARTS = ("Snakefile", "workflow", "config", "profiles", "resources", "envs", "slurm")


def make_clone(checkout: Path, directory: Path) -> Path:
    """Copy the part of the checkout that a study needs to `directory`; no results but the reference ones."""
    for name in PARTS:
        source = checkout / name
        if source.is_symlink():
            (directory / name).symlink_to(source.readlink())
        elif source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, directory / name)
    for kept in ("tables", "fits"):  # and no figures that somebody has drawn
        shutil.copytree(checkout / "results" / "reference" / kept, directory / "results" / "reference" / kept)
    return directory


def run(directory: Path, module: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    """Run a Python module in `directory` with the clone's own library, not the checkout's."""
    environment = os.environ | {"PYTHONPATH": str(directory / "workflow")} | options.pop("env", {})
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, env=environment, **options)


def snakemake(directory: Path, *arguments: str, check: bool = True, **options) -> str:
    """Output of Snakemake run in `directory` on its Snakefile."""
    done = run(directory, "snakemake", *arguments, **options)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def plan(directory: Path, *arguments: str) -> dict[str, int]:
    """Number of planned jobs by rule."""
    return jobs_by_rule(snakemake(directory, "--dry-run", *arguments))


def jobs_by_rule(output: str) -> dict[str, int]:
    """Number of jobs by rule that Snakemake's output announces."""
    if "Nothing to be done" in output:
        return {}
    table = output.split("Job stats:")[1].split("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def cells(output: str) -> set[str]:
    """Cells that Snakemake's output says it trains."""
    return set(re.findall(r"output: results/[^/]+/runs/(\S+)/metrics\.json", output))
