"""Families side by side at matched parameters and at matched compute."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chemscale.analysis.families import MATCHED
from chemscale.analysis.ladder import ladder
from chemscale.arms import ARMS
from chemscale.figures.curves import draw_law, exponent_text
from chemscale.figures.style import loss_label, plain_ticks, write_placeholder
from chemscale.models.registry import FAMILIES

ALL_PAIRS = 3  # up to three families


def families_matched(fits: list[dict]) -> Figure:
    """Draw loss against data for pairs of families: matched parameters above, matched training FLOPs below.

    Of more than `ALL_PAIRS` pairs, those with the lowest family of the ladder are drawn.
    """
    compared = [(of_arm["arm"], entry) for of_arm in fits for entry in of_arm["comparisons"]]
    pairs = list(dict.fromkeys((arm, *entry["names"]) for arm, entry in compared))
    if len(pairs) > ALL_PAIRS:
        lowest = {of_arm["arm"]: ladder(of_arm)[0]["family"] for of_arm in fits if of_arm["comparisons"]}
        compared = [(arm, entry) for arm, entry in compared if lowest[arm] in entry["names"]]
        pairs = [pair for pair in pairs if lowest[pair[0]] in pair[1:]]
    rows, columns = len(MATCHED), max(1, len(pairs))
    figure, panels = plt.subplots(rows, columns, figsize=(4.6 * columns, 4.0 * rows), squeeze=False)
    places = {(*pair, by): panels[i, j] for i, by in enumerate(MATCHED) for j, pair in enumerate(pairs)}
    for arm, entry in compared:
        _draw_pair(places.pop((arm, *entry["names"], entry["matched"])), arm, entry)
    for panel in places.values() if pairs else panels.flat:
        write_placeholder(panel, "no two families\nat one size")
    return figure


def _draw_pair(panel: Axes, arm: str, entry: dict) -> None:
    for side in entry["sides"]:
        family = FAMILIES[side["family"]]
        panel.plot(*np.array(side["observed"]).T, "o", color=family.colour, ms=4)
        draw_law(panel, side, family.colour)
        panel.plot([], [], color=family.colour, label=f"{family.label}  {exponent_text(side)}")
    held = f"{FAMILIES[entry['at']['family']].label} {entry['at']['size']}"
    panel.set(xscale="log", yscale="log", xlabel=ARMS[arm].data_label, ylabel=loss_label(arm))
    panel.set_title(f"at the {MATCHED[entry['matched']]} of {held}", fontsize="small")
    panel.legend(fontsize="x-small")
    plain_ticks(panel)
