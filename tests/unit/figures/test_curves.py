"""Loss against data and against size: points, laws, legends and baselines."""

import numpy as np
import pytest
from helpers.drawn import legend, lines, points, shown
from helpers.studies import fits, law, runs
from matplotlib.colors import to_hex

from chemscale.figures.curves import curves, exponent_text, finished_runs, loss_against_data, loss_against_size
from chemscale.models.registry import FAMILIES


def test_every_finished_run_and_every_mean_over_seeds_is_a_point():
    table = runs("potential")
    (axes,) = shown(loss_against_data(table, fits("potential"), "potential"))
    finished = table[table["status"] == "finished"]
    means = finished.groupby(["family", "size", "data"])["test_force_mae"].mean()
    expected = [*zip(finished["data"], finished["test_force_mae"], strict=True)]
    expected += [(data, mean) for (_, _, data), mean in means.items()]
    np.testing.assert_allclose(sorted(points(axes)), sorted(expected))
    assert axes.get_xlabel() == "training structures" and axes.get_ylabel() == "test MAE of forces (eV/Å)"
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_sizes_come_in_order_of_parameters_and_the_largest_in_the_colour_of_its_family():
    table = finished_runs(runs("potential"), "potential")
    found = list(curves(table, "potential"))
    assert [(curve.family, curve.size) for curve in found] == [
        ("painn", "d2-w8"),
        ("schnet", "d2-w8"),
        ("schnet", "d2-w16"),
    ]
    assert to_hex(found[0].colour) == FAMILIES["painn"].colour and to_hex(found[2].colour) == FAMILIES["schnet"].colour
    assert [curve.marker for curve in found] == ["o", "o", "s"]


def test_a_curve_with_a_law_shows_it_with_its_band_and_others_a_line_through_their_means():
    laws = fits("potential", curves=[law("schnet", "data", {"size": "d2-w16"})])
    (axes,) = shown(loss_against_data(runs("potential"), laws, "potential"))
    colour = FAMILIES["schnet"].colour
    assert (colour, [0.4, 0.2]) in lines(axes, "-") and len(lines(axes, "-")) == 3
    assert len(axes.collections) == 1
    assert legend(axes) == [
        "PaiNN d2-w8, N = 900",
        "SchNet d2-w8, N = 500",
        "SchNet d2-w16, N = 2,000   α = 0.25 [0.20, 0.30]",
    ]


def test_laws_that_are_not_identified_are_dashed_and_those_not_preferred_left_out():
    at = {"size": "d2-w8"}
    other = law("painn", "data", at, preferred=False, line={"x": [20], "loss": [9.0], "low": None, "high": None})
    laws = fits("potential", curves=[other, law("painn", "data", at, identified=False)])
    (axes,) = shown(loss_against_data(runs("potential"), laws, "potential"))
    assert [heights for _, heights in lines(axes, "--")] == [[0.4, 0.2]]
    assert 9.0 not in [height for _, heights in lines(axes, "-") for height in heights]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "α = 0.25 [0.20, 0.30]"),
        ({"intervals": {"exponent": [None, 0.3]}}, "α = 0.25"),
        ({"parameters": {"exponent": 0.25, "floor": 0.0567}}, "α = 0.25 [0.20, 0.30] above a floor of 0.057"),
    ],
)
def test_exponents_in_a_legend(changes, text):
    assert exponent_text(law("painn", "data", {}, **changes)) == text


def test_language_models_are_drawn_with_the_baseline_of_token_frequencies():
    (axes,) = shown(loss_against_data(runs("language"), fits("language"), "language"))
    assert [heights for _, heights in lines(axes, ":")] == [[2.5, 2.5]]
    assert [text.get_text() for text in axes.texts] == ["token frequencies alone"]
    assert axes.get_ylabel() == "test loss (nats per token)"


def test_another_column_is_drawn_without_laws_and_its_absence_is_said():
    laws = fits("potential", curves=[law("painn", "data", {"size": "d2-w8"})])
    table = runs("potential")
    absent = loss_against_data(table, laws, "potential", "unseen_force_mae", "unseen")
    assert shown(absent) == [] and [text.get_text() for text in absent.axes[0].texts] == ["no run has a\nunseen"]
    table["unseen_force_mae"] = 2 * table["test_force_mae"]
    (axes,) = shown(loss_against_data(table, laws, "potential", "unseen_force_mae", "unseen"))
    assert axes.get_ylabel() == "unseen" and not axes.collections
    assert max(height for _, height in points(axes)) == pytest.approx(2 * table["test_force_mae"].max())


def test_loss_against_size_has_a_curve_per_family_and_amount_of_data():
    laws = fits("language", curves=[law("chemgpt-slim", "parameters", {"data": 60})])
    (axes,) = shown(loss_against_size(runs("language"), laws, "language"))
    assert legend(axes) == ["20 molecules", "60 molecules   α = 0.25 [0.20, 0.30]", "180 molecules"]
    assert axes.get_xlabel() == "non-embedding parameters"
    assert {parameters for parameters, _ in points(axes)} == {700, 3000} and len(points(axes)) == 8 + 6
    assert [heights for _, heights in lines(axes, "-")] == [[0.4, 0.2]]
