"""Intervals: repeatable, as wide as theory says where theory is exact, and honest about what is not determined."""

import numpy as np
import pytest
from scipy import optimize, stats

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.inference.bootstrap import bootstrap, wider_bootstrap
from chemscale.scaling.inference.identifiability import identify
from chemscale.scaling.inference.profile import profile_interval

SIZES = np.repeat(np.logspace(3, 4.7, 5), [2, 2, 2, 1, 1])


def noisy(loss, seed=0, sd=0.015):
    return loss * np.exp(sd * np.random.default_rng(seed).normal(size=len(loss)))


def judge(form, x, loss, **options):
    fit = fit_law(form, x, loss, **options)
    return fit, identify(fit, bootstrap(fit, 200), None, 0.9)


def test_the_same_seed_draws_the_same_intervals_and_another_does_not():
    fit = fit_law("power_floor", SIZES, noisy(0.5 + (SIZES / 1e3) ** -0.4))
    first, again, other = (bootstrap(fit, 50, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.theta, again.theta)
    assert not np.array_equal(first.theta, other.theta)
    beyond = SIZES[-1:] * 2
    assert first.band(beyond, 0.9, runs=2) == again.band(beyond, 0.9, runs=2)


def test_the_interval_of_a_power_law_is_students_in_the_mean():
    # without clipping the fit is a straight line in logs, whose 90 % interval is known exactly
    ratios = []
    for seed in range(20):
        fit = fit_law("power", SIZES, noisy(SIZES**-0.2, seed), delta=1.0, starts=4)
        low, high = bootstrap(fit, 1000, seed).interval("exponent", 0.9)
        line = stats.linregress(np.log(SIZES), np.log(fit.loss))
        assert fit.parameters["exponent"] == pytest.approx(-line.slope, rel=1e-6)
        ratios.append((high - low) / (2 * stats.t.ppf(0.95, len(SIZES) - 2) * line.stderr))
    assert np.mean(ratios) == pytest.approx(1, abs=0.06)


def test_a_prediction_of_more_runs_is_narrower_and_never_narrower_than_the_law():
    fit = fit_law("power", SIZES, noisy(SIZES**-0.2))
    boot = bootstrap(fit, 2000)
    middle = SIZES[4:5]
    law, one, four = (np.ptp([end[0] for end in boot.band(middle, 0.9, runs)]) for runs in (None, 1, 4))
    assert law < four < one
    assert one > 2 * law


def test_exponent_of_compute_follows_from_its_draws():
    n, d = (values.ravel() for values in np.meshgrid(np.logspace(4, 6, 4), np.logspace(3, 5, 5)))
    fit = fit_law("joint", {"N": n, "D": d}, noisy(0.5 + (n / 1e4) ** -0.3 + (d / 1e3) ** -0.3, sd=0.005))
    boot = bootstrap(fit, 200)
    low, high = boot.interval("a", 0.9)
    assert 0.4 < low < 0.5 < high < 0.6
    assert boot.draws_of("a") == pytest.approx(boot.draws_of("beta") / (boot.draws_of("alpha") + boot.draws_of("beta")))


def test_groups_are_drawn_whole_and_draws_without_a_law_are_counted():
    x = np.repeat(np.logspace(2, 4, 5), 3)
    fit = fit_law("power", x, noisy(x**-0.3))
    boot = bootstrap(fit, 1000, groups=np.arange(15))
    assert boot.method == "cases"
    # 15 rows of 5 sizes drawn with replacement: of 5¹⁵, 1 size in 5 ways, 2 sizes in 10 (2¹⁵ − 2) ways
    fewer_than_3 = (5 + 10 * (2**15 - 2)) / 5**15
    assert boot.redrawn <= 10 * max(1, 1000 * fewer_than_3)


@pytest.mark.parametrize(("groups", "method"), [(5, "wild"), (15, "cases")])
def test_runs_that_share_their_luck_say_less_than_their_number(groups, method):
    sizes = np.logspace(2, 4, groups)
    x = np.repeat(sizes, 3)
    luck = np.repeat(0.06 * np.random.default_rng(5).normal(size=groups), 3)
    shared = fit_law("power", x, x**-0.3 * np.exp(luck + 1e-3 * np.random.default_rng(6).normal(size=len(x))))
    by_row = bootstrap(shared, 400).interval("exponent", 0.9)
    by_size = bootstrap(shared, 400, groups=x)
    assert by_size.method == method
    assert np.ptp(by_size.interval("exponent", 0.9)) > 1.3 * np.ptp(by_row)


def test_too_few_groups_and_too_few_runs_are_refused():
    x = np.logspace(2, 4, 6)
    fit = fit_law("power", x, noisy(x**-0.3))
    with pytest.raises(ChemscaleError, match="2 groups are too few"):
        bootstrap(fit, 10, groups=np.array([0, 0, 0, 1, 1, 1]))
    with pytest.raises(ChemscaleError, match="3 runs cannot determine the 3 parameters of power_floor"):
        bootstrap(fit_law("power_floor", x[:3], np.array([3, 2, 1.8])), 10)


def test_a_clear_law_is_identified():
    fit, judged = judge("power_floor", SIZES, noisy(0.5 + (SIZES / 1e3) ** -0.6, sd=0.003))
    assert judged.identified
    assert judged.limits["floor"][0] < 0.5 < judged.limits["floor"][1]
    assert judged.statement.startswith("Identified: exponent 0.")
    assert fit.diagnostics["decades"]["x"] == pytest.approx(1.7)
    assert fit.aicc() < fit_law("power", SIZES, fit.loss, fit.delta).aicc()


def test_a_pure_power_law_leaves_its_floor_unidentified_with_a_limit():
    fit, judged = judge("power_floor", SIZES, noisy(SIZES**-0.2))
    assert "floor" in judged.unidentified
    assert judged.limits["floor"][0] is None
    assert 0 < judged.limits["floor"][1] < fit.loss.min()
    assert f"floor < {judged.limits['floor'][1]:.3g} at 95%" in judged.statement
    assert fit_law("power", SIZES, fit.loss, fit.delta).aicc() < fit.aicc()


def test_the_limit_of_a_floor_is_where_the_profile_rises_by_f():
    fit = fit_law("power_floor", SIZES, noisy(SIZES**-0.2), delta=1.0)
    limit = profile_interval(fit, "floor", 0.9)[1]
    left = len(SIZES) - 3

    rise = stats.f.ppf(0.9, 1, left) / left
    assert _profile(fit, limit) == pytest.approx(2 * fit.diagnostics["objective"] * (1 + rise), rel=0.01)


def _profile(fit, floor):
    """Least sum of squared log residuals with this floor, by scipy."""

    def squares(p):
        return np.sum((np.log(floor + np.exp(p[0] - p[1] * np.log(SIZES / 5e3))) - np.log(fit.loss)) ** 2)

    return optimize.minimize(
        squares, [np.log(0.1), 0.3], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14}
    ).fun


