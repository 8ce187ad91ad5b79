"""What the notebooks draw with: every figure from the runs table and the fits alone."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from chemscale.models.registry import FAMILIES

LOSS = {
    "language": ("test_loss", "test loss (nats per token)"),
    "potential": ("test_force_mae", "test force MAE (eV/Å)"),
}
DATA = {"language": "training molecules", "potential": "training structures"}
PARAMETERS = "parameters without embeddings"
MARKERS = "osD^vPX*"


def house_style() -> None:
    """Fonts, grid and sizes of every figure; text stays text in SVG."""
    sns.set_theme(context="notebook", style="ticks", font_scale=0.9)
    plt.rcParams.update({
        "axes.grid": True,
        "axes.grid.which": "major",
        "grid.color": "0.92",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "chemscale",
        "savefig.dpi": 160,
    })  # fmt: skip


def save(figure: Figure, directory: str | Path, name: str) -> None:
    """Write `name` as SVG for the report and as PNG for a README into `directory`."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
    figure.savefig(directory / f"{name}.png")


def finished(runs: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Rows of an arm that have a result."""
    return runs[(runs["arm"] == arm) & (runs["status"] == "finished")]


def draw_points(axes: Axes, runs: pd.DataFrame, x: str, y: str, colour, marker: str = "o") -> None:
    """Each run a small point, the mean over seeds a large one."""
    axes.plot(runs[x], runs[y], marker, color=colour, ms=3, alpha=0.5, mew=0)
    means = runs.groupby(x)[y].mean()
    axes.plot(means.index, means.to_numpy(), marker, color=colour, ms=6.5, mec="white", mew=0.6)


def draw_line(axes: Axes, runs: pd.DataFrame, x: str, y: str, colour) -> None:
    """A line through the means over seeds, where there is no law."""
    means = runs.groupby(x)[y].mean()
    axes.plot(means.index, means.to_numpy(), color=colour, lw=1)


def draw_level(axes: Axes, level: float, what: str) -> None:
    """A dotted line at what a model that has learnt nothing gets."""
    axes.axhline(level, color="0.6", lw=1, ls=":")
    axes.annotate(what, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="0.4",
                  fontsize="small")  # fmt: skip


def draw_law(axes: Axes, curve: dict, colour) -> None:
    """A fitted law with its confidence band; dashed where its parameters are not identified."""
    line = curve["line"]
    axes.plot(line["x"], line["loss"], "-" if curve["identified"] else "--", color=colour, lw=1.4)
    if line["low"] is not None:
        axes.fill_between(line["x"], line["low"], line["high"], color=colour, alpha=0.12, lw=0)


def law_along(fits: dict, along: str, family: str, at: dict) -> dict | None:
    """The preferred form of the law of `family` along "data" or "parameters" at the other's value, if there is one."""
    found = [c for c in fits["curves"] if (c["along"], c["family"], c["at"]) == (along, family, at)]
    preferred = [curve for curve in found if curve.get("preferred")]
    return (preferred or found or [None])[0]


def exponent_text(curve: dict | None) -> str:
    """An exponent with its interval, as a legend shows it."""
    if curve is None:
        return ""
    exponent = curve["parameters"]["exponent"]
    interval = curve["intervals"].get("exponent")
    text = f"α = {exponent:.2f}"
    text += f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval and None not in interval else ""
    floor = curve["parameters"].get("floor")
    return text + (f" above a floor of {floor:.2g}" if floor else "")


def sizes_in_order(runs: pd.DataFrame) -> list[str]:
    """Labels of the sizes, the fewest parameters first."""
    return list(runs.groupby("size")["parameters"].first().sort_values().index)


class Curve(NamedTuple):
    """The runs of one size of a family, and how every figure shows them."""

    family: str
    size: str
    runs: pd.DataFrame
    colour: tuple
    marker: str

    def handle(self, more: str = "") -> Line2D:
        """Its entry in a legend; `more` follows the number of parameters."""
        text = f"{FAMILIES[self.family].label} {self.size}, N = {int(self.runs['parameters'].iloc[0]):,}   {more}"
        return Line2D([], [], color=self.colour, marker=self.marker, label=text.rstrip())


def curves(table: pd.DataFrame, arm: str) -> Iterator[Curve]:
    """A curve for every family and size of an arm, small ones first: shades of the family's colour for potentials."""
    for family, of_family in table.groupby("family"):
        sizes = sizes_in_order(of_family)
        colours = {
            "language": sns.color_palette("viridis_r", len(sizes) + 1)[1:],
            "potential": sns.light_palette(FAMILIES[family].colour, n_colors=len(sizes) + 2)[2:],
        }[arm]
        for size, colour, marker in zip(sizes, colours, itertools.cycle(MARKERS), strict=False):
            yield Curve(family, size, of_family[of_family["size"] == size], colour, marker)


def loss_against_data(
    runs: pd.DataFrame, fits: dict, arm: str, y: str | None = None, label: str | None = None
) -> Figure:
    """Loss against data, a curve per family and size; with laws unless `y` names another column than the fitted one."""
    column, default_label = LOSS[arm]
    table = finished(runs, arm)
    figure, axes = plt.subplots(figsize=(7.2, 5.6))
    if y and y not in table:  # a dataset of a single molecule has no unseen ones
        axes.set_axis_off()
        axes.text(0.5, 0.5, f"no run has a\n{label}", ha="center", va="center", color="0.4")
        return figure
    handles = []
    for curve in curves(table, arm):
        draw_points(axes, curve.runs, "data", y or column, curve.colour, curve.marker)
        law = law_along(fits, "data", curve.family, {"size": curve.size}) if y is None else None
        if law:
            draw_law(axes, law, curve.colour)
        else:
            draw_line(axes, curve.runs, "data", y or column, curve.colour)
        handles.append(curve.handle(exponent_text(law)))
    if arm == "language":
        draw_level(axes, table["unigram_entropy"].iloc[0], "token frequencies alone")
    axes.set(xscale="log", yscale="log", xlabel=DATA[arm], ylabel=label or default_label)
    plain_ticks(axes)
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1, fontsize="small")
    return figure


