"""Parameters that a user holds, ties or bounds, in every form, in Python and on the command line."""

import json

import numpy as np
import pandas as pd
import pytest

from chemscale.cli import main
from chemscale.errors import ChemscaleError
from chemscale.scaling import check, compare, constrain, fit
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.fitting.objectives import huber
from chemscale.scaling.inference.bootstrap import bootstrap

TRUE = {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}


def loss_at(n, d, true=TRUE):
    return true["E"] + true["A"] * n ** -true["alpha"] + true["B"] * d ** -true["beta"]


@pytest.fixture(scope="module")
def x():
    n, d = (grid.ravel() for grid in np.meshgrid(np.logspace(6, 9, 6), np.logspace(8, 11, 6)))
    return {"N": n, "D": d}


@pytest.fixture(scope="module")
def loss(x):
    return loss_at(x["N"], x["D"]) * np.exp(0.003 * np.random.default_rng(0).normal(size=36))


@pytest.fixture(scope="module")
def table(x, loss):
    return pd.DataFrame({"n": x["N"], "d": x["D"], "loss": loss})


@pytest.mark.parametrize("name", [*TRUE])
def test_a_held_parameter_stays_and_the_others_are_fitted_around_it(x, name):
    held = fit_law(constrain("joint", {name: TRUE[name]}), x, loss_at(x["N"], x["D"]), delta=1e-3)
    assert held.parameters[name] == TRUE[name]
    assert held.parameters == pytest.approx(TRUE, rel=1e-5)
    wrong = fit_law(constrain("joint", {name: 1.2 * TRUE[name]}), x, loss_at(x["N"], x["D"]), delta=1e-3)
    assert wrong.parameters[name] == 1.2 * TRUE[name] and wrong.log_rmse > 1e-4 > held.log_rmse


def test_a_held_parameter_gives_the_least_objective_of_its_profile(x, loss):
    held = fit_law(constrain("joint", {"alpha": 0.35}), x, loss, delta=1e-3)
    found = fit_law("joint", x, loss, delta=1e-3)
    from chemscale.scaling.inference.profile import profile

    assert held.diagnostics["objective"] == pytest.approx(profile(found, {"alpha": np.array([0.35])})[0], rel=1e-5)
    assert held.diagnostics["objective"] == pytest.approx(huber(held.residuals, 1e-3).sum(), rel=1e-9)


def test_what_is_held_has_no_uncertainty_and_narrows_the_others(x, loss):
    forms = ("joint", constrain("joint", {"E": 1.69}))
    free, held = (bootstrap(fit_law(form, x, loss, objective="least_squares_log"), 200) for form in forms)
    assert held.interval("E", 0.9) == (1.69, 1.69)
    for name in ("alpha", "beta"):
        assert np.ptp(held.interval(name, 0.9)) < 0.9 * np.ptp(free.interval(name, 0.9))
    assert held.fit.diagnostics["objective"] > free.fit.diagnostics["objective"]
    assert held.fit.aic() - 36 * np.log(held.fit.diagnostics["objective"] / 18) == pytest.approx(2 * 5)


def test_tied_exponents_are_those_of_the_form_with_one_exponent(x, loss):
    tied = fit_law(constrain("joint", tie={"beta": "alpha"}), x, loss, delta=1e-3)
    known = fit_law("joint_tied", x, loss, delta=1e-3)
    assert tied.diagnostics["objective"] == pytest.approx(known.diagnostics["objective"], rel=1e-9)
    assert tied.parameters["alpha"] == pytest.approx(known.parameters["alpha"], rel=1e-6)
    one = TRUE | {"B": TRUE["A"]}
    same = fit_law(constrain("joint", tie={"B": "A"}), x, loss_at(x["N"], x["D"], one))
    assert "B" not in same.parameters
    assert same.parameters == pytest.approx({name: one[name] for name in same.parameters}, rel=1e-4)


def test_bounds_are_kept_and_said(x, loss):
    law = fit_law(constrain("joint", bounds={"alpha": (0.4, None), "E": (None, 1.8)}), x, loss, delta=1e-3)
    assert law.parameters["alpha"] == pytest.approx(0.4) and law.parameters["E"] == pytest.approx(1.8)
    assert law.diagnostics["at_bounds"] == ["alpha at its lowest", "E at its highest"]
    low = fit_law(constrain("joint", bounds={"E": (1.75, None)}), x, loss, delta=1e-3)
    assert low.parameters["E"] == pytest.approx(1.75)  # not reported as 0
    scale = fit_law(constrain("joint", bounds={"A": (None, 300)}), x, loss, delta=1e-3)
    assert scale.parameters["A"] == pytest.approx(300)
    loose = fit_law(constrain("joint", bounds={"A": (1, 1e6), "alpha": (0.1, 1)}), x, loss, delta=1e-3)
    free = fit_law("joint", x, loss, delta=1e-3)
    assert loose.diagnostics["objective"] == pytest.approx(free.diagnostics["objective"], rel=1e-9)