def test_too_small_a_span_is_not_identified():
    x = np.linspace(1000, 3000, 12)
    _, judged = judge("power", x, noisy(x**-0.3, sd=0.001))
    assert judged.unidentified == ("coefficient", "exponent")
    assert "x spans 0.48 decades, less than the 1 that exponent needs" in judged.statement


def test_noise_as_large_as_the_trend_is_not_identified():
    _, judged = judge("power", SIZES, noisy(SIZES**-0.01, sd=0.05))
    assert judged.unidentified == ("exponent",)
    assert "wider than its value" in judged.statement


def test_runs_on_one_ray_cannot_tell_the_exponents_apart():
    n = np.logspace(5, 8, 8)
    d = 20 * n * np.exp(0.1 * np.random.default_rng(0).normal(size=8))
    fit, judged = judge("joint", {"N": n, "D": d}, noisy(1 + (n / 1e5) ** -0.3 + (d / 2e6) ** -0.3, sd=0.001))
    assert fit.diagnostics["correlation"] > 0.99
    assert set(judged.unidentified) == {"A", "B", "E", "alpha", "beta"}
    assert "cannot be separated" in judged.statement


def test_an_exponent_without_an_upper_end_has_a_lower_limit():
    """Three sizes that bend to a floor at once: the exponent of size is at least something."""
    n, d = (values.ravel() for values in np.meshgrid([1e4, 1e5, 1e6], np.logspace(3, 5, 5)))
    fit, judged = judge("joint", {"N": n, "D": d}, noisy(1 + 0.3 * (n / 1e4) ** -1.5 + (d / 1e3) ** -0.3, sd=0.01))
    low, high = judged.limits["alpha"]
    assert "alpha" in judged.unidentified and high is None and 0.2 < low < 1.5
    assert f"The table allows {low:.3g} < alpha at 95%" in judged.statement
    assert fit.form.parameters == ("A", "alpha", "B", "beta", "E")


