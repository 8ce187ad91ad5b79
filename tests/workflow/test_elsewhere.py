"""The workflow used from another folder: by --snakefile, by --directory, and as a module of another workflow."""

import shutil
from pathlib import Path

import pytest
import yaml
from helpers.clones import SMOKE, jobs_by_rule, plan, run

MODULE = """
configfile: "study.yaml"


module chemscale:
    snakefile:
        "{snakefile}"
    config:
        config


use rule * from chemscale{renamed}
"""


@pytest.fixture
def elsewhere(clone, tmp_path_factory) -> Path:
    """A folder that is not the clone, with a copy of the smoke study's configuration."""
    directory = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(clone / SMOKE, directory / "study.yaml")
    return directory


def snakemake(clone: Path, directory: Path, *arguments: str) -> str:
    """Output of Snakemake run in `directory` with the library of the clone."""
    library = {"env": {"PYTHONPATH": str(clone / "workflow")}}
    done = run(directory, "snakemake", *arguments, **library)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("how", ["snakefile", "directory", "shim"])
def test_plans_do_not_depend_on_the_working_directory(clone, elsewhere, how):
    options = {
        "snakefile": (elsewhere, "--snakefile", clone / "Snakefile", "--configfile", "study.yaml"),
        "shim": (elsewhere, "--snakefile", clone / "workflow" / "Snakefile", "--configfile", "study.yaml"),
        "directory": (clone, "--directory", elsewhere, "--configfile", SMOKE),
    }[how]
    directory, *arguments = options
    assert jobs_by_rule(snakemake(clone, directory, "--dry-run", *arguments)) == plan(clone, "--configfile", SMOKE)


@pytest.mark.parametrize("own", [False, True])
def test_the_default_study_is_that_of_the_working_directory_if_it_has_one(clone, elsewhere, own):
    if own:
        (elsewhere / "config").mkdir()
        (elsewhere / "study.yaml").rename(elsewhere / "config" / "config.yaml")
    planned = jobs_by_rule(snakemake(clone, elsewhere, "--dry-run", "--snakefile", clone / "Snakefile"))
    assert planned == (plan(clone, "--configfile", SMOKE) if own else plan(clone))


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("entry", ["Snakefile", "workflow/Snakefile"])
def test_a_module_plans_the_same(clone, elsewhere, entry, renamed):
    (elsewhere / "Snakefile").write_text(
        MODULE.format(snakefile=clone / entry, renamed=" as chemscale_*" if renamed else "")
    )
    planned = jobs_by_rule(snakemake(clone, elsewhere, "--dry-run"))
    assert {name.removeprefix("chemscale_"): jobs for name, jobs in planned.items()} == plan(
        clone, "--configfile", SMOKE
    )


def test_a_module_draws(clone, elsewhere):
    """From cached results in the folder of the outer workflow, under other names of the rules."""
    study = yaml.safe_load((clone / "config" / "studies" / "reference.yaml").read_text())
    (elsewhere / "study.yaml").write_text(yaml.safe_dump(study))
    (elsewhere / "Snakefile").write_text(MODULE.format(snakefile=clone / "Snakefile", renamed=" as chemscale_*"))
    shutil.copytree(clone / "results" / "reference", elsewhere / "results" / "reference")
    snakemake(clone, elsewhere, "results/reference/figures/potential-data.svg", "--cores", "2")
    assert "<path" in (elsewhere / "results" / "reference" / "figures" / "potential-data.svg").read_text()
