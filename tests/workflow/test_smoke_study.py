"""The smoke study for real, once; then what a change of code, of configuration or of files makes Snakemake do again."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers.clones import SMOKE, cells, jobs_by_rule, make_clone, plan, run, snakemake

FIGURES = ["language-data", "language-size", "generation", "potential-data", "potential-unseen", "dynamics"]
FIGURES += ["training-curves", "learning-rates", "performance-estimation"]
FIGURES += ["forecast", "conventions", "compute-frontier"]
LANGUAGE = {f"language/chemgpt-slim/w{width}/{data}/seed0" for width in (8, 16) for data in (100, 300, 900)}
POTENTIAL = {
    f"potential/{size}/{data}/seed0"
    for size in ("schnet/d2-w8", "schnet/d2-w16", "painn/d2-w8")
    for data in (20, 60, 180)
}
DRAWN = {"draw_language": 1, "draw_generation": 1, "draw_potential": 1, "draw_dynamics": 1}
DRAWN |= {"draw_training": 1, "draw_scaling": 1}
FROM_RECORDS_ON = {"collect": 1, "fit": 2, **DRAWN, "write_first_page": 1, "write_report": 1, "all": 1}


@pytest.fixture(scope="module")
def study(checkout, tmp_path_factory) -> Path:
    """A clone in which the smoke study has been run. Its tests only plan, and restore what they change."""
    directory = make_clone(checkout, tmp_path_factory.mktemp("smoke"))
    snakemake(directory, "--cores", "2", "--configfile", SMOKE)
    return directory


@pytest.fixture
def copy(study, tmp_path) -> Path:
    """A copy of the finished study with its modification times and metadata, to be changed at will."""
    return shutil.copytree(study, tmp_path / "copy", symlinks=True)


def changed(study: Path, change: Callable[[dict], None]) -> str:
    """Configuration file of the smoke study with a change."""
    config = yaml.safe_load((study / SMOKE).read_text())
    change(config)
    (study / "changed.yaml").write_text(yaml.safe_dump(config))
    return "changed.yaml"


def test_everything_asked_for_is_there(study):
    results = study / "results" / "smoke"
    records = {str(path.parent.relative_to(results / "runs")) for path in results.rglob("metrics.json")}
    assert records == LANGUAGE | POTENTIAL
    runs = pd.read_parquet(results / "tables" / "runs.parquet")
    assert set(runs["cell"]) == records and runs["status"].eq("finished").all()
    assert runs["seed"].eq(0).all() and runs["test_loss"].between(0, 10).all()
    quality = runs[runs["arm"] == "language"].filter(regex="^(generated|training_div|wasserstein)_?")
    assert quality.shape == (6, 15) and quality["generated_molecules"].eq(40).all()
    assert quality["wasserstein_logp_floor"].between(0, 5).all()
    simulated = runs[runs["arm"] == "potential"]
    assert simulated["simulated_molecules"].eq(2).all() and simulated["stability_ps"].between(0.005, 0.05).all()
    assert simulated["nve_rms"].notna().any() and simulated["relaxed"].between(0, 1).all()
    for arm, families in (("language", {"chemgpt-slim"}), ("potential", {"schnet", "painn"})):
        fits = json.loads((results / "fits" / f"{arm}.json").read_text())
        named = [entry["family"] for entry in fits["curves"] + fits["not_fitted"]]
        assert {family for name in named for family in name.split(" and ")} == families
    for name in FIGURES:
        assert (results / "figures" / f"{name}.svg").read_text().count("<path") > 10, name
    assert not list((results / "checkpoints").rglob("*.ckpt"))


def test_report_opens_without_a_network_and_explains_its_figures(study):
    html = (study / "results" / "smoke" / "report.html").read_text()
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?(?:https?:)?//", html)
    for name in [*FIGURES, "exponents"]:
        caption = (study / "workflow" / "report" / f"{name}.rst").read_text().split(",")[0].split("\n")[0]
        assert caption in html, f"{name}: {caption}"


def test_the_report_begins_with_what_was_found(study):
    page = (study / "results" / "smoke" / "figures" / "first-page.rst").read_text()
    html = (study / "results" / "smoke" / "report.html").read_text()
    runs = pd.read_parquet(study / "results" / "smoke" / "tables" / "runs.parquet")
    for words in ("What the study smoke found", "Within 100 to 900 training molecules", f"{len(runs)} trainings took"):
        assert words in page and words in html
    assert "data:image/png;base64," in page and page.count("<table") == 1


@pytest.mark.parametrize("target", ["all", "figures", "report"])
def test_a_second_run_has_nothing_to_do(study, target):
    assert plan(study, target, "--configfile", SMOKE) == {}


def test_edited_code_trains_nothing(copy):
    for path in [*copy.rglob("workflow/**/*.py"), *copy.rglob("workflow/**/*.smk")]:
        path.write_text(path.read_text() + "\n# a remark\n")
    rules = copy / "workflow" / "rules" / "training.smk"
    rules.write_text(rules.read_text().replace("chemscale train -", "chemscale train --checkpoint-seconds 30 -"))
    assert plan(copy, "figures", "--configfile", SMOKE) == {}


@pytest.mark.parametrize(
    ("change", "trained", "tuned"),
    [
        (
            lambda config: config["language"]["data"].append(1800),
            {f"language/chemgpt-slim/w{width}/1800/seed0" for width in (8, 16)},
            0,
        ),
        (
            lambda config: config["language"]["families"]["chemgpt-slim"]["widths"].append(32),
            {f"language/chemgpt-slim/w32/{data}/seed0" for data in (100, 300, 900)},
            0,
        ),
        (
            lambda config: config["language"].update(seeds={"small_half": 2}),
            {f"language/chemgpt-slim/w{width}/100/seed1" for width in (8, 16)},
            0,
        ),
        (lambda config: config["potential"]["training"].update(clip=2.0), POTENTIAL, 2),
        (lambda config: config["language"].update(recipe=3), LANGUAGE, 1),
        (lambda config: config["scaling"].update(draws=101), set(), 0),
    ],
    ids=["data", "width", "seed", "training", "recipe", "scaling"],
)
def test_a_changed_configuration_trains_exactly_its_cells(study, change, trained, tuned):
    output = snakemake(study, "--dry-run", "--configfile", changed(study, change))
    assert cells(output) == trained
    used = [name.split("/")[0] for name in trained if name.endswith("/seed0")]
    used = {"generate": used.count("language"), "simulate": used.count("potential")}
    expected = {"train": len(trained), "tune": tuned, **used, **FROM_RECORDS_ON}
    if not trained:
        for rule in ("collect", "draw_training", "draw_generation", "draw_dynamics"):  # the runs are the same
            del expected[rule]
    assert jobs_by_rule(output) == {rule: count for rule, count in expected.items() if count}


def test_errors_on_another_dataset_train_nothing_and_are_drawn(copy):
    """One cell is evaluated for real; the others are only planned, at seconds each."""

    def change(config):
        warm = {"arm": "potential", "source": "thermal", "method": "GFN2-xTB", "smiles": ["CO", "CCO", "CCCCO"]}
        warm |= {"conformers": 1, "geometries_per_molecule": 4, "temperature": [1000, 1500]}
        config["datasets"] = {"warm": warm | {"training_structures": 0, "seed": 0, "max_failure_share": 0.0}}
        config["potential"]["evaluate_on"] = ["warm"]

    config = changed(copy, change)
    jobs = {"label": 1, "evaluate": 9, "draw_transfer": 1}
    assert plan(copy, "--configfile", config) == FROM_RECORDS_ON | jobs
    cell = "potential/painn/d2-w8/180/seed0"
    snakemake(copy, f"results/smoke/runs/{cell}/errors.json", "--cores", "2", "--configfile", config)
    figure = ("results/smoke/figures/transfer.svg", "--cores", "2", "--configfile", config)
    snakemake(copy, *figure, "--config", "results_source=finished")
    table = pd.read_parquet(copy / "results/smoke/tables/runs.parquet").set_index("cell")
    assert table["on_warm_structures"].dropna().to_dict() == {cell: 12}
    assert table.loc[cell, "on_warm_force_mae"] > table.loc[cell, "test_force_mae"]
    text = (copy / figure[0]).read_text()
    assert ">warm<" in text and text.count("no force predicted") >= 2


def test_a_deleted_figure_is_drawn_and_nothing_else(study):
    figure = study / "results" / "smoke" / "figures" / "language-size.svg"
    figure.rename(study / "aside")
    try:
        assert plan(study, "--configfile", SMOKE) == {
            "draw_language": 1,
            "write_first_page": 1,
            "write_report": 1,
            "all": 1,
        }
    finally:
        (study / "aside").rename(figure)


def test_missing_and_failed_runs_are_named_and_the_others_fitted(copy):
    """`results_source: finished` trains nothing, whatever is missing or changed."""
    missing, failed = "language/chemgpt-slim/w8/300/seed0", "potential/schnet/d2-w8/60/seed0"
    runs, reason = copy / "results" / "smoke" / "runs", "training loss not finite at step 7"
    (runs / missing / "metrics.json").unlink()
    metrics = json.loads((runs / failed / "metrics.json").read_text())
    metrics = {key: value for key, value in metrics.items() if not key.startswith(("test_", "unseen_"))}
    (runs / failed / "metrics.json").write_text(json.dumps(metrics | {"status": "failed", "reason": reason}))
    shutil.rmtree(copy / "results" / "data")

    def change(config):
        config["results_source"] = "finished"
        config["language"]["training"]["clip"] = 2.0

    output = snakemake(copy, "figures", "--cores", "2", "--configfile", changed(copy, change))
    assert jobs_by_rule(output) == {"collect": 1, "fit": 2, **DRAWN, "figures": 1}
    table = pd.read_parquet(copy / "results" / "smoke" / "tables" / "runs.parquet").set_index("cell")
    assert set(table.index) == LANGUAGE | POTENTIAL
    odd = table[table["status"] != "finished"]
    assert odd[["status", "reason"]].T.to_dict("list") == {
        missing: ["missing", "no record"],
        failed: ["failed", reason],
    }
    for arm, cell, rule in (("language", missing, "missing: no record"), ("potential", failed, f"failed: {reason}")):
        fits = json.loads((copy / "results" / "smoke" / "fits" / f"{arm}.json").read_text())
        assert {"cell": cell, "rule": rule} in fits["left_out"]
        fitted = {name for curve in fits["curves"] for name in curve["cells"]}
        assert cell not in fitted
        if arm == "language":
            assert {f"language/chemgpt-slim/w16/{data}/seed0" for data in (100, 300, 900)} <= fitted


def test_a_damaged_token_store_is_named_without_a_traceback(copy):
    settings = copy / "results/smoke/runs/language/chemgpt-slim/w8/100/seed0/settings.json"
    os.truncate(copy / "results/data/nci-small/tokens.npy", 1000)
    done = run(copy, "chemscale.cli", "train", settings, "--out", "again")
    assert done.returncode == 2
    assert done.stderr.startswith("chemscale train: results/data/nci-small/tokens.npy: ")
    assert "Traceback" not in done.stderr and not (copy / "again" / "metrics.json").exists()
