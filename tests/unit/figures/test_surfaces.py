"""Contours of the surfaces L(N, D)."""

import numpy as np
import pytest
from helpers.drawn import legend
from helpers.studies import fits, law, runs

from chemscale.figures.surfaces import surfaces

POTENTIAL = runs("potential").assign(parameters=900, train_structures=lambda table: table["data"])


def test_every_family_has_contours_of_its_law_its_runs_and_the_best_use_of_compute():
    joint = law("painn", "both", {}, form="joint_tied", preferred=True)
    joint["parameters"] = {"A": 3.0, "alpha": 0.5, "B": 2.0, "E": 0.1}
    line = [{"N": 900, "D": 20}, {"N": 900, "D": 180}]
    laws = fits("potential", joint=[joint], allocations=[{"family": "painn", "line": line}])
    figure = surfaces(POTENTIAL, [fits("language"), laws])
    (panel,) = figure.axes
    assert panel.get_title() == "PaiNN: test MAE of forces (eV/Å)"
    points, best = panel.lines
    assert set(points.get_xdata()) == {900} and list(best.get_ydata()) == [20, 180]
    (filled, lines) = panel.collections
    lowest = 0.1 + 3 * 1800**-0.5 + 2 * (2 * 180) ** -0.5
    assert filled.levels[0] == pytest.approx(lowest)
    assert len(lines.levels) == 7 and np.all(np.diff(lines.levels) > 0)
    assert legend(figure) == ["runs", "lowest loss for a budget, within the runs"]


def test_without_a_surface_the_figure_says_so():
    figure = surfaces(POTENTIAL, [fits("language"), fits("potential")])
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["no surface L(N, D)\ncould be fitted"]
