"""Two laws side by side: known differences, crossings and data factors are found, and doubt is not hidden."""

import json

import numpy as np
import pytest

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.inference.bootstrap import bootstrap
from chemscale.scaling.selection.compare_laws import compare_laws

SIZES = np.repeat(np.logspace(2, 4, 5), 2)
NAMES = ("schnet", "painn")


def boot(loss, form="power", seed=0, sd=0.01, x=SIZES):
    noise = np.exp(sd * np.random.default_rng(seed).normal(size=len(x)))
    return bootstrap(fit_law(form, x, loss(x) * noise, starts=16), 200, seed=3)


def shallow(x):
    return (x / 1e2) ** -0.2


def steep(x):
    return 1.5 * (x / 1e2) ** -0.35


def test_exponents_crossing_and_factor_are_those_of_the_laws():
    found = compare_laws(boot(shallow), boot(steep, seed=1), NAMES)
    low, high = found["exponent"]["interval"]
    assert low < -0.15 < high and found["exponent"]["excludes_0"]
    (crossing,) = found["crossings"]["at"]
    truth = 1e2 * 1.5 ** (1 / 0.15)
    assert crossing["within"] and crossing["x"] == pytest.approx(truth, rel=0.25)
    assert crossing["interval"][0] < truth < crossing["interval"][1]
    assert found["crossings"]["share_of_draws_that_cross"] == 1
    assert len(found["factors"]["at"]) == 3
    for entry in found["factors"]["at"]:
        # b has the loss of a at x where 1.5 z^-0.35 = (x/100)^-0.2
        needed = 1e2 * (1.5 * (entry["x"] / 1e2) ** 0.2) ** (1 / 0.35) / entry["x"]
        assert entry["interval"][0] < needed < entry["interval"][1]
        assert entry["factor"] == pytest.approx(needed, rel=0.1)
    assert found["statement"].startswith("schnet compared with painn: painn falls faster (difference -0.1")
    json.dumps(found, allow_nan=False)


def test_two_tables_of_the_same_law_do_not_differ():
    held = [
        compare_laws(boot(shallow, seed=2 * i), boot(shallow, seed=2 * i + 1), NAMES)["exponent"]["excludes_0"]
        for i in range(40)
    ]
    assert sum(held) <= 8  # 4 are expected of 90 % intervals


def test_draws_made_with_the_same_seed_count_as_independent():
    # paired as they come, the two draws would be the same and the difference certain
    same = boot(shallow)
    low, high = compare_laws(same, same, NAMES)["exponent"]["interval"]
    alone = np.ptp(same.interval("exponent", 0.9))
    assert high - low == pytest.approx(np.sqrt(2) * alone, rel=0.25)


def test_laws_that_do_not_meet_say_so_and_a_crossing_far_off_is_beyond():
    parallel = compare_laws(boot(shallow, sd=0.001), boot(lambda x: 2 * shallow(x), sd=0.001), NAMES)
    assert parallel["crossings"]["at"] == []
    assert "the first law is below the second" in parallel["crossings"]["reason"]
    for entry in parallel["factors"]["at"]:
        assert entry["factor"] == pytest.approx(2**5, rel=0.1)
    far = compare_laws(boot(shallow, sd=0.001), boot(lambda x: 3 * steep(x) / 1.5, sd=0.001, seed=1), NAMES)
    (crossing,) = far["crossings"]["at"]
    assert not crossing["within"] and crossing["x"] == pytest.approx(1e2 * 3 ** (1 / 0.15), rel=0.1)
    assert "beyond the points" in far["statement"]


def test_a_crossing_that_many_draws_do_not_have_has_no_interval():
    found = compare_laws(boot(shallow, sd=0.03), boot(lambda x: 1.02 * shallow(x), seed=4, sd=0.03), NAMES)
    assert found["crossings"]["share_of_draws_that_cross"] < 0.95
    for crossing in found["crossings"]["at"]:
        assert crossing["interval"] is None and "of the draws cross" in crossing["reason"]


def test_no_amount_of_data_reaches_a_loss_below_the_floor():
    def floored(x):
        return 0.5 + 0.5 * (x / 1e2) ** -0.8

    deep = compare_laws(boot(shallow, x=SIZES * 3), boot(floored, "power_floor", seed=1, sd=0.03), NAMES)
    assert deep["exponent"]["difference"] is None and "different things" in deep["exponent"]["reason"]
    assert deep["factors"]["at"][-1]["interval"][1] is None  # at the lowest loss of b, next to its floor
    none = compare_laws(boot(lambda x: shallow(x) / 10), boot(floored, "power_floor"), NAMES)
    assert none["factors"]["at"] == [] and "no common loss" in none["factors"]["reason"]
    json.dumps([deep, none], allow_nan=False)


def test_surfaces_are_not_compared_as_curves():
    n, d = (grid.ravel() for grid in np.meshgrid(np.logspace(4, 6, 4), np.logspace(3, 5, 5)))
    fit = fit_law("joint", {"N": n, "D": d}, 0.5 + (n / 1e4) ** -0.5 + (d / 1e3) ** -0.3, starts=8)
    with pytest.raises(ChemscaleError, match="joint: not a curve"):
        compare_laws(bootstrap(fit, 5), bootstrap(fit, 5), NAMES)
