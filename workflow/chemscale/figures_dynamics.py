"""What the notebook on dynamics draws with: from the runs table alone."""

import itertools

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chemscale.figures import DATA, FAMILY_COLOURS, FAMILY_NAMES, MARKERS, finished, sizes_in_order

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
    for family, of_family in table.groupby("family"):
        sizes = sizes_in_order(of_family)
        colours = sns.light_palette(FAMILY_COLOURS[family], n_colors=len(sizes) + 2)[2:]
        for size, colour, marker in zip(sizes, colours, itertools.cycle(MARKERS), strict=False):
            of_size = of_family[of_family["size"] == size]
            style = {"fmt": f"{marker}-", "color": colour, "ms": 4.5, "lw": 1.2}
            for axes, (column, _, _) in zip(grid.flat, PANELS, strict=True):
                if column in of_size:  # without minima to compare with there are no columns of relaxations
                    axes.errorbar(of_size["data"], of_size[column], of_size.get(f"{column}_se"), **style)
            text = f"{FAMILY_NAMES[family]} {size}, N = {int(of_size['parameters'].iloc[0]):,}"
            handles.append(Line2D([], [], color=colour, marker=marker, label=text))
    for axes, (column, label, scale) in zip(grid.flat, PANELS, strict=True):
        axes.set(xscale="log", yscale=scale, title=label)
        if column in ("stability_ps", "relaxed"):
            axes.set_ylim(bottom=0)
    grid.flat[2].axhline(table["simulated_ps"].max(), color="0.4", ls=":", lw=1)
    for axes in grid[-1]:
        axes.set_xlabel(DATA["potential"])
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small")
    return figure
