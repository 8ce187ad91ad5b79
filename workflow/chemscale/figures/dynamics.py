"""What the notebook on dynamics draws with: from the runs table alone."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from chemscale.figures.style import DATA, curves, finished

# column of the runs table, label, scale
PANELS = (
    ("nve_drift", "energy drift (meV/atom/ps)", "log"),
    ("nve_rms", "energy fluctuation (meV/atom)", "log"),
    ("stability_ps", "stable for (ps)", "linear"),
    ("relax_rmsd", "minima off by (Å)", "log"),
    ("relax_energy", "minima too high by (meV/atom)", "symlog"),
    ("relaxed", "share relaxed", "linear"),
)


def simulations(runs: pd.DataFrame) -> Figure:
    """What simulations say of the potentials against data, a panel a quantity and a line a family and size."""
    table = finished(runs, "potential").dropna(subset="simulated_molecules").sort_values("data")
    figure, grid = plt.subplots(2, 3, figsize=(11, 6.4), sharex=True)
    handles = []
    for curve in curves(table, "potential"):
        style = {"fmt": f"{curve.marker}-", "color": curve.colour, "ms": 4.5, "lw": 1.2}
        for axes, (column, _, _) in zip(grid.flat, PANELS, strict=True):
            if column in table:  # without minima to compare with there are no columns of relaxations
                axes.errorbar(curve.runs["data"], curve.runs[column], curve.runs.get(f"{column}_se"), **style)
        handles.append(curve.handle())
    for axes, (column, label, scale) in zip(grid.flat, PANELS, strict=True):
        axes.set(xscale="log", yscale=scale, title=label)
        if column in ("stability_ps", "relaxed"):
            axes.set_ylim(bottom=0)
    grid.flat[2].axhline(table["simulated_ps"].max(), color="0.4", ls=":", lw=1)
    for axes in grid[-1]:
        axes.set_xlabel(DATA["potential"])
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small")
    return figure
