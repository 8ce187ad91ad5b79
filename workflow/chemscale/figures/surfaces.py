"""The fitted surfaces L(N, D): contours of the loss over model size and data, the runs, and the best use of compute."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chemscale.arms import ARMS, PARAMETERS, PARAMETERS_LABEL
from chemscale.figures.curves import finished_runs
from chemscale.figures.style import legend_below, loss_label, write_placeholder
from chemscale.models.registry import FAMILIES

GRID, LEVELS = 80, 9
COLUMNS = 4  # of panels


def surfaces(runs: pd.DataFrame, fits: list[dict]) -> Figure:
    """Draw the preferred surface of every family as contours of its loss, within a factor of two around the runs."""
    laws = [(of_arm, law) for of_arm in fits for law in of_arm["joint"] if law["preferred"]]
    columns = min(COLUMNS, max(1, len(laws)))
    rows = -(-max(1, len(laws)) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(4.4 * columns, 3.8 * rows), squeeze=False)
    for panel in panels.flat[len(laws) :]:
        write_placeholder(panel, "" if laws else "no surface L(N, D)\ncould be fitted")
    for panel, (of_arm, law) in zip(panels.flat, laws, strict=False):
        arm = ARMS[of_arm["arm"]]
        own = finished_runs(runs, of_arm["arm"])
        own = own[own["family"] == law["family"]]
        _draw_contours(panel, law, own[PARAMETERS], own[arm.data])
        panel.plot(own[PARAMETERS], own[arm.data], "o", color="black", ms=3)
        best = [
            point
            for found in of_arm["allocations"]
            if found["family"] == law["family"]
            for point in found.get("line", [])
        ]
        panel.plot([point["N"] for point in best], [point["D"] for point in best], color="crimson", lw=2)
        panel.set(xscale="log", yscale="log", xlabel=PARAMETERS_LABEL, ylabel=arm.data_label)
        panel.set_title(f"{FAMILIES[law['family']].label}: {loss_label(of_arm['arm'])}", fontsize="small")
    handles = [
        Line2D([], [], color="black", marker="o", ls="", ms=3, label="runs"),
        Line2D([], [], color="crimson", lw=2, label="lowest loss for a budget, within the runs"),
    ]
    legend_below(figure, handles)
    return figure


def _draw_contours(panel: Axes, law: dict, n: pd.Series, d: pd.Series) -> None:
    sizes, amounts = (np.geomspace(of.min() / 2, of.max() * 2, GRID) for of in (n, d))
    values = law["parameters"]
    beta = values.get("beta", values["alpha"])  # tied
    of_size = values["A"] * sizes ** -values["alpha"]
    losses = values.get("E", 0.0) + of_size[None, :] + values["B"] * amounts[:, None] ** -beta  # (D, N)
    levels = np.geomspace(losses.min(), losses.max(), LEVELS)
    panel.contourf(sizes, amounts, losses, levels=levels, cmap="mako_r", alpha=0.5)
    lines = panel.contour(sizes, amounts, losses, levels=levels[1:-1], colors="0.25", linewidths=0.7)
    panel.clabel(lines, fmt="%.2g", fontsize="x-small")
