"""Tests of agreement against simulated estimates with known differences, and against numbers computed by hand."""

import numpy as np
import pytest
from scipy.stats import chi2, norm

from chemscale.analysis.agreement import agreement, difference, loss_ratio
from chemscale.errors import ChemscaleError

Z = norm.ppf(0.95)


def around(value, error):
    return [value - Z * error, value + Z * error]


def test_the_difference_of_symmetric_intervals_adds_their_errors_in_squares():
    found = difference((0.2, around(0.2, 0.03)), (0.3, around(0.3, 0.04)))
    assert found["difference"] == pytest.approx(0.1)
    assert found["interval"] == pytest.approx(around(0.1, 0.05)) and found["excludes_0"]
    swapped = difference((0.3, around(0.3, 0.04)), (0.2, around(0.2, 0.03)))
    assert swapped["interval"] == pytest.approx(around(-0.1, 0.05)) and swapped["excludes_0"]


def test_the_difference_of_skewed_intervals_takes_the_sides_that_face_each_other():
    found = difference((1.0, [0.9, 1.4]), (2.0, [1.7, 2.1]))
    assert found["interval"] == pytest.approx([1 - np.hypot(0.3, 0.4), 1 + np.hypot(0.1, 0.1)])
    half_open = difference((1.0, [0.9, None]), (2.0, [1.7, 2.1]))
    assert half_open["interval"][0] is None and half_open["interval"][1] == pytest.approx(1 + np.hypot(0.1, 0.1))
    assert not half_open["excludes_0"]


def test_intervals_of_the_difference_cover_the_truth_as_often_as_they_say():
    draws = np.random.default_rng(0).normal([0.2, 0.35], [0.03, 0.05], (2000, 2))
    covered = 0
    for a, b in draws:
        low, high = difference((a, around(a, 0.03)), (b, around(b, 0.05)))["interval"]
        covered += low <= 0.15 <= high
    assert covered / 2000 == pytest.approx(0.9, abs=0.02)


def test_agreement_is_cochrans_test():
    values, errors = [0.20, 0.24, 0.29], np.array([0.01, 0.02, 0.04])
    found = agreement(values, [around(v, e) for v, e in zip(values, errors, strict=True)], 0.9)
    weighted = np.average(values, weights=errors**-2)
    chi_square = (((values - weighted) / errors) ** 2).sum()
    assert found["chi_square"] == pytest.approx(chi_square) and found["degrees"] == 2
    assert found["p"] == pytest.approx(chi2.sf(chi_square, 2)) and found["agree"] == (found["p"] >= 0.1)
    assert found["spread"] == pytest.approx(np.std(values, ddof=1))
    assert found["expected_spread"] == pytest.approx(np.sqrt((errors**2).mean()))
    # Student's t of two degrees of freedom: 2.920 at 90 %
    assert found["interval"] == pytest.approx(np.mean(values) + np.array([-1, 1]) * 2.91999 * found["spread"] / 3**0.5)


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.07, 0.13), (0.1, 0.9, 1.0)])
def test_estimates_disagree_as_rarely_as_promised_where_equal_and_mostly_where_one_is_shifted(shift, low, high):
    draws = np.random.default_rng(1).normal([0.2, 0.2, 0.2 + shift], 0.02, (1000, 3))
    apart = [not agreement(row, [around(v, 0.02) for v in row], 0.9)["agree"] for row in draws]
    assert low <= np.mean(apart) <= high


@pytest.mark.parametrize(
    ("intervals", "message"),
    [
        ([[0.1, 0.3]], r"agreement: 2 estimates, 1 intervals; give two or more of both"),
        ([[0.1, 0.3], [0.2, 0.2]], r"0.2 to 0.2: one has no width or no limit; leave its estimate out"),
    ],
)
def test_estimates_without_an_error_are_refused(intervals, message):
    with pytest.raises(ChemscaleError, match=message):
        agreement([0.2, 0.2], intervals, 0.9)


def test_the_ratio_of_losses_is_that_of_matching_cells():
    first = np.array([1.0, 2.0, 4.0])
    found = loss_ratio(first, first * [1.0, 1.1, 1.21], 0.9)
    assert found["ratio"] == pytest.approx(1.1) and found["cells"] == 3
    # sd of the logarithms is log 1.1, and t of two degrees of freedom is 2.920
    assert found["interval"] == pytest.approx(1.1 * np.exp(np.array([-1, 1]) * np.log(1.1) * 2.91999 / 3**0.5))
    assert found["rms_percent"] == pytest.approx(100 * np.log(1.1) * np.sqrt(5 / 3))
    assert loss_ratio(first[:1], first[:1], 0.9)["interval"] is None
