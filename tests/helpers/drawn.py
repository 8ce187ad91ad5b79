"""Read numbers and texts from a drawn figure."""

from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure


def shown(figure: Figure) -> list[Axes]:
    """Return the panels of a figure that can be seen, after it was drawn in full."""
    figure.canvas.draw()
    return [axes for axes in figure.axes if axes.axison]


def points(axes: Axes) -> list[tuple[float, float]]:
    """Return the coordinates of all markers without a line."""
    lines = [line for line in axes.lines if line.get_linestyle() == "None"]
    return [point for line in lines for point in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def lines(axes: Axes, style: str) -> list[tuple[str, list[float]]]:
    """Return colour and heights of all lines of a style that are not in the legend only."""
    drawn = [line for line in axes.lines if line.get_linestyle() == style and len(line.get_xdata())]
    return [(to_hex(line.get_color()), list(line.get_ydata())) for line in drawn]


def legend(holder: Axes | Figure) -> list[str]:
    """Return the texts of a legend of a panel, or of the figure."""
    found = holder.legends[0] if isinstance(holder, Figure) else holder.get_legend()
    return [text.get_text() for text in found.get_texts()]
