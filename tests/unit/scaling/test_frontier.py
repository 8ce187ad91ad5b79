"""Compute-optimal N and D: the formula is the minimum, edges are refused, the measured frontier finds the truth."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from chemscale.errors import ChemscaleError
from chemscale.scaling.allocation.cost import SIX_N_D, Cost, cost_law
from chemscale.scaling.allocation.frontier import excess_loss, interval_of_draws, lowest_within, optima, optimum
from chemscale.scaling.allocation.isoflop import isoflop, lower_envelope
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.inference.bootstrap import bootstrap

N, D = (grid.ravel() for grid in np.meshgrid(np.logspace(4, 6, 4), np.logspace(3, 5, 5)))
ODD = Cost(3e4, 0.8, 1.3, "a test")
LAWS = {
    "joint": lambda n, d: 0.5 + (n / 1e4) ** -0.5 + 2 * (d / 1e3) ** -0.3,
    "joint_no_floor": lambda n, d: (n / 1e4) ** -0.5 + 2 * (d / 1e3) ** -0.3,
    "joint_tied": lambda n, d: 0.5 + (n / 1e4) ** -0.4 + 2 * (d / 1e3) ** -0.4,
    "kaplan": lambda n, d: ((n / 1e4) ** -(0.2 / 0.35) + 2 * (d / 1e3) ** -1) ** 0.35,
    "kaplan_floor": lambda n, d: 0.3 + ((n / 1e4) ** -(0.2 / 0.35) + 2 * (d / 1e3) ** -1) ** 0.35,
}


def fitted(form, noise=0.0):
    loss = LAWS[form](N, D) * np.exp(noise * np.random.default_rng(0).normal(size=len(N)))
    return fit_law(form, {"N": N, "D": D}, loss, starts=24)


@pytest.mark.parametrize("form", LAWS)
@pytest.mark.parametrize("cost", [SIX_N_D, ODD], ids=["6ND", "odd powers"])
def test_the_optimum_is_where_a_search_finds_it(form, cost):
    compute = float(cost.of(2e5, 2e4))
    best = optimum(fitted(form), cost, compute)
    found = optimize.minimize_scalar(
        lambda log_n: LAWS[form](np.exp(log_n), cost.data(np.exp(log_n), compute)),
        bounds=np.log([1e3, 1e8]),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert np.log(best["N"]) == pytest.approx(found.x, abs=2e-4)
    assert best["loss"] == pytest.approx(found.fun, rel=1e-6)
    assert cost.of(best["N"], best["D"]) == pytest.approx(compute)


@pytest.mark.parametrize("cost", [SIX_N_D, ODD], ids=["6ND", "odd powers"])
def test_the_lowest_loss_within_the_runs_is_where_a_search_finds_it(cost):
    """At the ends only the smallest and the largest run are there; between, the optimum or the edge of the range."""
    law = fitted("joint")
    line = lowest_within(law, cost, points=12)
    assert (line[0]["N"], line[-1]["N"]) == (pytest.approx(N.min()), pytest.approx(N.max()))
    assert (line[0]["D"], line[-1]["D"]) == (pytest.approx(D.min()), pytest.approx(D.max()))
    n = np.geomspace(N.min(), N.max(), 20001)
    for point in line[1:-1]:
        d = cost.data(n, point["compute"])
        losses = np.where((D.min() <= d) & (d <= D.max()), LAWS["joint"](n, np.maximum(d, 1)), np.inf)
        assert point["loss"] == pytest.approx(losses.min(), rel=1e-4)
        assert cost.of(point["N"], point["D"]) == pytest.approx(point["compute"])
        free = optimum(law, cost, point["compute"])
        if N.min() < free["N"] < N.max() and D.min() < free["D"] < D.max():
            assert point["loss"] == pytest.approx(free["loss"], rel=1e-4)
        else:
            assert point["loss"] > free["loss"]


def test_with_repeats_the_optimum_is_searched_for_at_the_distinct_data_there_is():
    unique = np.minimum(D, 1e4)
    worth = unique * (1 + 5 * (1 - np.exp(-(D / unique - 1) / 5)))
    fit = fit_law("repeated", {"N": N, "D": D, "U": unique}, LAWS["joint"](N, worth), starts=24)
    compute = float(SIX_N_D.of(1e5, 1e5))

    def loss(log_n):
        d = SIX_N_D.data(np.exp(log_n), compute)
        seen_once = min(d, 1e4)
        return LAWS["joint"](np.exp(log_n), seen_once * (1 + 5 * (1 - np.exp(-(d / seen_once - 1) / 5))))

    found = optimize.minimize_scalar(loss, bounds=np.log([1e3, 1e8]), method="bounded", options={"xatol": 1e-9})
    best = optimum(fit, SIX_N_D, compute, distinct=1e4)
    assert np.log(best["N"]) == pytest.approx(found.x, abs=2e-3)
    assert best["loss"] == pytest.approx(found.fun, rel=1e-6)
    with pytest.raises(ChemscaleError, match="distinct examples"):
        optimum(fit, SIX_N_D, compute)


def test_the_frontier_has_exponents_and_intervals_that_hold_the_truth():
    content = optima(bootstrap(fitted("joint", noise=0.01), 200), SIX_N_D, [1e10, 1e13], 0.99)
    low, high = content["exponents"]["N"]["interval"]
    assert low < 0.3 / 0.8 < high and high - low < 0.25
    assert content["exponents"]["N"]["value"] + content["exponents"]["D"]["value"] == pytest.approx(1)
    for entry in content["budgets"]:
        truth = optimize.minimize_scalar(
            lambda log_n, c=entry["compute"]: LAWS["joint"](np.exp(log_n), SIX_N_D.data(np.exp(log_n), c)),
            bounds=np.log([1e2, 1e8]),
            method="bounded",
        )
        low, high = entry["intervals"]["N"]
        assert low < np.exp(truth.x) < high
        low, high = entry["intervals"]["loss"]
        assert low < truth.fun < high
    assert [entry["extrapolated"] for entry in content["budgets"]] == [[], ["D"]]
    json.dumps(content, allow_nan=False)


def test_an_optimum_at_the_edge_of_what_can_be_chosen_is_refused():
    fit = fitted("joint")
    compute = float(SIX_N_D.of(1e5, 1e5))
    best = optimum(fit, SIX_N_D, compute)
    assert optimum(fit, SIX_N_D, compute, limits={"D": (1e2, 1.01 * best["D"])}) == best
    refused = optimum(fit, SIX_N_D, compute, limits={"D": (1e2, 0.99 * best["D"])})
    assert set(refused) == {"compute", "refused"} and "outside the allowed range" in refused["refused"]
    assert "outside the allowed range" in optimum(fit, SIX_N_D, 1e30)["refused"]
    with pytest.raises(ChemscaleError, match="outside the allowed range"):
        excess_loss(fit, SIX_N_D, 1e30)


def test_a_law_that_falls_with_data_alone_has_no_optimum():
    fit = fitted("joint")
    theta = fit.theta.copy()
    theta[fit.form.parameters.index("alpha")] = 0
    assert "with only one of N and D" in optimum(replace(fit, theta=theta), SIX_N_D, 1e10)["refused"]
    with pytest.raises(ChemscaleError, match="no N and D"):
        optimum(fit_law("power", D, LAWS["joint"](1e5, D) + 1e-9 * N), SIX_N_D, 1e10)


def test_leaving_the_optimum_costs_what_the_law_says():
    fit = fitted("joint")
    best = optimum(fit, ODD, 1e12)
    for entry in excess_loss(fit, ODD, 1e12, (0.25, 1.0, 3.0)):
        assert entry["N"] == pytest.approx(entry["factor"] * best["N"])
        assert ODD.of(entry["N"], entry["D"]) == pytest.approx(1e12)
        truth = LAWS["joint"](entry["N"], entry["D"]) / LAWS["joint"](best["N"], best["D"]) - 1
        assert entry["excess"] == pytest.approx(truth, abs=1e-6)


def test_draws_that_say_nothing_leave_an_end_open():
    draws = np.arange(100.0)
    assert interval_of_draws(draws, 0.9) == [4.0, 94.0]
    draws[:6] = np.nan
    assert interval_of_draws(draws, 0.9) == [None, None]
    assert interval_of_draws(np.where(draws > 90, np.inf, np.arange(100.0)), 0.9) == [4.0, None]


def test_a_cost_law_is_found_with_its_residual():
    assert cost_law(N, D) is SIX_N_D
    noise = np.random.default_rng(0).normal(size=len(N))
    found = cost_law(N, D, ODD.of(N, D) * np.exp(0.05 * noise))
    line = stats.linregress(np.log(N), np.log(ODD.of(N, D)) + 0.05 * noise)  # N and D are not correlated here
    assert found.p == pytest.approx(line.slope)
    assert found.log_rmse == pytest.approx(0.05, rel=0.4)
    assert cost_law(N, D, ODD.of(N, D)).q == pytest.approx(1.3)


@pytest.mark.parametrize(
    ("n", "d", "compute", "said"),
    [
        (N, 20 * N, N, "one line"),
        (N, D, D / N, "must rise"),
        (N, D, np.where(N[3] == N, np.nan, N), "compute.*row 4"),
    ],
)
def test_costs_that_cannot_be_told_are_refused(n, d, compute, said):
    with pytest.raises(ChemscaleError, match=said):
        cost_law(n, d, compute)


# exponents of Chinchilla's data as Besiroglu et al. 2024, arXiv:2404.10102, have them
def groups_of(drift, alpha=0.3478, beta=0.3659, budgets=(1e18, 1e19, 1e20, 1e21)):
    """IsoFLOP groups of nine sizes within ×16 of a centre that leaves the optimum by `drift` (log) a decade."""
    rows = []
    for place, compute in enumerate(budgets):
        best = (alpha * 406.4 / (beta * 410.7) * (compute / 6) ** beta) ** (1 / (alpha + beta))
        sizes = best * np.exp(drift * place) * np.geomspace(1 / 16, 16, 9)
        loss = 1.69 + 406.4 * sizes**-alpha + 410.7 * (compute / 6 / sizes) ** -beta
        rows += [(n, compute, value) for n, value in zip(sizes, loss, strict=True)]
    return np.array(rows).T


@pytest.mark.parametrize("spline", ["akima", "cubic"])
def test_minima_of_isoflop_groups_give_the_true_exponent_where_parabolas_do_not(spline):
    n, compute, loss = groups_of(drift=0.8)
    truth = 0.3659 / 0.7137
    found = isoflop(n, compute, loss, spline)
    parabolas = []
    for budget in np.unique(compute):
        at = compute == budget
        bend, slope, _ = np.polyfit(np.log(n[at]), loss[at], 2)
        parabolas.append(-slope / (2 * bend))
    biased = stats.linregress(np.log(np.unique(compute)), parabolas).slope
    assert abs(biased - truth) > 0.05
    assert found["exponent"]["value"] == pytest.approx(truth, abs=0.002)
    json.dumps(found, allow_nan=False)


def test_isoflop_groups_without_a_minimum_are_refused_with_the_reason():
    n, compute, loss = groups_of(drift=0.0)
    rising = (compute == 1e18) & (n > np.median(n[compute == 1e18]))
    few = compute == 1e19
    few[np.flatnonzero(few)[:3]] = False
    keep = ~np.isin(np.arange(len(n)), np.flatnonzero((compute == 1e18) & ~rising)) & ~few
    found = isoflop(n[keep], compute[keep] * np.linspace(1, 1.1, keep.sum()), loss[keep])
    assert "smallest size" in found["groups"][0]["refused"]
    assert "3 sizes" in found["groups"][1]["refused"]
    assert found["exponent"] is None and "2 minima" in found["reason"]
    with pytest.raises(ChemscaleError, match="spline = 'parabola'"):
        isoflop(n, compute, loss, "parabola")


def test_seeds_of_a_size_are_averaged_before_the_minimum():
    n, compute, loss = groups_of(drift=0.0)
    twice = [np.tile(values, 2) for values in (n, compute)]
    found = isoflop(*twice, np.concatenate([loss * 1.01, loss / 1.01]))
    assert found["groups"][0]["sizes"] == 9
    assert found["exponent"]["value"] == pytest.approx(isoflop(n, compute, loss)["exponent"]["value"])


def test_the_lower_envelope_holds_the_runs_no_cheaper_run_beats():
    compute = np.array([1e3, 1e4, 1e5, 1e6, 1e4, 1e5, 1e6])
    loss = compute**-0.1 * np.array([1, 1, 1, 1, 1.2, 1.7, 1.05])
    found = lower_envelope(compute, loss, draws=50)
    assert found["on"] == [True] * 4 + [False] * 3
    assert found["parameters"]["exponent"] == pytest.approx(0.1)
    assert found["intervals"]["exponent"] == pytest.approx([0.1, 0.1], abs=1e-6)
    json.dumps(found, allow_nan=False)
