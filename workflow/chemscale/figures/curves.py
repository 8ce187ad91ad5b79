"""Loss against data and against model size, and what other figures of curves share with these two."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType

from chemscale.arms import ARMS, PARAMETERS, PARAMETERS_LABEL
from chemscale.figures.style import BY_DATA, BY_SIZE, MARKERS, loss_label, plain_ticks, shades, write_placeholder
from chemscale.models.registry import FAMILIES


class Curve(NamedTuple):
    """The runs of one size of a family, and their colour and marker in every figure."""

    family: str
    size: str
    runs: pd.DataFrame
    colour: ColorType
    marker: str

    def handle(self, suffix: str = "") -> Line2D:
        """Return the entry in a legend; `suffix` follows the number of parameters."""
        text = f"{FAMILIES[self.family].label} {self.size}, N = {int(self.runs[PARAMETERS].iloc[0]):,}   {suffix}"
        return Line2D([], [], color=self.colour, marker=self.marker, label=text.rstrip())


def finished_runs(runs: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Return the rows of an arm that have a result."""
    return runs[(runs["arm"] == arm) & (runs["status"] == "finished")]


def curves(table: pd.DataFrame, arm: str) -> Iterator[Curve]:
    """Yield a curve per family and size of an arm, the smallest size first.

    Potentials get shades of the colour of their family, language models a colour per size.
    """
    for family, of_family in table.groupby("family"):
        sizes = ordered_sizes(of_family)
        colours = list(shades(BY_SIZE, sizes).values())
        if arm == "potential":
            colours = sns.light_palette(FAMILIES[family].colour, n_colors=len(sizes) + 2)[2:]
        for size, colour, marker in zip(sizes, colours, itertools.cycle(MARKERS), strict=False):
            yield Curve(family, size, of_family[of_family["size"] == size], colour, marker)


def ordered_sizes(runs: pd.DataFrame) -> list[str]:
    """Return the labels of the sizes, the one with fewest parameters first."""
    return list(runs.groupby("size")[PARAMETERS].first().sort_values().index)


def loss_against_data(
    runs: pd.DataFrame, fits: dict, arm: str, y: str | None = None, label: str | None = None
) -> Figure:
    """Draw loss against data, a curve per family and size, with the fitted laws.

    `y` draws another column than the loss of the arm, without laws, with `label` on its axis. Where no run has that
    column, the figure says so.
    """
    table = finished_runs(runs, arm)
    column = y or ARMS[arm].loss
    figure, axes = plt.subplots(figsize=(7.2, 5.6))
    if column not in table:  # a dataset of a single molecule has no unseen ones
        write_placeholder(axes, f"no run has a\n{label or column}")
        return figure
    handles = []
    for curve in curves(table, arm):
        draw_points(axes, curve.runs, "data", column, curve.colour, curve.marker)
        law = preferred_law(fits, "data", curve.family, {"size": curve.size}) if y is None else None
        if law:
            draw_law(axes, law, curve.colour)
        else:
            draw_means(axes, curve.runs, "data", column, curve.colour)
        handles.append(curve.handle(exponent_text(law)))
    if arm == "language":
        draw_baseline(axes, table["unigram_entropy"].iloc[0], "token frequencies alone")
    _finish(axes, handles, ARMS[arm].data_label, label or loss_label(arm))
    return figure


def loss_against_size(runs: pd.DataFrame, fits: dict, arm: str) -> Figure:
    """Draw loss against parameters, a curve per family and amount of data, with the fitted laws."""
    table = finished_runs(runs, arm)
    figure, axes = plt.subplots(figsize=(7.2, 5.6))
    colours = shades(BY_DATA, sorted(table["data"].unique()))
    handles = []
    for (family, of_family), marker in zip(table.groupby("family"), itertools.cycle(MARKERS), strict=False):
        for amount, colour in colours.items():
            draw_points(axes, of_family[of_family["data"] == amount], PARAMETERS, ARMS[arm].loss, colour, marker)
            law = preferred_law(fits, PARAMETERS, family, {"data": int(amount)})
            if law:
                draw_law(axes, law, colour)
            text = f"{amount:,} {ARMS[arm].examples}   {exponent_text(law)}"
            handles.append(Line2D([], [], color=colour, marker=marker, label=text.rstrip()))
    _finish(axes, handles, PARAMETERS_LABEL, loss_label(arm))
    return figure


def _finish(axes: Axes, handles: list[Line2D], xlabel: str, ylabel: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    plain_ticks(axes)
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1, fontsize="small")


def draw_points(axes: Axes, runs: pd.DataFrame, x: str, y: str, colour: ColorType, marker: str = "o") -> None:
    """Draw each run as a small point, and the mean over seeds as a large one."""
    axes.plot(runs[x], runs[y], marker, color=colour, ms=3, alpha=0.5, mew=0)
    means = runs.groupby(x)[y].mean()
    axes.plot(means.index, means.to_numpy(), marker, color=colour, ms=6.5, mec="white", mew=0.6)


def draw_means(axes: Axes, runs: pd.DataFrame, x: str, y: str, colour: ColorType) -> None:
    """Draw a line through the means over seeds, where there is no law."""
    means = runs.groupby(x)[y].mean()
    axes.plot(means.index, means.to_numpy(), color=colour, lw=1)


def draw_baseline(axes: Axes, level: float, text: str) -> None:
    """Draw a dotted line at the error of a predictor that has learnt nothing."""
    axes.axhline(level, color="0.6", lw=1, ls=":")
    style: dict[str, Any] = {"ha": "right", "va": "bottom", "color": "0.4", "fontsize": "small"}
    axes.annotate(text, (1, level), xycoords=("axes fraction", "data"), **style)


def draw_law(axes: Axes, law: dict, colour: ColorType) -> None:
    """Draw a fitted law with its confidence band; dashed where its parameters are not identified."""
    line = law["line"]
    axes.plot(line["x"], line["loss"], "-" if law["identified"] else "--", color=colour, lw=1.4)
    if line["low"] is not None:
        axes.fill_between(line["x"], line["low"], line["high"], color=colour, alpha=0.12, lw=0)


def preferred_law(fits: dict, along: str, family: str, at: dict) -> dict | None:
    """Return the preferred law of `family` along "data" or "parameters" where the other is `at`; None without one."""
    found = [law for law in fits["curves"] if (law["along"], law["family"], law["at"]) == (along, family, at)]
    preferred = [law for law in found if law.get("preferred")]
    return (preferred or found or [None])[0]


def exponent_text(law: dict | None) -> str:
    """Return the exponent of a law with its interval for a legend; nothing without a law."""
    if law is None:
        return ""
    exponent = law["parameters"]["exponent"]
    interval = law["intervals"].get("exponent")
    text = f"α = {exponent:.2f}"
    text += f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval and None not in interval else ""
    floor = law["parameters"].get("floor")
    return text + (f" above a floor of {floor:.2g}" if floor else "")
