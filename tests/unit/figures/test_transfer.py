"""Errors in and out of distribution."""

import pandas as pd
import pytest
from helpers.drawn import legend, lines, points, shown

from chemscale.figures.transfer import ratios, transfer

HOT = ("on_hot_force_mae", "on_hot_zero_force_mae")


@pytest.fixture
def runs() -> pd.DataFrame:
    """Two families at two capacities and three amounts of data, that are 1.5 and 3 times worse on a set "hot"."""
    cell = {"arm": "potential", "status": "finished", "zero_force_mae": 1.0, "on_hot_zero_force_mae": 2.0}
    rows = []
    for family, worse in (("schnet", 1.5), ("painn", 3.0)):
        for width in (8, 16):
            for data in (20, 60, 180):
                error = 2 * data**-0.5 / width
                row = cell | {"family": family, "size": f"d2-w{width}", "parameters": width**2, "data": data}
                row |= {"test_force_mae": error, "unseen_force_mae": 1.1 * error, "on_hot_force_mae": worse * error}
                if width == 8:  # ratios are those of the largest capacity
                    row["on_hot_force_mae"] = 9 * error
                rows.append(row)
    return pd.DataFrame(rows)


def test_ratios_are_those_of_the_largest_capacity_at_the_largest_data(runs):
    found = ratios(runs, HOT)
    assert found["error"].to_dict() == pytest.approx({"schnet": 1.5, "painn": 3.0})
    assert found["relative"].to_dict() == pytest.approx({"schnet": 0.75, "painn": 1.5}), "the forces are twice as large"
    assert found["data"].eq(180).all()
    unseen = ratios(runs, ("unseen_force_mae", "unseen_zero_force_mae"))
    assert unseen["error"].to_dict() == pytest.approx({"schnet": 1.1, "painn": 1.1}) and unseen["relative"].isna().all()


def test_the_figure_has_a_panel_per_set_with_points_baseline_and_ratios(runs):
    panels = shown(transfer(runs))
    assert [axes.get_title() for axes in panels] == ["test: training molecules", "held-out molecules", "hot"]
    for axes in panels:
        assert len(points(axes)) == 2 * 12, "each run, and each mean"
    assert [[heights[0] for _, heights in lines(axes, ":")] for axes in panels] == [[1.0], [], [2.0]]
    test, unseen, hot = panels
    assert test.get_legend() is None and legend(unseen) == ["× 1.10", "× 1.10"]
    assert legend(hot) == ["× 3.00  (× 1.50)", "× 1.50  (× 0.75)"]


def test_sets_without_errors_and_runs_that_were_not_evaluated_are_left_out(runs):
    table = runs.drop(columns="unseen_force_mae")
    table.loc[(table["family"] == "painn") & (table["data"] == 180), "on_hot_force_mae"] = None
    assert [axes.get_title() for axes in shown(transfer(table))] == ["test: training molecules", "hot"]
    assert ratios(table, HOT)["data"].to_dict() == {"painn": 60, "schnet": 180}
