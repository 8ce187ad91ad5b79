"""Known laws are recovered at any scale, derivatives are exact, bad tables are refused."""

import numpy as np
import pytest

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.fitting.newton import evaluate, minimise
from chemscale.scaling.fitting.objectives import OBJECTIVES, Objective
from chemscale.scaling.fitting.starts import random_starts
from chemscale.scaling.forms.laws import FORMS
from chemscale.scaling.inference.bootstrap import bootstrap

GRID = [values.ravel() for values in np.meshgrid(np.logspace(0, 2, 5), np.logspace(0, 3, 6))]


def joint_table(n0, d0, scale, alpha=0.34, beta=0.28, floor=1.0):
    n, d = GRID[0] * n0, GRID[1] * d0
    return {"N": n, "D": d}, scale * (floor + 0.8 * GRID[0] ** -alpha + 1.5 * GRID[1] ** -beta)


@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
@pytest.mark.parametrize(("n0", "d0"), [(1e3, 1e2), (1e6, 1e5), (1e10, 1e10)])
def test_joint_law_is_recovered_at_any_scale(n0, d0, scale):
    x, loss = joint_table(n0, d0, scale)
    fit = fit_law("joint", x, loss)
    assert fit.parameters["alpha"] == pytest.approx(0.34, rel=1e-5)
    assert fit.parameters["beta"] == pytest.approx(0.28, rel=1e-5)
    assert fit.parameters["E"] == pytest.approx(scale, rel=1e-5)
    assert fit.parameters["A"] == pytest.approx(0.8 * scale * n0**0.34, rel=1e-4)
    assert fit.predict(x) == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("x0", [1e2, 1e12])
@pytest.mark.parametrize("floor", [0.0, 0.5])
def test_curve_is_recovered_with_and_without_a_floor(x0, floor):
    x = x0 * np.logspace(0, 2, 6)
    loss = 0.02 * (floor + (x / x0) ** -0.2)
    fit = fit_law("power_floor", x, loss)
    assert fit.parameters["exponent"] == pytest.approx(0.2, rel=1e-4)
    assert fit.parameters["floor"] == pytest.approx(0.02 * floor, abs=1e-7)
    assert fit.parameters["coefficient"] == pytest.approx(0.02 * x0**0.2, rel=1e-4)


def test_a_loss_that_rises_has_a_negative_exponent():
    x = np.logspace(2, 4, 5)
    assert fit_law("power", x, x**0.1).parameters["exponent"] == pytest.approx(-0.1)


def test_two_outliers_do_not_move_a_robust_fit():
    x = np.logspace(2, 5, 20)
    loss = 3 * x**-0.25 * np.exp(0.002 * np.random.default_rng(0).normal(size=20))
    loss[[1, 3]] *= [1.5, 1.8]
    assert fit_law("power", x, loss, delta=0.003).parameters["exponent"] == pytest.approx(0.25, abs=0.002)
    assert abs(fit_law("power", x, loss, delta=10).parameters["exponent"] - 0.25) > 0.01


def test_chosen_delta_is_1_35_robust_deviations_and_never_below_a_thousandth():
    x = np.logspace(2, 5, 400)
    noise = np.random.default_rng(0).normal(size=400)
    assert fit_law("power", x, x**-0.25 * np.exp(0.02 * noise)).delta == pytest.approx(1.35 * 0.02, rel=0.1)
    assert fit_law("power", x, x**-0.25 * np.exp(1e-5 * noise)).delta == 1e-3


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize(
    "objective", [Objective("huber", 0.05), *(Objective(kind) for kind in OBJECTIVES[2:])], ids=str
)
def test_gradient_and_hessian_are_those_of_finite_differences(form, objective):
    rng = np.random.default_rng(1)
    form = FORMS[form]
    x = {name: np.exp(rng.uniform(5, 9, 7)) for name in form.variables}
    if "U" in x:
        x["U"] = x["D"] / rng.uniform(1, 20, 7)
    scaling = form.scaling(x)
    law, log_y = form.bind(scaling, x), rng.normal(size=(1, 7)) * 0.3
    (theta,) = random_starts(form, scaling, x, log_y, 1, rng)
    steps = theta + 1e-6 * np.concatenate([np.eye(len(theta)), -np.eye(len(theta))])
    weights = np.arange(1.0, 8)[None]
    value, gradient, _ = evaluate(law, log_y, steps, objective, weights)
    _, exact, hessian = evaluate(law, log_y, theta[None], objective, weights)
    p = len(theta)
    assert exact[0] == pytest.approx((value[:p] - value[p:]) / 2e-6, rel=1e-6, abs=1e-7)
    assert hessian[0] == pytest.approx((gradient[:p] - gradient[p:]) / 2e-6, rel=1e-5, abs=1e-6)


