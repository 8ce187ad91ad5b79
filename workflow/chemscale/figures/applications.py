"""Figures of trained models in use against training data: generated molecules, and simulations."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chemscale.arms import ARMS
from chemscale.figures.curves import curves, finished_runs
from chemscale.figures.style import legend_below, plain_ticks


class Panel(NamedTuple):
    """A quantity: its column of the runs table, title, scale, and the column of its value for the training set."""

    column: str
    title: str
    scale: str = "linear"
    from_zero: bool = False
    training_set: str | None = None


GENERATION = (
    Panel("generated_valid", "valid, of all"),
    Panel("generated_unique", "distinct, of the valid"),
    Panel("generated_novel", "novel, of the distinct"),
    Panel("generated_diversity", "internal diversity", training_set="training_diversity"),
    *(
        Panel(f"wasserstein_{name}", f"distance in {label}", "linear", True, f"wasserstein_{name}_floor")
        for name, label in {"logp": "logP", "qed": "QED", "sa": "SA score", "weight": "weight (Da)"}.items()
    ),
)
SIMULATIONS = (
    Panel("nve_drift", "energy drift (meV/atom/ps)", "log"),
    Panel("nve_rms", "energy fluctuation (meV/atom)", "log"),
    Panel("stability_ps", "stable for (ps)", from_zero=True),
    Panel("relax_rmsd", "RMSD of minima (Å)", "log"),
    Panel("relax_energy", "energy above minimum (meV/atom)", "symlog"),
    Panel("relaxed", "share relaxed", from_zero=True),
)


def generation(runs: pd.DataFrame) -> Figure:
    """Draw the quality of generated molecules against data, a panel per quantity and a line per model size."""
    table = finished_runs(runs, "language").dropna(subset="generated_molecules").sort_values("data")
    figure, grid = plt.subplots(2, 4, figsize=(12, 5.6), sharex=True)
    handles = [Line2D([], [], color="0.4", ls="--", label="the training set itself")]
    legend_below(figure, handles + _draw(grid, table, "language", GENERATION))
    for axes, panel in zip(grid.flat, GENERATION, strict=True):
        if panel.training_set:
            levels = table.groupby("data")[panel.training_set].mean()
            axes.plot(levels.index, levels.to_numpy(), "--", color="0.4", lw=1)
    return figure


def simulations(runs: pd.DataFrame) -> Figure:
    """Draw the quality of dynamics and minima against data, a panel per quantity and a line per family and size."""
    table = finished_runs(runs, "potential").dropna(subset="simulated_molecules").sort_values("data")
    figure, grid = plt.subplots(2, 3, figsize=(11, 6.4), sharex=True)
    legend_below(figure, _draw(grid, table, "potential", SIMULATIONS))
    grid.flat[2].axhline(table["simulated_ps"].max(), color="0.4", ls=":", lw=1)  # the length of the simulations
    return figure


def _draw(grid: np.ndarray, table: pd.DataFrame, arm: str, panels: tuple[Panel, ...]) -> list[Artist]:
    """Draw every quantity of every curve, with standard errors where there are any; return the legend's entries."""
    handles: list[Artist] = []
    for curve in curves(table, arm):
        style = {"fmt": f"{curve.marker}-", "color": curve.colour, "ms": 4.5, "lw": 1.2}
        for axes, panel in zip(grid.flat, panels, strict=True):
            if panel.column in table:  # without reference minima there are no columns of relaxations
                errors = curve.runs.get(f"{panel.column}_se")
                axes.errorbar(curve.runs["data"], curve.runs[panel.column], errors, **style)
        handles.append(curve.handle())
    for axes, panel in zip(grid.flat, panels, strict=True):
        axes.set(xscale="log", yscale=panel.scale, title=panel.title)
        if panel.from_zero:
            axes.set_ylim(bottom=0)
    for axes in grid[-1]:
        axes.set_xlabel(ARMS[arm].data_label)
        plain_ticks(axes, "x", narrow=True)
    return handles
