"""Forecasts, analysis choices, the compute frontier, and pairs of families."""

import pytest
from helpers.drawn import legend, lines, points, shown
from helpers.studies import comparison, fits, judgement, runs

from chemscale.figures.families import families_matched
from chemscale.figures.scaling import INSIDE, OUTSIDE, analysis_choices, compute_frontier, forecasts
from chemscale.models.registry import FAMILIES


def forecast(family: str, inside: bool, **changes) -> dict:
    point = {"size": "d2-w8", "data": 2000, "predicted": 0.2, "low": 0.1, "high": 0.3}
    point |= {"observed": 0.25 if inside else 0.4, "inside": inside}
    return {"family": family, "along": "data", "form": "power", "preferred": False, "points": [point]} | changes


def test_forecasts_show_interval_prediction_and_observation_of_every_law():
    language = fits("language", forecasts=[forecast("chemgpt-slim", True)])
    both = forecast("painn", True, along="both", form="joint")
    potential = fits("potential", forecasts=[forecast("painn", False, preferred=True), both])
    figure = forecasts([language, potential])
    left, right = shown(figure)
    assert [text.get_text() for text in right.get_yticklabels()] == ["PaiNN d2-w8, D = 2,000\npower law (preferred)"]
    assert lines(left, "-") == [(INSIDE, [0, 0])] and lines(right, "-") == [(OUTSIDE, [0, 0])]
    assert points(right) == [(0.2, 0), (0.4, 0)]
    assert (left.get_title(), left.get_xlabel()) == ("held-out language cells", "test loss (nats per token)")
    assert legend(figure)[0] == "observed" and len(legend(figure)) == 3


def test_analysis_choices_show_the_exponent_its_interval_and_every_other_choice():
    laws = fits("potential", judgements=[judgement("painn", "d2-w8"), judgement("schnet", "d2-w16")])
    along_size = judgement("schnet", "20") | {"along": "parameters"}
    laws["judgements"].append(along_size)
    figure = analysis_choices([fits("language"), laws])
    (axes,) = shown(figure)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["PaiNN d2-w8", "SchNet d2-w16"]
    assert sorted(x for x, _ in points(axes)) == pytest.approx(sorted(2 * [0.25, 0.35, 0.22]))
    assert [list(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "-"] == 2 * [[0.2, 0.3]]
    assert legend(figure) == ["the study's own choice", "its statistical interval", "other loss", "other data"]
    assert axes.get_xlabel() == "data-scaling exponent"


def test_the_frontier_rings_its_runs_and_draws_the_lowest_loss_by_the_surface():
    table = runs("potential")
    on = [f"potential/painn/d2-w8/{data}/seed0" for data in (20, 180)]
    frontiers = [{"family": "painn", "on": on}, {"family": "schnet", "reason": "too few runs"}]
    flops = [1e3 * 900 * data for data in (20, 180)]
    best = [{"compute": compute, "loss": 0.3 / i} for i, compute in enumerate(flops, start=1)]
    exponents = {"N": {"value": 0.45, "interval": [0.4, None]}}
    allocations = [
        {"family": "painn", "exponents": exponents, "line": best},
        {"family": "schnet", "reason": "no optimum"},
    ]
    (axes,) = shown(compute_frontier(table, [fits("potential", frontiers=frontiers, allocations=allocations)]))
    colour = FAMILIES["painn"].colour
    assert lines(axes, "-") == [(colour, pytest.approx([0.3, 0.15]))]
    rings = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    assert [x for line in rings for x in line.get_xdata()] == flops
    assert len(points(axes)) == 12 + 2
    assert legend(axes) == ["PaiNN: best $N ∝ C^{0.45}$ [0.40, not bounded]"]


def test_the_lowest_loss_by_tied_exponents_has_no_exponent_of_size():
    best = [{"compute": 1e6, "loss": 0.3}, {"compute": 2e6, "loss": 0.2}]
    allocations = [{"family": "painn", "exponents": None, "line": best}]
    (axes,) = shown(compute_frontier(runs("potential"), [fits("potential", allocations=allocations)]))
    assert legend(axes) == ["PaiNN"]


def test_pairs_of_families_are_drawn_at_matched_parameters_above_and_flops_below():
    figure = families_matched([fits("language"), fits("potential", comparisons=[comparison("parameters")])])
    (above,) = shown(figure)
    assert above.get_title() == "at the non-embedding parameters of SchNet d2-w16"
    assert legend(above) == ["PaiNN  α = 0.25 [0.20, 0.30]", "SchNet  α = 0.25 [0.20, 0.30]"]
    assert {colour for colour, _ in lines(above, "-")} == {FAMILIES["painn"].colour, FAMILIES["schnet"].colour}
    assert points(above) == 2 * [(20, 0.4), (180, 0.2)]
    empty = [axes for axes in figure.axes if not axes.axison]
    assert [axes.texts[0].get_text() for axes in empty] == ["no two families\nat one size"]
    assert len(families_matched([fits("potential")]).axes) == 2
