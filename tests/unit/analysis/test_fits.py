"""Forecasts and the fits of a whole arm, from a runs table with a known law."""

import json

import numpy as np
import pandas as pd
import pytest

from chemscale.analysis.families import compare_families, interpolated
from chemscale.analysis.fits import fit_runs
from chemscale.analysis.runs_table import select_runs
from chemscale.arms import ARMS
from chemscale.errors import ChemscaleError
from chemscale.files import read_json, write_json
from chemscale.scaling.selection.forecast import forecast, held_out

WIDTHS = {"w16": 2e4, "w32": 1e5, "w64": 5e5, "w128": 2.5e6}
DATA = [1000, 3000, 9000, 27000, 81000]


def truth(n, d):
    return 0.6 + 0.9 * (n / 2e4) ** -0.25 + 0.5 * (d / 1000) ** -0.35


@pytest.fixture(scope="module")
def runs():
    rng = np.random.default_rng(0)
    rows = [
        {
            "cell": f"{size}-{data}-{seed}",
            "arm": "language",
            "family": "chemgpt-slim",
            "size": size,
            "data": data,
            "seed": seed,
            "status": "finished",
            "reason": None,
            "undertrained": False,
            "parameters": n,
            "train_molecules": data - 7,
            "flops": 50 * n**0.9 * (data - 7) ** 0.8 * 22,
            "test_loss": truth(n, data) * np.exp(0.003 * rng.normal()),
        }
        for size, n in WIDTHS.items()
        for i, data in enumerate(DATA)
        for seed in range(2 if i < 3 else 1)
    ]
    table = pd.DataFrame(rows)
    table.loc[0, ["status", "reason", "test_loss"]] = ["failed", "loss became NaN", np.nan]
    table.loc[5, "undertrained"] = True
    table.loc[8, "test_loss"] = np.inf
    return table


@pytest.fixture(scope="module")
def fits(runs):
    return fit_runs(runs, "language", draws=60)


def test_what_is_left_out_is_listed_with_its_rule(runs, fits):
    assert fits["left_out"] == [
        {"cell": runs["cell"][0], "rule": "failed: loss became NaN"},
        {"cell": runs["cell"][5], "rule": "undertrained"},
        {"cell": runs["cell"][8], "rule": "test_loss is not a positive number"},
    ]
    left_out = {entry["cell"] for entry in fits["left_out"]}
    used = {cell for curve in fits["curves"] for cell in curve["cells"]}
    assert used == set(runs["cell"]) - left_out


def test_a_run_that_lost_what_it_had_learnt_is_left_out(runs):
    collapsed = runs.assign(collapsed=runs.index == 7)
    assert {"cell": runs["cell"][7], "rule": "collapsed"} in select_runs(collapsed, "language")[1]
    assert len(select_runs(runs, "language")[0]) == len(select_runs(collapsed, "language")[0]) + 1


def test_every_curve_is_there_with_both_forms_and_one_is_preferred(fits):
    curves = {(c["along"], *c["at"].values(), c["form"]) for c in fits["curves"]}
    along_data = {("data", size, form) for size in WIDTHS for form in ("power", "power_floor")}
    along_parameters = {("parameters", data, form) for data in DATA for form in ("power", "power_floor")}
    missing = {(n["along"], *n["at"].values(), n["form"]) for n in fits["not_fitted"] if n["what"] == "fit"}
    assert curves | missing == along_data | along_parameters
    for along, at in {(c["along"], str(c["at"])) for c in fits["curves"]}:
        same = [c for c in fits["curves"] if c["along"] == along and str(c["at"]) == at]
        assert sum(c["preferred"] for c in same) == 1
        assert len({c["diagnostics"]["delta"] for c in same if c["aicc"] is not None}) <= 1


def test_the_floor_of_a_curve_is_that_of_infinite_data(fits):
    curve = next(c for c in fits["curves"] if c["at"] == {"size": "w128"} and c["form"] == "power_floor")
    assert curve["preferred"]
    low, high = curve["intervals"]["floor"]
    assert low < truth(2.5e6, np.inf) < high
    assert len(curve["line"]["x"]) == 40
    assert curve["line"]["x"][0] == pytest.approx(993)
    assert all(np.array(curve["line"]["low"]) <= curve["line"]["high"])


def test_the_joint_law_is_recovered(fits):
    assert {law["form"] for law in fits["joint"]} == {"joint_no_floor", "joint_tied", "joint"}
    joint = next(law for law in fits["joint"] if law["form"] == "joint")
    assert joint["preferred"] and joint["identified"], joint["statement"]
    for name, value in {"alpha": 0.25, "beta": 0.35, "E": 0.6, "a": 0.35 / 0.6}.items():
        low, high = joint["intervals"][name]
        assert low < value < high
        assert high - low < 0.25 * value
    assert joint["a"] == joint["parameters"]["beta"] / (joint["parameters"]["alpha"] + joint["parameters"]["beta"])
    assert joint["diagnostics"]["correlation"] == pytest.approx(0, abs=0.2)


