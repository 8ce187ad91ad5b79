"""Studies side by side: loss against data and exponents, small multiples per arm and family."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chemscale.analysis.runs_table import select_runs
from chemscale.analysis.studies import StudyResults
from chemscale.arms import ARMS, PARAMETERS
from chemscale.errors import ChemscaleError
from chemscale.figures.curves import draw_law, draw_means, draw_points
from chemscale.figures.style import MARKERS, STUDY_COLOURS, loss_label, plain_ticks, write_placeholder
from chemscale.models.registry import FAMILIES

COLUMNS = 4  # at most, of panels
LABEL_HEIGHT = 0.075  # of a panel


def require_colours(studies: Sequence[str]) -> None:
    """Raise ChemscaleError for more studies than there are colours that everybody can tell apart."""
    if len(studies) > len(STUDY_COLOURS):
        raise ChemscaleError(f"{len(studies)} studies: at most {len(STUDY_COLOURS)} can be told apart; name fewer")


def studies_compared(studies: Sequence[StudyResults], content: dict) -> Figure:
    """Draw the `content` of `compare_studies`: per family a panel for each size that studies share, then exponents.

    A panel shows the runs that enter the fits and the laws in the form that is compared, each labelled with the name
    of its study. A family without a shared size has one panel with all sizes, without laws.
    """
    groups: dict[tuple[str, str], list[dict]] = {}
    for of_arm in content["arms"]:
        for law in of_arm["laws"]:
            groups.setdefault((of_arm["arm"], law["family"]), []).append(law)
    columns = min(COLUMNS, 1 + max((sum(map(_is_curve, laws)) or 1 for laws in groups.values()), default=0))
    heights = [math.ceil((1 + (sum(map(_is_curve, laws)) or 1)) / columns) for laws in groups.values()]
    rows = sum(heights) or 1
    figure, grid = plt.subplots(rows, columns, figsize=(4.0 * columns, 3.1 * rows), squeeze=False)
    if not groups:
        write_placeholder(grid[0, 0], "no law that\ntwo studies fitted")
    row = 0
    for ((arm, family), laws), height in zip(groups.items(), heights, strict=True):
        _draw_family(list(grid[row : row + height].flat), studies, arm, family, laws)
        row += height
    return figure


def _is_curve(law: dict) -> bool:
    return law["along"] == "data"


def _draw_family(panels: Sequence[Axes], studies: Sequence[StudyResults], arm: str, family: str, laws: list) -> None:
    """Draw the panels of a family in order, and hide those that are left."""
    tables = [select_runs(study.runs, arm)[0] if arm in study.fits else None for study in studies]
    runs = [None if table is None else table[table["family"] == family] for table in tables]
    everything = pd.concat([table for table in runs if table is not None])
    sizes = list(everything.groupby("size")[PARAMETERS].first().sort_values().index)
    shared = sorted(filter(_is_curve, laws), key=lambda law: sizes.index(law["at"]))
    for axes, law in zip(panels, shared or [None], strict=False):
        ends = []
        for study, table, colour, marker in zip(studies, runs, STUDY_COLOURS, MARKERS, strict=False):
            if table is None or table.empty:
                continue
            if law is None:
                ends.append((_draw_all_sizes(axes, table, arm, colour, marker), study.name, colour))
            elif len(cells := table[table["size"] == law["at"]]):
                ends.append((_draw_size(axes, study.fits[arm], law, cells, arm, colour, marker), study.name, colour))
        title = f"{FAMILIES[family].label} {law['at'] if law else ': all sizes'}".replace(" :", ":")
        axes.set_title(title, fontsize="medium")
        axes.set(xscale="log", yscale="log", xlabel=ARMS[arm].data_label, ylabel=loss_label(arm))
        plain_ticks(axes, narrow=True)
        _label_ends(axes, ends)
    _draw_exponents(panels[len(shared) or 1], laws, [study.name for study in studies])
    panels[len(shared) or 1].set_title(f"{FAMILIES[family].label}: exponents of data", fontsize="medium")
    for axes in panels[(len(shared) or 1) + 1 :]:
        axes.set_axis_off()


def _draw_size(
    axes: Axes, fits: dict, compared: dict, cells: pd.DataFrame, arm: str, colour: str, marker: str
) -> tuple[float, float]:
    """Draw the runs of one size, with the law in the form that is compared; return where its line ends."""
    draw_points(axes, cells, ARMS[arm].data, ARMS[arm].loss, colour, marker)
    wanted = (compared["family"], "data", compared["at"], compared["form"])
    for law in fits["curves"]:
        if (law["family"], law["along"], law["at"].get("size"), law["form"]) == wanted:
            draw_law(axes, law, colour)
            return law["line"]["x"][-1], law["line"]["loss"][-1]
    last = cells[cells[ARMS[arm].data] == cells[ARMS[arm].data].max()]
    return float(last[ARMS[arm].data].iloc[0]), float(last[ARMS[arm].loss].mean())


def _draw_all_sizes(axes: Axes, runs: pd.DataFrame, arm: str, colour: str, marker: str) -> tuple[float, float]:
    """Draw the runs of all sizes with lines through their means; return where the line of the largest ends."""
    x, y = ARMS[arm].data, ARMS[arm].loss
    for _, cells in runs.groupby("size"):
        draw_points(axes, cells, x, y, colour, marker)
        draw_means(axes, cells, x, y, colour)
    largest = runs[runs[PARAMETERS] == runs[PARAMETERS].max()]
    end = largest[largest[x] == largest[x].max()]
    return float(end[x].iloc[0]), float(end[y].mean())


def _label_ends(axes: Axes, ends: list[tuple[tuple[float, float], str, str]]) -> None:
    """Write names right of the panel, at the heights of the ends of their lines, and apart from one another."""
    low, high = np.log(axes.get_ylim())
    heights = [(np.log(end[1]) - low) / (high - low) for end, _, _ in ends]
    placed: list[float] = []
    for place in np.argsort(heights):
        (end, name, colour), height = ends[place], heights[place]
        height = max(height, placed[-1] + LABEL_HEIGHT) if placed else height
        placed.append(height)
        axes.annotate(
            name,
            (end[0], end[1]),
            xytext=(1.03, height),
            xycoords="data",
            textcoords="axes fraction",
            color=colour,
            fontsize="small",
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 0, "shrinkB": 3},
        )


def _draw_exponents(axes: Axes, laws: list[dict], names: list[str]) -> None:
    """Draw the exponents of data of every study with their intervals; a law in bold is one where they differ."""
    rows = [(law, entry) for law in laws for entry in law["exponents"] if _is_curve(law) or entry["name"] == "beta"]
    if not rows:
        write_placeholder(axes, "no exponent of data\nin two studies")
        return
    labels = []
    for y, (law, entry) in enumerate(rows):
        shifts = np.linspace(-0.16, 0.16, len(names))
        for shift, value, ends, colour, marker in zip(
            shifts, entry["values"], entry["intervals"], STUDY_COLOURS, MARKERS, strict=False
        ):
            if value is None:
                continue
            low, high = (value if end is None else end for end in ends)
            axes.plot([low, high], [y + shift, y + shift], color=colour, lw=2, solid_capstyle="butt")
            axes.plot(value, y + shift, marker, color=colour, ms=5, mec="white", mew=0.5)
        labels.append(law["at"] if _is_curve(law) else "L(N, D)")
    axes.set_yticks(range(len(rows)), labels)
    for text, (_, entry) in zip(axes.get_yticklabels(), rows, strict=True):
        text.set_fontweight("bold" if entry["agree"] is False else "normal")
    axes.set(xlabel="exponent (bold: differ)", ylim=(len(rows) - 0.5, -0.5))
