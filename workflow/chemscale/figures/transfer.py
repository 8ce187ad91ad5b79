"""The figure of errors in and out of distribution."""

import re

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chemscale.arms import ARMS, PARAMETERS
from chemscale.figures.curves import curves, draw_baseline, draw_means, draw_points, finished_runs
from chemscale.figures.style import legend_below, plain_ticks
from chemscale.models.registry import FAMILIES

TEST = ("test_force_mae", "zero_force_mae")  # error, and its baseline: the error of predicting no force
UNSEEN = ("unseen_force_mae", "unseen_zero_force_mae")
COLUMNS = 3


def transfer(runs: pd.DataFrame) -> Figure:
    """Draw force error against data: in distribution, on held-out molecules, and on every other evaluated dataset.

    There is a panel per set, all on the same axes; legends hold the `ratios`, dotted lines are baselines.
    """
    table = finished_runs(runs, "potential")
    shown = panels(table)
    rows = -(-len(shown) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(11, 3.6 * rows), sharex=True, sharey=True, squeeze=False)
    handles = []
    for curve in curves(table, "potential"):
        for axes, (error, _) in zip(grid.flat, shown.values(), strict=False):
            draw_points(axes, curve.runs, "data", error, curve.colour, curve.marker)
            draw_means(axes, curve.runs, "data", error, curve.colour)
        handles.append(curve.handle())
    for axes, (title, columns) in zip(grid.flat, shown.items(), strict=False):
        axes.set(xscale="log", yscale="log", title=title, xlabel=ARMS["potential"].data_label)
        axes.xaxis.set_tick_params(labelbottom=True)  # also where the row below has no panel
        if columns[1] in table:
            draw_baseline(axes, table[columns[1]].dropna().iloc[0], "no force predicted")
        if columns != TEST:
            _write_ratios(axes, ratios(table, columns))
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel(f"MAE of forces ({ARMS['potential'].unit})")
    plain_ticks(grid[0, 0], "y")
    legend_below(figure, handles)
    return figure


def panels(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return the title of every set with errors, and its columns: the error and its baseline."""
    found = {"test: training molecules": TEST}
    if "unseen_force_mae" in table:
        found["held-out molecules"] = UNSEEN
    stores = [match[1] for column in table if (match := re.fullmatch(r"on_([^_]+)_force_mae", column))]
    return found | {store: (f"on_{store}_force_mae", f"on_{store}_zero_force_mae") for store in stores}


def ratios(table: pd.DataFrame, columns: tuple[str, str]) -> pd.DataFrame:
    """Return the ratio of the errors of `columns` to the test error, one row per family.

    They are means over seeds of the family's largest capacity at its largest amount of data. `error` is the ratio of
    the errors, `relative` the ratio of the errors as shares of the baselines of their sets (NaN without baselines).
    """
    rows = {}
    for family, of_family in table.dropna(subset=columns[0]).groupby("family"):
        of_family = of_family[of_family["data"] == of_family["data"].max()]
        best = of_family[of_family[PARAMETERS] == of_family[PARAMETERS].max()]
        error = best[columns[0]].mean() / best[TEST[0]].mean()
        baseline = best[columns[1]].mean() / best[TEST[1]].mean() if columns[1] in table else float("nan")
        rows[family] = {"error": error, "relative": error / baseline, "data": best["data"].iloc[0]}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["error", "relative", "data"])


def _write_ratios(axes: Axes, found: pd.DataFrame) -> None:
    handles = []
    for family, row in found.iterrows():
        relative = f"  (× {row['relative']:.2f})" if pd.notna(row["relative"]) else ""
        handles.append(Line2D([], [], color=FAMILIES[family].colour, lw=3, label=f"× {row['error']:.2f}{relative}"))
    axes.legend(handles=handles, loc="best", fontsize="x-small", handlelength=1)