def loss_against_size(runs: pd.DataFrame, fits: dict, arm: str) -> Figure:
    """Loss against parameters, a curve per amount of data."""
    column, label = LOSS[arm]
    table = finished(runs, arm)
    figure, axes = plt.subplots(figsize=(7.2, 5.6))
    amounts = sorted(table["data"].unique())
    handles = []
    for (family, of_family), marker in zip(table.groupby("family"), itertools.cycle(MARKERS), strict=False):
        for amount, colour in zip(amounts, sns.color_palette("mako_r", len(amounts) + 1)[1:], strict=True):
            of_amount = of_family[of_family["data"] == amount]
            draw_points(axes, of_amount, "parameters", column, colour, marker)
            curve = law_along(fits, "parameters", family, {"data": int(amount)})
            if curve:
                draw_law(axes, curve, colour)
            text = f"{amount:,} {DATA[arm].split()[1]}   {exponent_text(curve)}"
            handles.append(Line2D([], [], color=colour, marker=marker, label=text.rstrip()))
    axes.set(xscale="log", yscale="log", xlabel=PARAMETERS, ylabel=label)
    plain_ticks(axes)
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1, fontsize="small")
    return figure


def plain_ticks(axes: Axes, x: bool = True) -> None:
    """Plain numbers on logarithmic axes; on short ones also between the powers of ten."""
    for axis, limits in ((axes.yaxis, axes.get_ylim()), *([(axes.xaxis, axes.get_xlim())] if x else [])):
        decades = math.log10(limits[1] / limits[0])
        axis.set_major_locator(
            LogLocator(subs=(1, 1.5, 2, 3, 5, 7) if decades < 0.6 else (1, 2, 5) if decades < 2.5 else (1,))
        )
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