TRUTHS = {
    "shifted": ({"x": np.logspace(2, 5, 12)}, {"coefficient": 30, "exponent": 0.4, "shift": 2e3}),
    "shifted_floor": ({"x": np.logspace(2, 6, 16)}, {"coefficient": 30, "exponent": 0.4, "shift": 2e3, "floor": 0.2}),
    "broken": (
        {"x": np.logspace(2, 6, 24)},
        {"coefficient": 5, "exponent": 0.1, "change": 0.4, "break": 5e3, "width": 0.3, "floor": 0.1},
    ),
    "joint_no_floor": (None, {"A": 50, "alpha": 0.34, "B": 20, "beta": 0.28}),
    "joint_tied": (None, {"A": 50, "alpha": 0.3, "B": 20, "E": 0.7}),
    "kaplan": (None, {"A": 1e6, "B": 1e5, "alpha": 0.2, "beta": 0.35}),
    "kaplan_floor": (None, {"A": 1e6, "B": 1e5, "alpha": 0.2, "beta": 0.35, "E": 0.3}),
    "repeated": (None, {"A": 50, "alpha": 0.34, "B": 20, "beta": 0.28, "repeats": 12, "E": 0.5}),
}


def written_out(form, x, p):
    """The laws as their papers write them."""
    floor = p.get("floor", p.get("E", 0))
    if form.startswith("shifted"):
        return floor + p["coefficient"] * (x["x"] + p["shift"]) ** -p["exponent"]
    if form == "broken":
        bend = (1 + (x["x"] / p["break"]) ** (1 / p["width"])) ** (-p["change"] * p["width"])
        return floor + p["coefficient"] * x["x"] ** -p["exponent"] * bend
    if form.startswith("kaplan"):
        inner = (p["A"] / x["N"]) ** (p["alpha"] / p["beta"]) + p["B"] / x["D"]
        return floor + inner ** p["beta"]
    d = x["D"]
    if form == "repeated":
        d = x["U"] * (1 + p["repeats"] * (1 - np.exp(-(x["D"] / x["U"] - 1) / p["repeats"])))
    return floor + p["A"] * x["N"] ** -p["alpha"] + p["B"] * d ** -p.get("beta", p["alpha"])


@pytest.mark.parametrize("form", list(TRUTHS))
def test_every_form_is_recovered_from_its_formula(form):
    x, truth = TRUTHS[form]
    if x is None:
        n, d = np.meshgrid(np.logspace(4, 7, 5), np.logspace(3, 6, 6))
        x = {"N": n.ravel(), "D": d.ravel()}
        if form == "repeated":
            x["U"] = x["D"] / np.resize([1, 2, 5, 20, 60, 200, 1], len(x["D"]))
    fit = fit_law(form, x, written_out(form, x, truth))
    assert fit.log_rmse < 1e-6
    assert fit.parameters == pytest.approx(truth, rel=1e-3)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_finds_the_law_and_says_its_value(objective):
    x = np.logspace(2, 4, 9)
    loss = (0.5 + (x / 100) ** -0.5) * np.exp(0.01 * np.random.default_rng(3).normal(size=9))
    fit = fit_law("power_floor", x, loss, objective=objective)
    assert fit.parameters["exponent"] == pytest.approx(0.5, abs=0.1)
    residual, distance = fit.residuals, fit.predict(x) - loss
    value = {
        "huber": np.sum(np.where(np.abs(residual) < fit.delta, residual**2 / 2,
                                 fit.delta * (np.abs(residual) - fit.delta / 2))),
        "lad": 1e-8 * np.abs(residual).sum(),
        "least_squares_log": np.sum(residual**2) / 2,
        "least_squares_log1p": np.sum((np.log1p(fit.predict(x)) - np.log1p(loss)) ** 2) / 2,
        "least_squares": np.sum(distance**2) / 2 / np.mean(loss**2),
    }[objective]  # fmt: skip
    assert fit.diagnostics["objective"] == pytest.approx(value, rel=1e-5)
    assert fit.diagnostics["objective_kind"] == objective


