"""What the notebook on transfer draws with: errors in and out of distribution, from the runs table alone."""

import re

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chemscale.figures.style import (
    DATA,
    curves,
    draw_level,
    draw_line,
    draw_points,
    finished,
    plain_ticks,
)
from chemscale.models.registry import FAMILIES

TEST = ("test_force_mae", "zero_force_mae")  # error, and that of a potential that predicts no force
UNSEEN = ("unseen_force_mae", "unseen_zero_force_mae")
COLUMNS = 3


def transfer(runs: pd.DataFrame) -> Figure:
    """Force error against data: in distribution, on unseen molecules, and on every other dataset evaluated on.

    A panel a set, all on the same axes; `ratios` are in the legends, zero-force errors are dotted lines.
    """
    table = finished(runs, "potential")
    shown = panels(table)
    rows = -(-len(shown) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(11, 3.6 * rows), sharex=True, sharey=True, squeeze=False)
    handles = []
    for curve in curves(table, "potential"):
        for axes, (error, _) in zip(grid.flat, shown.values(), strict=False):
            draw_points(axes, curve.runs, "data", error, curve.colour, curve.marker)
            draw_line(axes, curve.runs, "data", error, curve.colour)
        handles.append(curve.handle())
    for axes, (title, columns) in zip(grid.flat, shown.items(), strict=False):
        axes.set(xscale="log", yscale="log", title=title, xlabel=DATA["potential"])
        axes.xaxis.set_tick_params(labelbottom=True)  # of the last panels of a column, whatever is below
        if columns[1] in table:
            draw_level(axes, table[columns[1]].dropna().iloc[0], "no force predicted")
        if columns != TEST:
            _write_ratios(axes, ratios(table, columns))
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("force MAE (eV/Å)")
    plain_ticks(grid[0, 0], x=False)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small")
    return figure


def panels(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Title of every set there are errors on, with the columns of its error and of its zero-force error."""
    found = {"test: training molecules": TEST}
    if "unseen_force_mae" in table:
        found["unseen molecules"] = UNSEEN
    stores = [match[1] for column in table if (match := re.fullmatch(r"on_([^_]+)_force_mae", column))]
    return found | {store: (f"on_{store}_force_mae", f"on_{store}_zero_force_mae") for store in stores}


def ratios(table: pd.DataFrame, columns: tuple[str, str]) -> pd.DataFrame:
    """How much worse the errors of `columns` are than on test structures, a row a family.

    Of the family's largest capacity at its largest amount of data, mean over seeds: `error` is the ratio of the errors,
    `relative` that of the errors as shares of their sets' zero-force errors (NaN where these are not known).
    """
    rows = {}
    for family, of_family in table.dropna(subset=columns[0]).groupby("family"):
        of_family = of_family[of_family["data"] == of_family["data"].max()]
        best = of_family[of_family["parameters"] == of_family["parameters"].max()]
        error = best[columns[0]].mean() / best[TEST[0]].mean()
        zero = best[columns[1]].mean() / best[TEST[1]].mean() if columns[1] in table else float("nan")
        rows[family] = {"error": error, "relative": error / zero, "data": best["data"].iloc[0]}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["error", "relative", "data"])


def _write_ratios(axes: Axes, found: pd.DataFrame) -> None:
    lines = [
        Line2D([], [], color=FAMILIES[family].colour, lw=3, label=f"× {row['error']:.2f}"
               + (f"  (× {row['relative']:.2f})" if row["relative"] == row["relative"] else ""))
        for family, row in found.iterrows()
    ]  # fmt: skip
    axes.legend(handles=lines, loc="best", fontsize="x-small", handlelength=1)
