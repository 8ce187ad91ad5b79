"""The runs table holds every cell: trained, failed or missing."""

import pandas as pd
import pytest

from chemscale.analysis.collect import collect, trials_of
from chemscale.analysis.fits import fit_runs
from chemscale.errors import ChemscaleError
from chemscale.files import read_json, read_table, write_json

CELLS = [f"language/chemgpt-slim/w16/{data}/seed0" for data in (100, 200, 400, 800, 1600, 3200)]


@pytest.fixture
def results(tmp_path):
    """Records of four good cells and a failed one; the last of CELLS has none."""
    for name in CELLS[:-1]:
        data = int(name.split("/")[3])
        good = {"status": "finished", "reason": None, "test_loss": 3 * data**-0.1 * (1 + data % 3 / 100)}
        failed = {"status": "failed", "reason": "training loss not finite at step 20"}
        metrics = {
            "data": data,
            "parameters": 6000,
            "train_molecules": data,
            "undertrained": False,
            "versions": {"a": 1},
        }
        directory = tmp_path / "runs" / name
        write_json(directory / "metrics.json", metrics | (failed if data == 1600 else good))
        pd.DataFrame({"step": [1, 2], "train_loss": [2.0, 1.0]}).to_parquet(directory / "history.parquet")
    return tmp_path


def test_every_cell_has_its_row_and_fits_name_those_left_out(results):
    collect(results, CELLS, results / "tables")
    table = read_table(results / "tables" / "runs.parquet")
    assert table["cell"].tolist() == CELLS
    assert table["status"].tolist() == ["finished"] * 4 + ["failed", "missing"]
    assert "versions" not in table and table["family"].unique().tolist() == ["chemgpt-slim"]
    assert len(pd.read_parquet(results / "tables" / "histories.parquet")) == 2 * 5
    assert read_table(results / "tables" / "runs.csv")["test_loss"].count() == 4

    fits = fit_runs(table, "language", draws=100)
    assert {entry["cell"] for entry in fits["left_out"]} == set(CELLS[4:])
    assert fits["curves"][0]["cells"] == CELLS[:4]
    assert fits["curves"][0]["parameters"]["exponent"] == pytest.approx(0.1, abs=0.03)


def test_quality_of_generated_molecules_is_that_of_the_very_model(results):
    for name, identity in zip(CELLS[:3], ("a", "b", "c"), strict=True):
        path = results / "runs" / name / "metrics.json"
        write_json(path, read_json(path) | {"fingerprint": identity})
    content = {"fingerprint": "a", "quality": {"generated_valid": 0.5, "wasserstein_logp": None}}
    for name in CELLS[:2]:  # the second was trained anew since
        write_json(results / "runs" / name / "quality.json", content)
    table = collect(results, CELLS, results / "tables")
    assert table["generated_valid"].dropna().to_dict() == {0: 0.5}
    assert read_table(results / "tables" / "runs.parquet")["wasserstein_logp"].isna().all()


def test_simulations_are_columns_like_the_quality(results):
    for name, identity in zip(CELLS[:2], ("a", "b"), strict=True):
        path = results / "runs" / name / "metrics.json"
        write_json(path, read_json(path) | {"fingerprint": identity})
        content = {"fingerprint": "a", "dynamics": {"nve_drift": 0.5, "relax_rmsd": None}}
        write_json(results / "runs" / name / "dynamics.json", content)
    assert collect(results, CELLS, results / "tables")["nve_drift"].dropna().to_dict() == {0: 0.5}


