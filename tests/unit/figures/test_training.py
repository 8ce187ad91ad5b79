"""Training curves, sweeps of learning rates with their rule, and training speed estimates."""

import pandas as pd
import pytest
from helpers.drawn import legend, lines, points, shown
from helpers.studies import runs, sweeps
from matplotlib.colors import to_hex

from chemscale.figures.training import batch_styles, learning_rates, performance_estimation, training_curves
from chemscale.models.registry import FAMILIES


def test_training_curves_have_a_panel_per_size_a_line_per_cell_and_a_dot_at_the_best_step():
    table = pd.concat([runs("language"), runs("potential").assign(status="missing")])
    cells = table["cell"][table["arm"] == "language"].unique()
    steps = {"step": [10, 20, 30], "validation_loss": [1.0, 0.5, None]}
    histories = pd.concat([pd.DataFrame(steps).assign(cell=cell) for cell in cells if "w16/180" not in cell])
    panels = shown(training_curves(table, histories))
    assert [axes.get_title() for axes in panels] == ["ChemGPT-slim w8", "ChemGPT-slim w16"]
    small, large = panels
    # two seeds at the smallest amount; the failed run has a history too
    assert [heights for _, heights in lines(small, "-")] == 4 * [[1.0, 0.5]] and len(lines(small, "--")) == 1
    assert len(lines(large, "-")) == 2 and points(large) == 3 * [(20, 0.5)]
    assert small.get_legend().get_title().get_text() == "molecules"
    assert legend(large) == ["20", "60", "180"]


def test_learning_rates_show_losses_above_and_best_rates_with_the_rule_below():
    above, below = shown(learning_rates(sweeps()))
    assert above.get_title() == "SchNet" and legend(above) == ["width 8", "width 32"]
    hollow = [line for line in above.lines if line.get_markerfacecolor() == "white" and line.get_linestyle() == "None"]
    assert [list(line.get_xdata()) for line in hollow] == 2 * [[0.01]]
    assert [line.get_xdata()[0] for line in above.lines if line.get_linestyle() == ":"] == [0.08, 0.02]
    assert legend(below) == ["rule", "best of the sweep", "at the sweep's edge"]
    assert points(below) == [(32, 0.02), (8, 0.08)]
    assert to_hex(below.lines[1].get_color()) == FAMILIES["schnet"].colour
    assert lines(below, "-")[0][1] == pytest.approx([0.6 / 8, 0.6 / 32])


def test_batches_other_than_the_studys_are_broken_lines_with_hollow_points():
    table = sweeps((1024, 4096))
    assert batch_styles(table) == {1024: ("-", ", 1,024 tokens"), 4096: ("--", ", 4,096 tokens")}
    above, below = shown(learning_rates(table))
    assert len(lines(above, "--")) == len(lines(above, "-")) == 2
    assert "best of the sweep, 4,096 tokens" in legend(below)
    fills = {line.get_label(): line.get_markerfacecolor() for line in below.lines}
    assert fills["best of the sweep, 4,096 tokens"] == "white" != fills["best of the sweep, 1,024 tokens"]


def test_estimates_show_the_better_one_with_its_line_and_the_intervals_of_stopped_trials():
    (axes,) = shown(performance_estimation(sweeps()))
    assert axes.get_title() == "SchNet\nρ = 0.80, 35% of FLOPs saved" and axes.get_xlabel() == "TSE-E"
    line = lines(axes, "-")[0][1]
    assert (line[0], line[-1]) == pytest.approx((0.5 * 25 + 0.1, 0.5 * 200 + 0.1))
    assert [len(bars.get_segments()) for bars in axes.collections] == [1, 1]
    (unmapped,) = shown(performance_estimation(sweeps(mapped=False)))
    assert unmapped.get_title() == "SchNet\n35% of FLOPs saved" and lines(unmapped, "-") == []


def test_a_rate_that_is_far_too_high_hides_no_other():
    table = sweeps()
    table.loc[table["learning_rate"] == 0.08, ["expected_loss", "tse_e"]] = 1e6
    above, _ = shown(learning_rates(table))
    assert above.get_ylim()[1] == pytest.approx(5 * table["expected_loss"].min())
    (axes,) = shown(performance_estimation(table))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_without_a_sweep_the_figures_say_so():
    for draw in (learning_rates, performance_estimation):
        figure = draw(sweeps().iloc[:0])
        assert shown(figure) == []
        assert {axes.texts[0].get_text() for axes in figure.axes} == {"every learning rate\nof this study is given"}
