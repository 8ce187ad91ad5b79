"""Answers from a fitted law: predictions, the best N and D of a budget, and checks against its table."""

import json

import numpy as np
import pandas as pd
import pytest

from chemscale.cli import main
from chemscale.errors import ChemscaleError
from chemscale.files import read_json
from chemscale.scaling import check, fit
from chemscale.scaling.allocation.cost import Cost, cost_of_table
from chemscale.scaling.answers import allocation, answers_text, predictions
from chemscale.scaling.table import parse_point

POINT = {"D": 1e10, "N": 1e8}


def truth(n, d):
    return 1 + (n / 1e5) ** -0.4 + (d / 1e6) ** -0.3


@pytest.fixture(scope="module")
def table():
    n, d = (grid.ravel() for grid in np.meshgrid(np.logspace(5, 7, 4), np.logspace(6, 9, 5)))
    noise = np.exp(0.005 * np.random.default_rng(0).normal(size=20))
    return pd.DataFrame({"n": n, "d": d, "loss": truth(n, d) * noise, "flops": 7 * n**0.9 * d})


@pytest.fixture(scope="module")
def law(table):
    return fit(table, params="n", data="d", draws=100)


def test_predictions_hold_the_truth_and_say_what_is_extrapolated(law):
    far, near = predictions(law, [POINT, {"N": 1e6, "D": 1e7}])
    assert far["low"] < truth(1e8, 1e10) < far["high"] and far["extrapolated"] == ["N", "D"]
    assert near["extrapolated"] == [] and near["high"] - near["low"] < far["high"] - far["low"]
    (single,) = predictions(law, [POINT], runs=1)
    assert single["high"] - single["low"] > far["high"] - far["low"]
    with pytest.raises(ChemscaleError, match="the law is one of N and D; N is given"):
        predictions(law, [{"N": 1e8}])


def test_the_best_split_of_a_budget_has_intervals_that_hold_the_truth(law, table):
    cost = cost_of_table(table, law.fit.x, "flops")
    assert (cost.p, cost.q) == pytest.approx((0.9, 1))
    found = allocation(law, [1e15, 1e40], cost)
    n = np.geomspace(1e5, 1e9, 20_001)
    best = n[truth(n, cost.data(n, 1e15)).argmin()]
    low, high = found["budgets"][0]["intervals"]["N"]
    assert low < best < high < 2 * low
    assert "outside the allowed range" in found["budgets"][1]["refused"]
    text = answers_text(0.9, predictions(law, [POINT]), found).split("\n")
    assert text[0].startswith("N=1e+08, D=1e+10: loss 1.") and "beyond the points in N, D" in text[0]
    assert text[1].startswith("budget 1e+15: N = ") and "outside the allowed range" in text[2]
    assert Cost.from_dict(cost.to_dict()) == cost


def test_a_curve_has_no_best_split(table):
    curve = fit(table[table["n"] == 1e5], data="d", form="power", draws=20)
    with pytest.raises(ChemscaleError, match="has no N and D to choose"):
        allocation(curve, [1e15])


def test_a_law_is_checked_by_forecasts_and_analysis_choices(law, table):
    found = check(law)
    assert [point["x"]["N"] == 1e7 or point["x"]["D"] == 1e9 for point in found["forecast"]["points"]] == [True] * 8
    assert found["sensitivity"]["quantity"] == "a" and "regime" not in found
    assert found["statement"].count("\n") == 1 and "8 points" in found["statement"]
    json.dumps(found, allow_nan=False)


def test_a_curve_is_also_checked_for_its_regime():
    x = np.logspace(4, 6, 5)
    loss = x**-0.3 * np.exp(0.01 * np.random.default_rng(0).normal(size=5))
    table = pd.DataFrame({"x": x, "loss": loss})
    found = check(fit(table, data="x", form="power", draws=50))
    assert found["regime"]["verdict"] == "resolution-limited" and len(found["forecast"]["points"]) == 1
    short = check(fit(table[:3], data="x", form="power", draws=50))
    assert "No forecast: without the held-out cells" in short["forecast"]["statement"]


@pytest.mark.parametrize("text", ["1e8", "N=", "N=1e9;D=3", "N=-1", "x=inf"])
def test_what_is_no_point_is_refused(text):
    with pytest.raises(ChemscaleError, match=r"not a point|positive numbers"):
        parse_point(text)


def test_the_commands_answer(table, tmp_path, capsys):
    table.to_csv(tmp_path / "t.csv", index=False)
    columns = [str(tmp_path / "t.csv"), "--loss", "loss", "--params", "n"]
    out = ["--out", str(tmp_path / "f.json")]
    few = ["--data", "d", "--draws", "20"]
    assert main(["fit", *columns, *few, *out, "--at", "N=1e8,D=1e10", "--budget", "1e15", "--cost", "flops"]) == 0
    content = read_json(tmp_path / "f.json")
    assert content["predictions"][0]["N"] == 1e8 and content["allocation"]["budgets"][0]["compute"] == 1e15
    assert content["cost"]["p"] == pytest.approx(0.9) and "budget 1e+15: N = " in capsys.readouterr().err
    assert main(["check", *columns, *few, *out]) == 0
    assert read_json(tmp_path / "f.json")["statement"] in capsys.readouterr().err
    assert main(["isoflop", *columns, "--compute", "flops", *out]) == 0
    assert "groups of equal compute have a minimum" in capsys.readouterr().err
