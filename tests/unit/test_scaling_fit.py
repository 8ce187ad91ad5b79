"""Known laws are recovered at any scale, derivatives are exact, bad tables are refused."""

import numpy as np
import pytest

from chemscale.errors import ChemscaleError
from chemscale.scaling.fit import fit_law
from chemscale.scaling.laws import FORMS, Scaling
from chemscale.scaling.minimise import minimise, objective

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
@pytest.mark.parametrize("delta", [10.0, 0.05])
def test_gradient_and_hessian_are_those_of_finite_differences(form, delta):
    rng = np.random.default_rng(1)
    form = FORMS[form]
    x = {name: np.exp(rng.uniform(5, 9, 7)) for name in form.variables}
    scaling = Scaling.of(form, x)
    design, log_y = scaling.design(x), rng.normal(size=(1, 7)) * 0.3
    theta = rng.normal(size=len(form.parameters)) * 0.3
    steps = theta + 1e-6 * np.concatenate([np.eye(len(theta)), -np.eye(len(theta))])
    weights = np.arange(1.0, 8)[None]
    value, gradient, _ = objective(design, log_y, steps, delta, weights)
    _, exact, hessian = objective(design, log_y, theta[None], delta, weights)
    p = len(theta)
    assert exact[0] == pytest.approx((value[:p] - value[p:]) / 2e-6, rel=1e-6, abs=1e-7)
    assert hessian[0] == pytest.approx((gradient[:p] - gradient[p:]) / 2e-6, rel=1e-5, abs=1e-6)


def test_certificate_of_a_noisy_table_shows_an_optimum():
    x, loss = joint_table(1e5, 1e4, 1.0)
    loss = loss * np.exp(0.01 * np.random.default_rng(0).normal(size=len(loss)))
    certificate = fit_law("joint", x, loss).certificate
    assert certificate["starts"] == 64
    assert certificate["share_in_best_basin"] > 0.9
    assert certificate["scaled_gradient"] < 1e-6
    assert certificate["at_bounds"] == []
    assert certificate["condition"] > 1


def test_near_absolute_deviations_the_best_of_many_more_starts_is_found():
    rng = np.random.default_rng(7)
    for _ in range(10):
        x, loss = joint_table(1e5, 1e4, 1.0, *rng.uniform(0.1, 0.5, 2))
        loss = loss * np.exp(0.02 * rng.standard_t(3, size=len(loss)))
        fit = fit_law("joint", x, loss, delta=1e-3)
        design, log_y = fit.scaling.design(fit.x), np.log(loss)[None]
        near = fit.theta + rng.normal(size=(100, 5)) * [0.5, 0.5, 0.5, 0.1, 0.1]
        wide = np.array([[20.0] * 5])
        reached = minimise(design, log_y, near, -wide, wide, 1e-3, smooth=False)[1].min()
        assert fit.certificate["objective"] <= reached * (1 + 1e-6)


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
        ("power", X, [3, 2, -1, 0.5], "loss must be positive numbers.*row 2: -1"),
        ("power", X, [3, np.nan, 1, 0.5], "loss must be positive numbers.*row 1: nan"),
        ("power", X, [3, 2, np.inf, 0.5], "row 2: inf"),
        ("power", [1e2, 0, 1e4, 1e5], [3, 2, 1, 0.5], "x must be positive numbers.*row 1: 0"),
        ("power", [1e2, 1e2, 1e3, 1e3], [3, 3.1, 2, 2.1], "x has 2 distinct values"),
        ("power", [1e2, 1e2, 1e2, 1e2], [3, 3.1, 2, 2.1], "x has 1 distinct values"),
        ("power", X[[0, 1, 2, 1]], [3, 2, 1, 2], "row 3 repeats row 1"),
        ("power", X, [3, 2, 1], "x has 4 values, loss has 3"),
        ("joint", {"N": X, "D": X[::-1]}, [3, 2, 1, 0.5], "4 distinct points cannot give the 5 numbers of joint"),
        ("joint", {"N": X}, [3, 2, 1, 0.5], "joint needs N and D; D is missing"),
        ("joint", X, [3, 2, 1, 0.5], "joint needs N and D; one array was given"),
        ("cubic", X, [3, 2, 1, 0.5], "'cubic'.*power, power_floor, joint"),
    ],
)
def test_a_bad_table_is_refused_with_its_reason(form, x, loss, message):
    x = x if isinstance(x, dict) else np.array(x)
    with pytest.raises(ChemscaleError, match=message):
        fit_law(form, x, np.array(loss))


def test_a_delta_that_is_not_positive_is_refused():
    with pytest.raises(ChemscaleError, match="delta -1"):
        fit_law("power", X, np.array([3, 2, 1, 0.5]), delta=-1)