def test_a_weight_of_two_is_a_point_seen_twice():
    x = np.logspace(2, 4, 8)
    loss = x**-0.3 * np.exp(0.02 * np.random.default_rng(1).normal(size=8))
    twice = np.append(x, x[2] * (1 + 1e-12))
    weighted = fit_law("power", x, loss, delta=1.0, weights=np.where(np.arange(8) == 2, 2.0, 1.0))
    doubled = fit_law("power", twice, np.append(loss, loss[2]), delta=1.0)
    assert weighted.parameters == pytest.approx(doubled.parameters, rel=1e-6)
    assert weighted.parameters != pytest.approx(fit_law("power", x, loss, delta=1.0).parameters, rel=1e-4)


def test_diagnostics_of_a_noisy_table_shows_an_optimum():
    x, loss = joint_table(1e5, 1e4, 1.0)
    loss = loss * np.exp(0.01 * np.random.default_rng(0).normal(size=len(loss)))
    diagnostics = fit_law("joint", x, loss).diagnostics
    assert diagnostics["starts"] == 64
    assert diagnostics["share_in_best_basin"] > 0.9
    assert diagnostics["scaled_gradient"] < 1e-6
    assert diagnostics["at_bounds"] == []
    assert diagnostics["condition"] > 1


def test_near_absolute_deviations_the_best_of_many_more_starts_is_found():
    rng = np.random.default_rng(7)
    for _ in range(10):
        x, loss = joint_table(1e5, 1e4, 1.0, *rng.uniform(0.1, 0.5, 2))
        loss = loss * np.exp(0.02 * rng.standard_t(3, size=len(loss)))
        fit = fit_law("joint", x, loss, delta=1e-3)
        law, log_y = fit.form.bind(fit.scaling, fit.x), np.log(loss)[None]
        near = fit.theta + rng.normal(size=(100, 5)) * [0.5, 0.1, 0.5, 0.1, 0.5]
        wide = np.array([[20.0] * 5])
        reached = minimise(law, log_y, near, -wide, wide, fit.objective, smooth=False)[1].min()
        assert fit.diagnostics["objective"] <= reached * (1 + 1e-6)


def test_a_fit_reads_well():
    x = np.logspace(2, 4, 5)
    shown = str(fit_law("power", x, 2 * x**-0.25))
    assert "L = A x^-α, 5 points" in shown
    assert "coefficient 2, exponent 0.25" in shown
    assert "100% of 64 starts agree" in shown


X = np.array([1e2, 1e3, 1e4, 1e5])