def test_a_loss_that_rises_is_said_and_fitted_where_asked(x):
    rising = 0.5 + 0.2 * (x["N"] / 1e6) ** 0.1 + (x["D"] / 1e8) ** -0.3
    noisy = pd.DataFrame(x | {"loss": rising * np.exp(0.002 * np.random.default_rng(1).normal(size=36))})
    flat = fit(noisy, params="N", data="D", draws=50)
    assert flat.parameters["alpha"] == 0 and "alpha" in flat.identification.unidentified
    assert "the loss does not fall with N; if it may rise, set bounds such as alpha=-1:5" in str(flat)
    law = fit(noisy, params="N", data="D", draws=100, bounds={"alpha": (-1, 5)}, fix={"E": 0.5})
    low, high = law.interval("alpha")
    assert low < -0.1 < high < 0 and "The loss rises with N: alpha is below 0." in str(law)
    steep = pd.DataFrame({"x": np.logspace(0, 1.2, 8)})
    steep["loss"] = 1 + steep["x"] ** -17.8 * np.exp(0.01 * np.random.default_rng(0).normal(size=8))
    assert "exponent ends at its highest value" in str(fit(steep, data="x", draws=20))
    wide = fit(steep, data="x", draws=20, bounds={"exponent": (0, 50)})
    assert wide.parameters["exponent"] == pytest.approx(17.8, rel=0.1)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"fix": {"gamma": 1}}, "fix: joint has no parameter 'gamma'; it has A, alpha, B, beta, E"),
        ({"fix": {"E": 0}}, "fix: E=0: has no logarithm; choose a form without a floor, such as joint_no_floor"),
        ({"fix": {"A": -1.0}}, "fix: A=-1: must be above 0"),
        ({"fix": {name: 1.0 for name in TRUE}}, "fix: holds every parameter of joint; leave one to fit"),
        ({"tie": {"beta": "E"}}, "tie: beta=E: a exponent cannot equal a floor"),
        ({"tie": {"alpha": "alpha"}}, "tie: alpha=alpha: does not lead to a free parameter"),
        ({"tie": {"beta": "alpha"}, "fix": {"beta": 0.3}}, "beta is also held or bounded; hold or bound alpha"),
        ({"bounds": {"alpha": (1.0, 0.5)}}, "bounds: alpha=1:0.5: give a lowest value below the highest"),
        ({"bounds": {"E": (-1.0, None)}}, "bounds: E=-1:: E is a floor, which is above 0"),
        ({"bounds": {"E": (1.0, 2.0)}, "fix": {"E": 1.5}}, "bounds: E: is also held at 1.5"),
        ({"form": "kaplan", "tie": {"B": "A"}}, "write the formula of the law with one name instead"),
        ({"form": "kaplan", "bounds": {"A": (1.0, None)}}, "scales of kaplan cannot be bounded; hold them"),
        ({"form": "kaplan", "bounds": {"beta": (-1.0, None)}}, "exponents of kaplan must be positive"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(asked, message):
    with pytest.raises(ChemscaleError) as caught:
        constrain(**{"form": "joint"} | asked)
    assert message in str(caught.value)


def test_all_wrong_names_are_told_at_once():
    with pytest.raises(ChemscaleError) as caught:
        constrain("power_floor", {"E": 1.0}, {"alpha": "beta"})
    assert len(str(caught.value).split("\n")) == 3


def test_the_command_line_takes_constraints_and_compares_under_them(table, tmp_path, capsys):
    table.to_csv(tmp_path / "t.csv", index=False)
    columns = [str(tmp_path / "t.csv"), "--loss", "loss", "--params", "n", "--data", "d"]
    asked = ["--fix", "E=1.69", "--bounds", "alpha=0.1:0.9", "--draws", "50"]
    assert main(["fit", *columns, *asked, "--out", str(tmp_path / "fit.json")]) == 0
    found = json.loads((tmp_path / "fit.json").read_text())
    assert found["parameters"]["E"] == 1.69 and found["fixed"] == {"E": 1.69}
    assert found["bounds"] == {"alpha": [0.1, 0.9]} and found["intervals"]["E"] == [1.69, 1.69]
    assert "E = 1.69 held, 0.1 ≤ alpha ≤ 0.9" in capsys.readouterr().err
    assert main(["fit", *columns, "--fix", "E", "--out", "x"]) == 2
    assert "--fix E: write a name and its value, such as --fix E=1.69" in capsys.readouterr().err
    assert main(["fit", *columns, "--tie", "beta=gamma", "--form", "joint", "--out", "x"]) == 2
    assert "tie: joint has no parameter 'gamma'" in capsys.readouterr().err
    assert main(["fit", *columns, "--compare", "--fix", "E=1.69", "--out", str(tmp_path / "c.json")]) == 0
    compared = json.loads((tmp_path / "c.json").read_text())
    assert compared["chosen"] == "joint" and compared["forms"]["joint"]["parameters"] == 4
    assert compared["not_fitted"]["kaplan"].startswith("fix: kaplan has no parameter 'E'")


def test_a_constrained_law_is_checked_planned_and_compared_as_it_is(table):
    law = fit(table, params="n", data="d", fix={"E": 1.69}, draws=50)
    found = check(law)
    assert found["form"] == "joint" and found["sensitivity"]["quantity"] == "a"
    assert found["sensitivity"]["exponent"] == pytest.approx(float(law.fit.quantity("a", law.fit.theta)))
    from chemscale.scaling.allocation.planner import plan_table

    options = {"loss": "loss", "params": "n", "data": "d", "draws": 50, "fix": {"E": 1.69}}
    made = plan_table(table, 1e22, of="alpha", **options)
    assert made["value"] == pytest.approx(law.parameters["alpha"]) and 0 < made["width_ratio"] < 1
    with pytest.raises(ChemscaleError, match="of = 'E': choose one of alpha, beta, a"):
        plan_table(table, 1e22, of="E", **options)
    tied = fit(table, params="n", data="d", tie={"beta": "alpha"}, draws=30)
    from chemscale.scaling.answers import allocation

    (entry,) = allocation(tied, [1e21])["budgets"]
    a, b, alpha = tied.parameters["A"], tied.parameters["B"], tied.parameters["alpha"]
    assert entry["N"] / entry["D"] == pytest.approx((a / b) ** (1 / alpha), rel=1e-6)
    assert compare(table, params="n", data="d", fix={"E": 1.69}).chosen == "joint"