@pytest.mark.parametrize("objective", ["huber", "lad", "least_squares_log"])
def test_weights_that_are_known_give_intervals_that_cover(objective):
    x = np.logspace(3, 6, 20)
    spread = np.geomspace(0.03, 0.002, 20)
    held, widths = 0, []
    for table in range(30):
        loss = (x / 1e3) ** -0.3 * np.exp(spread * np.random.default_rng(table).normal(size=20))
        fit = fit_law("power", x, loss, objective=objective, weights=spread**-2, starts=4)
        low, high = bootstrap(fit, 100, table).interval("exponent", 0.9)
        held += low <= 0.3 <= high
        widths.append(high - low)
    assert held >= 22  # of 27 expected; 22 or fewer has a probability of 2 %
    # the standard error of weighted least squares, which the median of the absolute residuals loses a quarter of
    log_x = np.log(x) - np.average(np.log(x), weights=spread**-2)
    exact = 2 * 1.645 / np.sqrt((log_x**2 / spread**2).sum())
    assert 0.75 * exact < np.median(widths) < 1.8 * exact


def test_draws_of_least_absolute_deviations_are_at_their_optima():
    # without smoothing, Newton's method finds no curvature and stays where it starts: intervals of nearly no width
    x = np.logspace(3, 6, 30)
    loss = (x / 1e3) ** -0.3 * np.exp(0.01 * np.random.default_rng(0).normal(size=30))
    widths = {
        objective: np.ptp(bootstrap(fit_law("power", x, loss, objective=objective), 200).interval("exponent", 0.9))
        for objective in ("lad", "least_squares_log")
    }
    assert 0.8 < widths["lad"] / widths["least_squares_log"] < 2.2  # 1.25 for normal noise


def test_a_floor_that_is_none_is_in_its_interval():
    x = np.logspace(3, 6, 12)
    held = 0
    for table in range(10):
        loss = (x / 1e3) ** -0.3 * np.exp(0.01 * np.random.default_rng(table).normal(size=12))
        held += bootstrap(fit_law("power_floor", x, loss, starts=16), 100, table).interval("floor", 0.9)[0] == 0
    assert held >= 7


def test_the_wider_draws_are_quoted():
    x = np.repeat(np.logspace(3, 6, 8), 6)
    noise = np.geomspace(0.001, 0.05, 48) * np.random.default_rng(0).normal(size=48)  # unequal, and not known
    fit = fit_law("power", x, (x / 1e3) ** -0.3 * np.exp(noise), objective="least_squares_log")
    boot, narrower = wider_bootstrap(fit, 200)
    assert {boot.method, narrower.method} == {"cases", "residual"}
    assert np.ptp(boot.interval("exponent", 0.9)) > np.ptp(narrower.interval("exponent", 0.9))
    few = fit_law("power", x[::8], (x[::8] / 1e3) ** -0.3 * np.exp(noise[::8]))
    assert wider_bootstrap(few, 50)[1] is None


def test_an_interval_holds_the_law_without_a_floor_where_the_floor_may_be_zero():
    size = np.logspace(3, 6, 30)
    found = 0
    for table in range(8):
        loss = (size / 1e3) ** -0.3 * np.exp(0.015 * np.random.default_rng(table).normal(size=30))
        boot = bootstrap(fit_law("power_floor", size, loss, starts=16), 200, table)
        draws, zero = boot.draws_of("exponent"), boot.draws_of("floor") == 0
        low, high = boot.interval("exponent", 0.9)
        assert (low, high)[1] >= np.quantile(draws, 0.95) and low <= np.quantile(draws, 0.05)
        if zero.sum() >= 20:
            found += 1
            assert low <= np.quantile(draws[zero], 0.05)
            at = {"x": np.array([1e7])}
            assert boot.band(at, 0.9)[0][0] <= np.quantile(boot.fit.predict_many(at, boot.theta[zero]), 0.05)
    assert found >= 4
