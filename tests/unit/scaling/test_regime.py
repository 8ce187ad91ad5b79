"""A pure power law is called resolution-limited, a floor and a break are named with their place, by stated tests."""

import json

import numpy as np
import pytest
from scipy import stats

from chemscale.errors import ChemscaleError
from chemscale.scaling.selection.regime import Noise, by_size, local_slopes, longest_line, regime, seed_noise

STUDY = np.repeat(np.logspace(4, 5.8, 5), [2, 2, 2, 1, 1])
SINGLE = np.logspace(4, 6, 5)
LONG = np.repeat(np.logspace(4, 7, 8), [2, 2, 2, 2, 1, 1, 1, 1])


def table(x, law, noise, seed):
    return law(x / 1e4) * np.exp(noise * np.random.default_rng(seed).standard_normal(len(x)))


def pure(x):
    return x**-0.2


def with_floor(x):
    return 0.5 + 0.5 * x**-0.5


def steeper(x, place=10**1.5):
    return x**-0.1 * (1 + (x / place) ** 10) ** -0.04


def flatter(x, place=10**1.5):
    return x**-0.5 * (1 + (x / place) ** 10) ** 0.04


@pytest.mark.parametrize(("x", "tables"), [(STUDY, 50), (SINGLE, 20)], ids=["seeds", "single"])
def test_nine_in_ten_pure_power_laws_are_resolution_limited(x, tables):
    verdicts = [regime(x, table(x, pure, 0.015, seed))["verdict"] for seed in range(tables)]
    assert verdicts.count("resolution-limited") >= 0.9 * tables


def test_a_resolution_limited_curve_has_its_whole_range_exponent_and_limit_of_the_floor():
    content = regime(STUDY, table(STUDY, pure, 0.01, 0))
    assert content["range"] == pytest.approx([STUDY[0], STUDY[-1]])
    assert content["floor"]["low"] == 0 and 0 < content["floor"]["high"] < 0.2
    assert f"a floor above {content['floor']['high']:.3g} is excluded" in content["statement"]
    assert json.loads(json.dumps(content, allow_nan=False)) == content


@pytest.mark.parametrize("x", [STUDY, SINGLE], ids=["seeds", "single"])
def test_a_floor_that_matters_is_named_with_its_interval(x):
    found = [regime(x, table(x, with_floor, 0.01, seed)) for seed in range(10)]
    assert "resolution-limited" not in [content["verdict"] for content in found]
    floors = [content["floor"] for content in found if content["verdict"] == "floor"]
    assert len(floors) >= 8
    assert sum(floor["low"] <= 0.5 <= floor["high"] for floor in floors) >= 7


@pytest.mark.parametrize("law", [steeper, flatter])
def test_a_break_is_located_within_a_factor_of_two_with_an_interval(law):
    content = regime(LONG, table(LONG, law, 0.01, 1))
    place = content["break"]
    assert content["verdict"] == "break" and place["by"] == "profile of the form broken"
    assert 0.5 < place["place"] / 10**5.5 < 2
    assert place["low"] < place["place"] < place["high"]
    assert content["range"][0] > place["place"] or content["range"][1] < place["place"]


@pytest.mark.parametrize("x", [STUDY, SINGLE], ids=["seeds", "single"])
def test_a_break_on_five_sizes_is_where_two_lines_meet(x):
    content = regime(x, table(x, lambda x: steeper(x, 10**0.9), 0.005, 0))
    assert content["verdict"] == "break" and content["break"]["by"] == "two lines that meet"
    assert 0.5 < content["break"]["place"] / 10**4.9 < 2


@pytest.mark.parametrize("x", [np.logspace(4, 4.8, 6), np.logspace(4, 6, 3)], ids=["decades", "sizes"])
def test_a_short_curve_is_not_judged(x):
    content = regime(x, table(x, pure, 0.01, 0))
    assert content["verdict"] == "too short to say"
    assert content["range"] is None and content["statement"].startswith("Too short to say")


def test_slopes_have_the_intervals_of_seed_noise():
    """Two runs at 10 and at 1000: the slope is the ratio of means, its error σ √(1/2 + 1/2) / ln 100."""
    slopes = local_slopes(np.array([10.0, 10, 1000, 1000]), np.exp([0.1, -0.1, -1, -1]), 0.9, Noise(0.05, 4, "seeds"))
    (only,) = slopes["neighbours"]
    assert only["slope"] == pytest.approx(1 / np.log(100))
    assert only["high"] - only["slope"] == pytest.approx(stats.t.ppf(0.95, 4) * 0.05 / np.log(100))
    assert slopes["decades"] == []


def test_slopes_by_decade_use_the_sizes_of_that_decade():
    x = 2e3 * np.logspace(0, 2, 5)
    slopes = local_slopes(x, with_floor(x / x[0]), 0.9, Noise(0.01, 3, "seeds"))["decades"]
    assert [slope["from"] for slope in slopes] == pytest.approx([2e3, 2e4])
    assert slopes[0]["slope"] > slopes[1]["slope"]


def test_noise_comes_from_seeds_where_there_are_some_and_from_residuals_else():
    loss = np.exp([0.01, -0.01, 0.02, -0.02, 0])
    noise = seed_noise(np.array([1.0, 1, 2, 2, 3]), loss)
    assert noise.degrees == 2 and noise.sd == pytest.approx(np.sqrt((2e-4 + 8e-4) / 2))
    assert seed_noise(np.array([1.0, 1, 2, 3, 4]), loss) is None
    assert regime(STUDY, table(STUDY, pure, 0.01, 0))["noise"]["source"] == "seeds of the same size"
    assert regime(SINGLE, table(SINGLE, pure, 0.01, 0))["noise"]["source"].startswith("residuals of ")


def test_the_longest_line_leaves_out_what_bends():
    x = np.logspace(2, 6, 9)
    loss = np.where(x < 1e5, x**-0.3, 1e5**-0.3)
    assert longest_line(by_size(x, loss), Noise(0.01, 10, "seeds"), 0.9) == pytest.approx([1e2, 1e5])
    assert longest_line(by_size(x, np.exp(-(np.log(x) ** 2))), Noise(0.01, 10, "seeds"), 0.9) is None


def test_a_bad_table_is_refused():
    with pytest.raises(ChemscaleError, match="loss: must be positive"):
        regime(SINGLE, -np.ones(5))