def test_forecasts_never_see_the_cells_they_predict(runs, fits):
    by_cell = runs.set_index("cell")
    for made in fits["forecasts"]:
        predicted = {cell for point in made["points"] for cell in point["cells"]}
        assert predicted and not predicted & set(made["used"])
        if made["along"] == "data":
            assert by_cell.loc[made["used"], "data"].max() < by_cell.loc[list(predicted), "data"].min()
    joint = next(made for made in fits["forecasts"] if made["form"] == "joint")
    assert {(p["size"], p["data"]) for p in joint["points"]} == {
        (s, d) for s in WIDTHS for d in DATA if s == "w128" or d == 81000
    }
    assert all(abs(point["error_percent"]) < 2 for point in joint["points"])
    assert {p["seeds"] for p in joint["points"] if p["data"] == 1000} == {2}


def test_every_curve_is_judged_by_rules(fits):
    judged = {(j["along"], *j["at"].values()): j for j in fits["judgements"]}
    for size in WIDTHS:
        judgement = judged["data", size]
        preferred = next(c for c in fits["curves"] if c["at"] == {"size": size} and c["preferred"])
        assert judgement["form"] == preferred["form"] == judgement["sensitivity"]["form"]
        assert judgement["sensitivity"]["interval"] == preferred["intervals"]["exponent"]
        assert judgement["regime"]["verdict"] in ("resolution-limited", "floor", "break")
    assert judged["data", "w128"]["regime"]["verdict"] == "floor"
    assert judged[("both",)]["selection"]["chosen"] == "joint"


def test_curves_of_a_family_share_the_form_that_forecasts_all_of_them_best(fits):
    found = {choice["along"]: choice for choice in fits["forms"]}
    assert found["data"]["selection"]["tables"] == len(WIDTHS)
    for along, choice in found.items():
        of_direction = [curve for curve in fits["curves"] if curve["along"] == along]
        assert choice["selection"]["chosen"] == "power_floor"  # the truth has one
        assert {curve["form"] for curve in of_direction if curve["preferred"]} == {"power_floor"}
        judged = [made for made in fits["forecasts"] if made["along"] == along and made["preferred"]]
        assert {made["form"] for made in judged} == {choice["without_held_out"]["chosen"]}


def test_compute_goes_where_the_law_says(fits):
    (allocation,) = fits["allocations"]
    cost = allocation["cost"]
    assert (cost["p"], cost["q"]) == pytest.approx((0.9, 0.8))
    share = 0.35 / (0.25 * 0.8 + 0.35 * 0.9)  # exponent of N in C for α = 0.25, β = 0.35
    assert allocation["exponents"]["N"]["value"] == pytest.approx(share, rel=0.1)
    low, high = allocation["exponents"]["N"]["interval"]
    assert low < share < high
    for budget in allocation["budgets"]:
        if "refused" not in budget:
            assert all(left["excess"] > 0 for left in budget["loss_paid"])
    (frontier,) = fits["frontiers"]
    counted = {
        row["choice"]: row for row in frontier["sensitivity"]["rows"] if row["convention"] == "compute counted as"
    }
    assert counted["flops"]["exponent"] == pytest.approx(frontier["parameters"]["exponent"], rel=0.05)
    assert "no flops_6nd" in counted["flops_6nd"]["reason"]
    assert 0 < frontier["parameters"]["exponent"] < 0.2 and set(frontier["on"]) <= set(fits["joint"][0]["cells"])


def test_plans_say_what_they_bring_beside_the_alternatives(fits):
    interval, loss = fits["next"]
    assert (interval["goal"], loss["goal"]) == ("interval", "loss")
    assert interval["spent"] <= interval["budget"] and 0 < interval["width_ratio"] < 1
    assert set(interval["alternatives"]) == {"run at the optimum", "repeat what is there"}
    assert loss["gain"] > 0 and loss["spent"] <= loss["budget"]


def test_families_are_compared_at_equal_parameters_and_compute(runs):
    """The same runs as another family, of which a run has three times the FLOPs and the loss of four times the data."""
    better = runs.assign(family="chemgpt", cell="better-" + runs["cell"], flops=3 * runs["flops"])
    noise = np.exp(0.002 * np.random.default_rng(1).normal(size=len(better)))
    better["test_loss"] = truth(better["parameters"], 4 * better["data"]) * noise
    both, _ = select_runs(pd.concat([runs, better]), "language")
    made, not_fitted = compare_families(both, ARMS["language"], {"confidence": 0.9, "draws": 100})
    by_parameters, by_compute = made
    assert not_fitted == [] and [entry["matched"] for entry in (by_parameters, by_compute)] == ["parameters", "flops"]
    factors = []
    for compared in (by_parameters, by_compute):
        assert compared["names"] == ["chemgpt", "chemgpt-slim"]
        assert "times the training molecules" in compared["statement"]
        assert len(compared["sides"][0]["observed"]) == len(compared["sides"][1]["observed"]) > 4
        factors.append(compared["factors"]["at"][1])
    assert by_parameters["at"]["parameters"] == runs["parameters"].max()  # the largest that both have
    low, high = factors[0]["interval"]
    assert low < 4 < high and factors[0]["factor"] == pytest.approx(4, rel=0.3)
    # at equal compute the better family has to be smaller, and so gives back part of what it saves
    assert 1 < factors[1]["factor"] < factors[0]["factor"]