@pytest.mark.parametrize(
    ("form", "x", "loss", "message"),
    [
        ("power", X, [3, 2, -1, 0.5], r"loss: must be positive numbers.*row 3 \(-1\);"),
        ("power", X, [3, np.nan, 1, 0.5], r"loss: must be positive numbers.*row 2 \(nan\)"),
        ("power", X, [3, 2, np.inf, 0.5], r"row 3 \(inf\)"),
        ("power", [1e2, 0, 1e4, 1e5], [3, 2, 1, 0.5], r"x: must be positive numbers.*row 2 \(0\)"),
        ("power", [1e2, 1e2, 1e3, 1e3], [3, 3.1, 2, 2.1], "x has 2 distinct values"),
        ("power", [1e2, 1e2, 1e2, 1e2], [3, 3.1, 2, 2.1], "x has 1 distinct values"),
        ("power", X, [3, 2, 1], "x has 4 values, loss has 3"),
        ("joint", {"N": X, "D": X[::-1]}, [3, 2, 1, 0.5], "4 distinct points cannot determine the 5 parameters"),
        ("joint", {"N": X}, [3, 2, 1, 0.5], "joint needs N and D; D is missing"),
        ("joint", X, [3, 2, 1, 0.5], "joint needs N and D; one array was given"),
        ("cubic", X, [3, 2, 1, 0.5], "'cubic'.*power, power_floor, .*joint"),
    ],
)
def test_a_bad_table_is_refused_with_its_reason(form, x, loss, message):
    x = x if isinstance(x, dict) else np.array(x)
    with pytest.raises(ChemscaleError, match=message):
        fit_law(form, x, np.array(loss))


def test_repeats_need_runs_that_repeat_and_objectives_exist():
    n, d = (values.ravel() for values in np.meshgrid(np.logspace(4, 7, 4), np.logspace(3, 6, 4)))
    with pytest.raises(ChemscaleError, match="no run sees an example twice"):
        fit_law("repeated", {"N": n, "D": d, "U": d}, 1 + n**-0.1 + d**-0.2)
    with pytest.raises(ChemscaleError, match="objective = 'hubris': unknown objective; choose one of huber, lad"):
        fit_law("power", X, np.array([3, 2, 1, 0.5]), objective="hubris")
    with pytest.raises(ChemscaleError, match="the objective lad has no δ"):
        fit_law("power", X, np.array([3, 2, 1, 0.5]), objective="lad", delta=0.1)
    for weights in ([1, -1, 1, 1], [1, np.nan, 1, 1], [0, 0, 0, 0]):
        with pytest.raises(ChemscaleError, match="weights: must be numbers of at least 0, and not all 0"):
            fit_law("power", X, np.array([3, 2, 1, 0.5]), weights=np.array(weights))


def test_a_point_of_weight_zero_does_not_count():
    loss = np.array([3, 2, 1, 0.5])
    wrong = fit_law("power", [*X, 3e5], [*loss, 7.0], weights=np.array([1, 1, 1, 1, 0]))
    right = fit_law("power", X, loss)
    assert wrong.parameters == pytest.approx(right.parameters, rel=1e-6)
    assert bootstrap(wrong, 50).interval("exponent", 0.9) == pytest.approx(
        bootstrap(right, 50).interval("exponent", 0.9), rel=0.5
    )


def test_a_delta_that_is_not_positive_is_refused():
    with pytest.raises(ChemscaleError, match="delta = -1: must be above 0"):
        fit_law("power", X, np.array([3, 2, 1, 0.5]), delta=-1)


def test_models_too_large_for_their_distinct_data_gain_less():
    n, d, passes = (
        grid.ravel() for grid in np.meshgrid(np.logspace(7, 9.5, 6), np.logspace(8, 10.5, 5), [1, 4, 20, 60])
    )
    true = {"E": 1.87, "A": 521.0, "alpha": 0.35, "B": 1488.0, "beta": 0.35, "R_N": 5.3, "R_D": 15.4}
    unique = d / passes
    balance = (0.35 * 521 / (0.35 * 1488)) ** (1 / 0.7)
    useful = np.minimum(n, balance * (unique * balance))
    large = useful * (1 + 5.3 * (1 - np.exp(-(n / useful - 1) / 5.3)))
    seen = unique * (1 + 15.4 * (1 - np.exp(-(d / unique - 1) / 15.4)))
    loss = 1.87 + 521 * large**-0.35 + 1488 * seen**-0.35
    found = fit_law("repeated_both", {"N": n, "D": d, "U": unique}, loss, objective="least_squares_log")
    assert found.parameters == pytest.approx(true, rel=1e-3)
    assert found.log_rmse < 1e-6 < fit_law("repeated", found.x, loss).log_rmse
