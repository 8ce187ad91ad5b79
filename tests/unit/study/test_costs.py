"""What a study costs before anything starts, and how far that was right afterwards."""

import json
import re

import pytest
import yaml

from chemscale import study
from chemscale.cli import main
from chemscale.config.complete import complete
from chemscale.data.sources import registry
from chemscale.files import write_json
from chemscale.study.costs import as_text, costs

REGISTRY = registry()


def shipped(checkout, name: str) -> dict:
    return complete(yaml.safe_load((checkout / "config" / "studies" / f"{name}.yaml").read_text()), REGISTRY)


@pytest.fixture
def smoke(checkout) -> dict:
    return shipped(checkout, "smoke")


def test_the_jobs_are_those_that_snakemake_plans(smoke, tmp_path):
    bill = costs(smoke, REGISTRY, tmp_path, study.Site.from_json({"pack_minutes": 0}))
    jobs = {row["rule"]: row["jobs"] for row in bill["jobs"]}
    # tests/workflow/test_plans.py counts the same in Snakemake's plan
    assert jobs == {"encode": 1, "label": 1, "properties": 1, "minima": 1} | {
        "tune": 3, "train": 15, "generate": 6, "simulate": 9
    }  # fmt: skip
    assert bill["totals"]["jobs"] == 37 and bill["totals"]["cells"] == 15
    packed = costs(smoke, REGISTRY, tmp_path)
    assert {row["rule"]: row["jobs"] for row in packed["jobs"]} == jobs | {"train": 3}  # a pack per family
    assert packed["totals"] == bill["totals"] | {"jobs": 25}


def test_cells_cost_what_the_rules_ask_for(checkout, tmp_path):
    config = shipped(checkout, "paper")
    site = study.Site.from_json({"gpu": {"max_runtime": 1440}})
    bill = costs(config, REGISTRY, tmp_path, site)
    rows = {row["cell"]: row for row in bill["cells"]}
    assert len(rows) == 288 and max(row["runtime"] for row in rows.values()) == 1440
    for cell in study.cells(config):
        asked = study.resources(study.estimate(cell, site), site=site)
        assert {key: rows[cell.name][key] for key in asked} == asked
    gpu = sum(row["seconds"] * row["gpu"] for row in rows.values() if row["gpu"]) / 3600
    (trainings,) = [row for row in bill["jobs"] if row["rule"] == "train"]
    assert trainings["gpu_hours"] == pytest.approx(gpu) and trainings["gpu_hours"] > 400
    assert bill["totals"]["flops"] == pytest.approx(sum(row["flops"] for row in rows.values()))


def test_cached_results_cost_nothing(checkout, tmp_path):
    bill = costs(shipped(checkout, "reference"), REGISTRY, tmp_path)
    assert bill["totals"]["jobs"] == bill["totals"]["cpu_hours"] == 0 and bill["jobs"] == []


def finish(config: dict, results, factor: float, family: str, **record) -> int:
    """Write records of a family that took `factor` times their estimate; return how many."""
    of = [cell for cell in study.cells(config) if cell.family == family]
    for cell in of:
        seconds = factor * study.estimate(cell).seconds
        content = {"status": "finished", "device": "cpu", "wall_seconds": seconds, "processes": 1}
        write_json(results / "runs" / cell.name / "metrics.json", content | record)
    return len(of)


def test_a_finished_study_says_how_wrong_the_estimates_were_and_corrects_the_next(smoke, tmp_path):
    finished = finish(smoke, tmp_path, 3.0, "painn")
    finish(smoke, tmp_path, 3.0, "schnet", status="failed")
    (row,) = costs(smoke, REGISTRY, tmp_path)["measured"]
    assert (row["arm"], row["family"], row["device"], row["cells"]) == ("potential", "painn", "cpu", finished)
    assert row["factor"] == pytest.approx(3) == row["measured_seconds"] / row["estimated_seconds"]
    text = as_text(costs(smoke, REGISTRY, tmp_path))
    lines = text[text.index("calibration:") :]
    assert lines == "calibration:\n  painn: {cpu: 3}"
    before = costs(smoke, REGISTRY, tmp_path)
    after = costs(smoke, REGISTRY, tmp_path, study.Site.from_json(yaml.safe_load(lines)))
    for old, new in zip(before["cells"], after["cells"], strict=True):
        assert new["seconds"] == pytest.approx((3 if "/painn/" in old["cell"] else 1) * old["seconds"])
    assert after["measured"] == before["measured"], "the factor is that of the model, whatever the site has"


def test_the_reference_study_was_estimated_within_a_factor_of_three(checkout, tmp_path):
    pandas = pytest.importorskip("pandas")
    config = complete(yaml.safe_load((checkout / "config" / "config.yaml").read_text()), REGISTRY)
    table = pandas.read_parquet(checkout / "results/reference/tables/runs.parquet")
    for row in table.to_dict("records"):
        content = {key: row[key] for key in ("status", "device", "wall_seconds", "processes")}
        write_json(tmp_path / "runs" / row["cell"] / "metrics.json", content)
    measured = costs(config, REGISTRY, tmp_path)["measured"]
    assert sum(row["cells"] for row in measured) == len(table)
    assert {row["family"]: 1 / 3 < row["factor"] < 3 for row in measured} == dict.fromkeys(
        ["chemgpt-slim", "schnet", "painn"], True
    )


def test_the_command_prints_tables_and_json(checkout, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = str(checkout / "config/studies/paper.yaml")
    assert main(["cost", path]) == 0
    text = capsys.readouterr().out
    assert "study paper: 288 cells" in text
    assert re.search(
        r"^language/chemgpt/w2048/9000000/seed0 +1,208,455,168 +3\.6e\+19 +8\.3 d +24\.0 h +79\.8 GB +1$", text, re.M
    )
    assert main(["cost", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["cells"] == 288
    (tmp_path / "bad.yaml").write_text("study: [")
    assert main(["cost", "bad.yaml"]) == 2
    assert "bad.yaml: not a YAML file" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
