"""The ladder of symmetry: exponents and saved data of the families of potentials, one row each."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chemscale.analysis.families import MATCHED
from chemscale.analysis.ladder import EXPONENTS, ladder
from chemscale.figures.style import legend_below, write_placeholder
from chemscale.models.family import SYMMETRIES
from chemscale.models.registry import FAMILIES


def symmetry_ladder(fits: list[dict]) -> Figure:
    """Draw the exponents of data, size and compute of every family, and the data it saves against the lowest one.

    Exponents that are not identified are hollow. An arrow is an interval without an end. Arms of one family have none.
    """
    found = [entries for entries in map(ladder, fits) if len(entries) > 1]
    columns = len(EXPONENTS) + len(MATCHED)
    entries = found[-1] if found else []
    size = (3.0 * columns, 1.4 + 0.45 * max(len(entries), 3))
    figure, panels = plt.subplots(1, columns, figsize=size, sharey=True, squeeze=False)
    if not entries:
        for panel in panels.flat:
            write_placeholder(panel, "fewer than\ntwo families")
        return figure
    exponents, saved = panels[0, : len(EXPONENTS)], panels[0, len(EXPONENTS) :]
    for y, entry in enumerate(entries):
        colour = FAMILIES[entry["family"]].colour
        for panel, along in zip(exponents, EXPONENTS, strict=True):
            if value := entry["exponents"][along]:
                _draw(panel, y, value["value"], value["interval"], colour, filled=value["identified"])
        for panel, by in zip(saved, MATCHED, strict=True):
            if value := entry["saved"][by]:
                _draw(panel, y, value["factor"], value["interval"], colour, filled=True)
    for panel, (along, symbol) in zip(exponents, EXPONENTS.items(), strict=True):
        panel.set(xlabel=f"exponent of {along}, {symbol}")
    lowest = FAMILIES[entries[0]["family"]].label
    for panel, label in zip(saved, MATCHED.values(), strict=True):
        panel.axvline(1, color="0.6", lw=0.8)
        panel.set(xscale="log", xlabel=f"data of {lowest} ÷ its own,\nat matched {label}")
    labels = [f"{FAMILIES[e['family']].label}\n{SYMMETRIES[FAMILIES[e['family']].symmetry]}" for e in entries]
    panels[0, 0].set_yticks(range(len(entries)), labels, fontsize="small")
    panels[0, 0].invert_yaxis()
    handles = [
        Line2D([], [], color="0.3", marker="o", lw=2, label="value and interval"),
        Line2D([], [], color="0.3", marker="o", mfc="white", lw=2, label="not identified"),
        Line2D([], [], color="0.3", marker=">", ls="", label="no limit on this side"),
    ]
    legend_below(figure, handles)
    return figure


def _draw(panel: Axes, y: int, value: float, interval: list, colour: str, filled: bool) -> None:
    """Draw a value with its interval; a side without a limit has an arrow at the value."""
    ends = [value if end is None else end for end in interval]
    panel.plot(ends, [y, y], color=colour, lw=2)
    panel.plot(value, y, "o", color=colour, mfc=colour if filled else "white", ms=6)
    for end, marker in zip(interval, "<>", strict=True):
        if end is None:
            panel.plot(value, y + 0.25, marker, color=colour, ms=5)