def test_interpolation_between_capacities_is_logarithmic_and_never_beyond(runs):
    kind = ARMS["language"]
    exact = runs.assign(test_loss=2.0 * runs["parameters"] ** -0.3 * runs["data"] ** -0.1)
    low, high = sorted(exact["parameters"].unique())[:2]
    cells = exact[exact["parameters"] == low].assign(parameters=(low * high) ** 0.5)
    found = interpolated(exact, cells, "parameters", kind)
    expected = 2.0 * (low * high) ** -0.15 * found["data"] ** -0.1
    assert found["test_loss"].to_numpy() == pytest.approx(expected.to_numpy()) and len(found) == len(cells)
    assert interpolated(exact, cells.assign(parameters=low * 0.99), "parameters", kind).empty


def test_families_without_a_size_in_common_are_said_not_to_be_compared(runs):
    other = runs.assign(family="chemgpt", cell="x-" + runs["cell"], parameters=1000 * runs["parameters"])
    other["flops"] *= 1e6
    made, not_fitted = compare_families(pd.concat([runs, other]), ARMS["language"], {"confidence": 0.9, "draws": 20})
    assert made == [] and [entry["what"] for entry in not_fitted] == [
        "comparison at matched parameters",
        "comparison at matched flops",
    ]
    assert "no size of one family lies between those of the other" in not_fitted[0]["reason"]


def test_the_document_is_plain_json(fits, tmp_path):
    write_json(tmp_path / "fits.json", fits)
    assert read_json(tmp_path / "fits.json") == fits


def test_fits_are_repeatable(runs, fits):
    few = runs[runs["size"] == "w64"]
    first, again = (fit_runs(few, "language", draws=20) for _ in range(2))
    assert json.dumps(first) == json.dumps(again)
    assert {n["reason"].split(";")[0] for n in first["not_fitted"] if n["form"] == "joint"} == {
        "N has 1 distinct values"
    }


def test_nine_forecasts_of_ten_are_inside_for_the_true_law_and_a_broken_one_is_outside():
    x = np.repeat(np.logspace(2, 4, 5), 2)
    held = held_out("power", x)
    assert held.tolist() == [False] * 8 + [True] * 2
    inside = 0
    for seed in range(40):
        loss = x**-0.3 * np.exp(0.005 * np.random.default_rng(seed).normal(size=10))
        fit, (point,) = forecast("power", x, loss, held, draws=200)
        inside += point["inside"]
    assert 33 <= inside <= 39
    assert len(fit.loss) == 8
    assert point["seeds"] == 2
    assert point["observed"] == pytest.approx(loss[-2:].mean())
    assert point["observed_sd"] == pytest.approx(loss[-2:].std(ddof=1))
    loss[-2:] *= 1.2
    _, (point,) = forecast("power", x, loss, held, draws=200)
    assert not point["inside"]
    assert point["error_percent"] == pytest.approx(100 / 1.2 - 100, abs=1)


def test_a_forecast_from_too_few_points_says_so():
    x = np.logspace(2, 4, 3)
    with pytest.raises(ChemscaleError, match="without the held-out cells: x has 2 distinct values"):
        forecast("power", x, x**-0.3, held_out("power", x))


@pytest.mark.parametrize(
    ("change", "arm", "message"),
    [
        (lambda t: t.drop(columns="test_loss"), "language", "needs the column test_loss"),
        (lambda t: t, "vision", "arm = 'vision': choose one of language, potential"),
        (lambda t: t.assign(test_force_mae=1.0, train_structures=5), "potential", "no run of this arm"),
        (lambda t: pd.concat([t, t.tail(1)]), "language", "w128-81000-0: repeated in the runs table"),
        (
            lambda t: t.assign(parameters="many"),
            "language",
            "parameters: not a number in row 1 .'many'., row 2 .'many'.",
        ),
    ],
)
def test_a_bad_runs_table_is_refused(runs, change, arm, message):
    with pytest.raises(ChemscaleError, match=message):
        fit_runs(change(runs), arm, draws=20)


def test_a_family_of_one_size_has_curves_along_data_and_says_what_it_cannot_have(runs):
    """All its runs are at the largest model, so that none is left when the largest are held out."""
    made = fit_runs(runs[runs["size"] == "w64"].assign(status="finished", reason=None), "language", draws=60)
    assert {curve["along"] for curve in made["curves"]} == {"data"}
    assert made["joint"] == [] and any(entry["along"] == "both" for entry in made["not_fitted"])
