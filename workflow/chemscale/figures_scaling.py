"""What the scaling notebook draws: what conventions do to exponents, the compute frontier, tables of laws."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chemscale.figures import FAMILY_COLOURS, FAMILY_NAMES, LOSS, MARKERS, finished, plain_ticks, sizes_in_order


def conventions(fits: list[dict]) -> Figure:
    """Exponent of data of every size under every convention, beside its statistical interval."""
    judged = [
        (of_arm["arm"], judgement)
        for of_arm in fits
        for judgement in of_arm["judgements"]
        if judgement["along"] == "data" and judgement["sensitivity"]["rows"]
    ]
    rows = [row for _, judgement in judged for row in judgement["sensitivity"]["rows"]]
    kinds = list(dict.fromkeys(row["convention"].split(" counted")[0] for row in rows))
    colours = dict(zip(kinds, sns.color_palette("colorblind", len(kinds)), strict=True))
    figure, axes = plt.subplots(figsize=(7.2, 1.2 + 0.5 * len(judged)))
    labels = []
    for y, (_, judgement) in enumerate(judged):
        found = judgement["sensitivity"]
        axes.plot(found["interval"], [y, y], color="0.8", lw=9, solid_capstyle="butt", zorder=0)
        rows = [row for row in found["rows"] if row["exponent"] is not None and row["change"] != 0]
        for row, shift in zip(rows, np.linspace(-0.22, 0.22, max(len(rows), 2)), strict=False):
            axes.plot(row["exponent"], y + shift, "o", color=colours[row["convention"].split(" counted")[0]], ms=4)
        axes.plot(found["exponent"], y, "|", color="black", ms=14, mew=1.6)
        labels.append(f"{FAMILY_NAMES[judgement['family']]} {judgement['at']['size']}")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set(xlabel="exponent of data")
    handles = [
        Line2D([], [], color="black", marker="|", ls="", ms=12, label="the study's own choice"),
        Line2D([], [], color="0.8", lw=9, label="its statistical interval"),
        *(Line2D([], [], color=colour, marker="o", ls="", label=f"other {kind}") for kind, colour in colours.items()),
    ]
    figure.legend(handles=handles, loc="outside right upper", fontsize="small")
    return figure


def compute_frontier(runs: pd.DataFrame, fits: list[dict]) -> Figure:
    """Loss of every run against its training FLOPs, and the law of those that no cheaper run beats."""
    figure, panels = plt.subplots(1, len(fits), figsize=(5.6 * len(fits), 4.6), squeeze=False)
    for panel, of_arm in zip(panels.flat, fits, strict=True):
        arm = of_arm["arm"]
        table = finished(runs, arm)
        for family, of_family in table.groupby("family"):
            sizes = sizes_in_order(of_family)
            for size, marker in zip(sizes, itertools.cycle(MARKERS), strict=False):
                rows = of_family[of_family["size"] == size]
                panel.plot(rows["flops"], rows[LOSS[arm][0]], marker, color=FAMILY_COLOURS[family], ms=4, alpha=0.6)
            law = next((entry for entry in of_arm["frontiers"] if entry["family"] == family), None)
            if law and "line" in law:
                label = f"{FAMILY_NAMES[family]}: L ∝ C^−{law['exponent']:.2f}"
                panel.plot(law["line"]["x"], law["line"]["loss"], color=FAMILY_COLOURS[family], lw=1.4, label=label)
        panel.set(xscale="log", yscale="log", xlabel="training FLOPs", ylabel=LOSS[arm][1])
        plain_ticks(panel, x=False)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize="small")
    return figure
