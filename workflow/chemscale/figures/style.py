"""The look of all figures: theme, palettes, ticks, legends, and the formats they are saved in.

Colours of families are in `models/<family>/__init__.py`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from chemscale.arms import ARMS

MARKERS = "osD^vPX*"  # one per size of a family
BY_SIZE = "viridis_r"  # palettes of seaborn
BY_DATA = "mako_r"
# of Okabe and Ito (2008), told apart by the colour-blind; their yellow is too light for lines
STUDY_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def house_style() -> None:
    """Set fonts, grid and sizes of all figures; text stays text in SVG."""
    sns.set_theme(context="notebook", style="ticks", font_scale=0.9)
    rules: dict[Any, Any] = {
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
    }
    plt.rcParams.update(rules)


def save(figure: Figure, directory: str | Path, name: str) -> None:
    """Write a figure into `directory` as `name`.svg, for the report, and as `name`.png."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
    figure.savefig(directory / f"{name}.png")


def loss_label(arm: str) -> str:
    """Return the label of an axis of the arm's loss."""
    return f"{ARMS[arm].label} ({ARMS[arm].unit})"


def shades(palette: str, values: Sequence) -> dict:
    """Return a colour of a seaborn palette for each value, light to dark."""
    return dict(zip(values, sns.color_palette(palette, len(values) + 1)[1:], strict=True))


def plain_ticks(axes: Axes, which: str = "xy", narrow: bool = False) -> None:
    """Label logarithmic axes ("x", "y" or both) with plain numbers, on short ones also between the powers of ten.

    A `narrow` panel has room for that on fewer decades.
    """
    for name in which:
        axis, limits = (axes.xaxis, axes.get_xlim()) if name == "x" else (axes.yaxis, axes.get_ylim())
        decades = math.log10(limits[1] / limits[0])
        most = 1.3 if narrow else 2.5
        axis.set_major_locator(
            LogLocator(subs=(1, 1.5, 2, 3, 5, 7) if decades < 0.6 else (1, 2, 5) if decades < most else (1,))
        )
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """Draw the legend of all panels below them."""
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small")


def write_placeholder(axes: Axes, text: str) -> None:
    """Write `text` where there is nothing to draw."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color="0.4", transform=axes.transAxes)