def test_a_rate_at_the_edge_of_its_sweep_is_flagged_and_left_out(results):
    trials = [
        {"width": 8, "batch_tokens": 600, "learning_rate": rate, "tse": 1.0, "validation_loss": 1.0}
        for rate in (0.001, 0.01, 0.1)
    ]
    trials += [trial | {"width": 16} for trial in trials]
    trials += [{**trials[0], "batch_tokens": 300}]  # at the edge in another batch: of no account
    best = [
        {"width": 8, "batch_tokens": 600, "learning_rate": 0.01, "edge": False},
        {"width": 16, "batch_tokens": 600, "learning_rate": 0.1, "edge": True},
        {"width": 8, "batch_tokens": 300, "learning_rate": 0.001, "edge": True},
    ]
    sweep = {"family": "chemgpt-slim", "trials": trials, "best": best, "batch_tokens": 600}
    sweep["rule"] = {"intercept": -4.6, "slope": 0.0, "batch_slope": 0.0}
    sweep |= {"estimate": "tse", "maps": {}, "compute": {"flops_share_saved": 0.5}}
    used = results / "tuning" / "language" / "chemgpt-slim.json"
    write_json(used, sweep)
    write_json(results / "tuning" / "language" / "removed.json", sweep)
    # a step is a factor ten, half of it 3.2; the third cell's own width was swept, its best rate at the edge
    for name, rate, width in zip(CELLS[:5], (0.0009, 0.0003, 0.1, 0.3, 0.4), (8, 32, 16, 32, 32), strict=True):
        path = results / "runs" / name / "metrics.json"
        write_json(path, read_json(path) | {"learning_rate": rate, "width": width})
    table = collect(results, CELLS, results / "tables", [used])
    assert len(read_table(results / "tables" / "sweeps.parquet")) == len(trials)
    assert table["rate_at_edge"].tolist() == [False, True, True, False, True, False]
    left_out = {entry["cell"]: entry["rule"] for entry in fit_runs(table, "language", draws=20)["left_out"]}
    assert left_out[CELLS[1]] == left_out[CELLS[2]] == "learning rate at the edge of its sweep"
    assert left_out[CELLS[4]].startswith("failed") and set(left_out) == {*CELLS[1:3], *CELLS[4:]}


def test_a_study_without_any_record_is_an_error(tmp_path):
    with pytest.raises(ChemscaleError, match="none of the 6 cells has a record"):
        collect(tmp_path, CELLS, tmp_path / "tables")


def test_an_unreadable_table_is_named(tmp_path):
    (tmp_path / "runs.parquet").write_text("no parquet")
    with pytest.raises(ChemscaleError, match=r"runs\.parquet: not a readable table"):
        read_table(tmp_path / "runs.parquet")


def test_sweeps_have_a_row_a_trial_with_the_map_of_their_family(tmp_path):
    trial = {
        "width": 8,
        "batch_tokens": None,
        "status": "finished",
        "tse": 2.0,
        "tse_e": 1.0,
        "validation_loss": 0.5,
        "expected_loss": 0.5,
    }
    stopped = {"status": "stopped", "tse": 4.0, "validation_loss": None, "expected_loss": 0.9, "predicted_loss": 0.9}
    sweep = {
        "family": "schnet",
        "trials": [trial | {"learning_rate": 0.01}, trial | stopped | {"learning_rate": 0.1}],
        "estimate": "tse",
        "maps": {"tse": {"slope": 0.2, "intercept": 0.1, "residual": 0.01, "spearman": 1.0, "r2": 0.99}, "tse_e": {}},
        "compute": {"flops_share_saved": 0.35},
        "best": [{"width": 8, "batch_tokens": None, "learning_rate": 0.02, "edge": False}],
        "batch_tokens": None,
        "rule": {"intercept": 0.0, "slope": -1.0, "batch_slope": 0.0},
    }
    write_json(tmp_path / "tuning" / "potential" / "schnet.json", sweep)
    write_json(tmp_path / "tuning" / "potential" / "painn.json", sweep | {"family": "painn", "estimate": None})
    table = trials_of((tmp_path / "tuning").rglob("*.json"))
    assert table["family"].tolist() == ["painn", "painn", "schnet", "schnet"] and set(table["arm"]) == {"potential"}
    schnet = table[table["family"] == "schnet"]
    assert schnet["expected_loss"].tolist() == [0.5, 0.9] and schnet["predicted_loss"].tolist()[1] == 0.9
    assert schnet["slope"].tolist() == [0.2, 0.2]
    assert schnet["rule_learning_rate"].tolist() == pytest.approx([1 / 8, 1 / 8])
    assert table["slope"].isna().sum() == 2 and table["flops_share_saved"].tolist() == [0.35] * 4
