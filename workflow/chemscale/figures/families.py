"""Families side by side at matched parameters and at matched compute: what a notion of symmetry, say, buys."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chemscale.analysis.families import MATCHED
from chemscale.figures.style import DATA, LOSS, draw_law, exponent_text, plain_ticks
from chemscale.models.registry import FAMILIES


def families_matched(fits: list[dict]) -> Figure:
    """Loss against data of every pair of families: matched parameters above, matched training FLOPs below."""
    compared = [(of_arm["arm"], entry) for of_arm in fits for entry in of_arm["comparisons"]]
    pairs = list(dict.fromkeys((arm, *entry["names"]) for arm, entry in compared))
    rows, columns = len(MATCHED), max(1, len(pairs))
    figure, panels = plt.subplots(rows, columns, figsize=(4.6 * columns, 4.0 * rows), squeeze=False)
    places = {(*pair, by): panels[i, j] for i, by in enumerate(MATCHED) for j, pair in enumerate(pairs)}
    for arm, entry in compared:
        _draw(places.pop((arm, *entry["names"], entry["matched"])), arm, entry)
    for panel in panels.flat if not pairs else places.values():
        panel.set_axis_off()
        panel.text(0.5, 0.5, "no two families\nat one size", ha="center", va="center", color="0.4")
    return figure


def _draw(panel: Axes, arm: str, entry: dict) -> None:
    for side in entry["sides"]:
        colour = FAMILIES[side["family"]].colour
        panel.plot(*np.array(side["observed"]).T, "o", color=colour, ms=4)
        draw_law(panel, side, colour)
        panel.plot([], [], color=colour, label=f"{FAMILIES[side['family']].label}  {exponent_text(side)}")
    held = f"{FAMILIES[entry['at']['family']].label} {entry['at']['size']}"
    panel.set(xscale="log", yscale="log", xlabel=DATA[arm], ylabel=LOSS[arm][1])
    panel.set_title(f"at the {MATCHED[entry['matched']]} of {held}", fontsize="small")
    panel.legend(fontsize="x-small")
    plain_ticks(panel)


def comparison_table(fits: list[dict]) -> pd.DataFrame:
    """Every pair of families: slopes, and how many times the data one needs for the lowest loss both have."""
    rows = []
    for of_arm in fits:
        for entry in of_arm["comparisons"]:
            first, second = entry["sides"]
            lowest = (entry["factors"]["at"] or [{"loss": None, "factor": None, "interval": [None, None]}])[-1]
            rows.append({
                "arm": of_arm["arm"],
                "first": first["family"],
                "second": second["family"],
                "matched": MATCHED[entry["matched"]],
                "of": f"{entry['at']['family']} {entry['at']['size']}",
                "law": entry["form"],
                "exponent of first": _within(first["parameters"]["exponent"], first["intervals"]["exponent"]),
                "exponent of second": _within(second["parameters"]["exponent"], second["intervals"]["exponent"]),
                "at loss": lowest["loss"],
                "data of second / first": _within(lowest["factor"], lowest["interval"]),
                "statement": entry["statement"],
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["arm", "first", "second", "matched", "statement"])


def _within(value: float | None, interval: list) -> str:
    low, high = ("no limit" if end is None else f"{end:.3g}" for end in interval)
    return "beyond reach" if value is None else f"{value:.3g} ({low} to {high})"
