"""Figures of the laws of a study: forecasts, the effect of analysis choices on exponents, and the compute frontier."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chemscale.arms import ARMS
from chemscale.figures.curves import curves, finished_runs
from chemscale.figures.style import legend_below, loss_label, plain_ticks
from chemscale.models.registry import FAMILIES

INSIDE, OUTSIDE = "#009e73", "#d55e00"  # observations within and beyond the forecast interval
FORM_LABELS = {
    "power": "power law",
    "power_floor": "with floor",
    "joint": "L(N, D)",
    "joint_tied": "L(N, D), α = β",
    "joint_no_floor": "L(N, D), E = 0",
}


def forecasts(fits: list[dict]) -> Figure:
    """Draw the forecast of every law fitted without the largest cells beside the observed losses of these cells."""
    rows = {
        of_arm["arm"]: [
            (forecast, point)
            for forecast in of_arm["forecasts"]
            if forecast["along"] != "both" or forecast["preferred"]
            for point in forecast["points"]
        ]
        for of_arm in fits
    }
    height = 1.4 + 0.36 * max(len(of_arm) for of_arm in rows.values())
    figure, panels = plt.subplots(1, len(fits), figsize=(5.2 * len(fits), height), squeeze=False)
    for panel, (arm, of_arm) in zip(panels.flat, rows.items(), strict=True):
        labels = []
        for y, (forecast, point) in enumerate(of_arm):
            colour = INSIDE if point["inside"] else OUTSIDE
            panel.plot([point["low"], point["high"]], [y, y], color=colour, lw=5, alpha=0.35, solid_capstyle="butt")
            panel.plot(point["predicted"], y, "|", color=colour, ms=12, mew=2)
            panel.plot(point["observed"], y, "o", color="black", ms=5)
            preferred = " (preferred)" if forecast["preferred"] else ""
            cell = f"{FAMILIES[forecast['family']].label} {point['size']}, D = {point['data']:,}"
            labels.append(f"{cell}\n{FORM_LABELS[forecast['form']]}{preferred}")
        panel.set_yticks(range(len(labels)), labels, fontsize="x-small")
        panel.set(xlabel=loss_label(arm), title=f"held-out {arm} cells", ylim=(-0.7, len(labels) - 0.3))
        panel.invert_yaxis()
    handles = [
        Line2D([], [], color="black", marker="o", ls="", label="observed"),
        Line2D([], [], color=INSIDE, lw=5, alpha=0.5, label="forecast interval, observed inside"),
        Line2D([], [], color=OUTSIDE, lw=5, alpha=0.5, label="forecast interval, observed outside"),
    ]
    legend_below(figure, handles)
    return figure


def analysis_choices(fits: list[dict]) -> Figure:
    """Draw the data-scaling exponent of every size under every analysis choice, beside its statistical interval."""
    curves_judged = [
        judgement
        for of_arm in fits
        for judgement in of_arm["judgements"]
        if judgement["along"] == "data" and judgement["sensitivity"]["rows"]
    ]
    changed = [[row for row in judgement["sensitivity"]["rows"] if row["change"]] for judgement in curves_judged]
    choices = list(dict.fromkeys(_choice(row) for rows in changed for row in rows))
    colours = dict(zip(choices, sns.color_palette("colorblind", len(choices)), strict=True))
    figure, axes = plt.subplots(figsize=(7.2, 1.2 + 0.5 * len(curves_judged)))
    labels = []
    for y, (judgement, rows) in enumerate(zip(curves_judged, changed, strict=True)):
        found = judgement["sensitivity"]
        axes.plot(found["interval"], [y, y], color="0.8", lw=9, solid_capstyle="butt", zorder=0)
        for row, shift in zip(rows, np.linspace(-0.22, 0.22, max(len(rows), 2)), strict=False):
            axes.plot(row["exponent"], y + shift, "o", color=colours[_choice(row)], ms=4)
        axes.plot(found["exponent"], y, "|", color="black", ms=14, mew=1.6)
        labels.append(f"{FAMILIES[judgement['family']].label} {judgement['at']['size']}")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set(xlabel="data-scaling exponent")
    handles = [
        Line2D([], [], color="black", marker="|", ls="", ms=12, label="the study's own choice"),
        Line2D([], [], color="0.8", lw=9, label="its statistical interval"),
        *(Line2D([], [], color=colour, marker="o", ls="", label=f"other {name}") for name, colour in colours.items()),
    ]
    figure.legend(handles=handles, loc="outside right upper", fontsize="small")
    return figure


def _choice(row: dict) -> str:
    return row["convention"].split(" counted")[0]


def compute_frontier(runs: pd.DataFrame, fits: list[dict]) -> Figure:
    """Draw the loss of every run against its training FLOPs, the runs that no cheaper run beats, and the lowest loss.

    The line is the lowest loss for a budget by the family's surface L(N, D) and its law of cost, with no more
    parameters and data than the runs have.
    """
    figure, panels = plt.subplots(1, len(fits), figsize=(5.6 * len(fits), 4.6), squeeze=False)
    for panel, of_arm in zip(panels.flat, fits, strict=True):
        arm = of_arm["arm"]
        best = {found["family"]: found for found in of_arm["allocations"] if found.get("line")}
        on = {cell for frontier in of_arm["frontiers"] for cell in frontier.get("on", [])}
        for family, table in finished_runs(runs, arm).groupby("family"):
            for curve in curves(table, arm):
                losses = curve.runs[ARMS[arm].loss]
                panel.plot(curve.runs["flops"], losses, curve.marker, color=FAMILIES[family].colour, ms=4, alpha=0.6)
            measured = table[table["cell"].isin(on)]
            panel.plot(measured["flops"], measured[ARMS[arm].loss], "o", mfc="none", mec="black", ms=7, mew=0.8)
            if family in best:
                _draw_lowest_loss(panel, best[family])
        panel.set(xscale="log", yscale="log", xlabel="training FLOPs", ylabel=loss_label(arm))
        plain_ticks(panel, "y")
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize="small")
    handles = [
        Line2D([], [], color="black", marker="o", mfc="none", ls="", ms=7, label="no cheaper run has a lower loss"),
        Line2D([], [], color="0.4", lw=1.4, label="lowest loss by L(N, D) and the law of cost"),
    ]
    legend_below(figure, handles)
    return figure


def _draw_lowest_loss(panel: Axes, allocation: dict) -> None:
    family = FAMILIES[allocation["family"]]
    line = pd.DataFrame(allocation["line"])
    share = (allocation["exponents"] or {}).get("N", {"value": None})  # tied exponents have none of their own
    label = family.label
    if share["value"] is not None:
        label += f": best $N ∝ C^{{{share['value']:.2f}}}$ [{', '.join(map(_end, share['interval']))}]"
    panel.plot(line["compute"], line["loss"], color=family.colour, lw=1.4, label=label)


def _end(value: float | None) -> str:
    return "not bounded" if value is None else f"{value:.2f}"
