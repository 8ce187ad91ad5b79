"""What the notebook on generated molecules draws with: from the runs table alone."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chemscale.figures.style import DATA, curves, finished

# column of the runs table, label, column of what the training set gets itself
PANELS = (
    ("generated_valid", "valid, of all", None),
    ("generated_unique", "distinct, of the valid", None),
    ("generated_novel", "novel, of the distinct", None),
    ("generated_diversity", "internal diversity", "training_diversity"),
    ("wasserstein_logp", "distance in logP", "wasserstein_logp_floor"),
    ("wasserstein_qed", "distance in QED", "wasserstein_qed_floor"),
    ("wasserstein_sa", "distance in SA score", "wasserstein_sa_floor"),
    ("wasserstein_weight", "distance in weight (Da)", "wasserstein_weight_floor"),
)


def generation(runs: pd.DataFrame) -> Figure:
    """Quality of generated molecules against data, a panel a quantity and a line a model size."""
    table = finished(runs, "language").dropna(subset="generated_molecules").sort_values("data")
    figure, grid = plt.subplots(2, 4, figsize=(12, 5.6), sharex=True)
    handles = [Line2D([], [], color="0.4", ls="--", label="the training set itself")]
    for curve in curves(table, "language"):
        style = {"ls": "-", "color": curve.colour, "ms": 4.5, "lw": 1.2}
        for axes, (column, _, _) in zip(grid.flat, PANELS, strict=True):
            axes.plot(curve.runs["data"], curve.runs[column], curve.marker, **style)
        handles.append(curve.handle())
    for axes, (column, label, floor) in zip(grid.flat, PANELS, strict=True):
        if floor:
            floors = table.groupby("data")[floor].mean()
            axes.plot(floors.index, floors.to_numpy(), "--", color="0.4", lw=1)
        axes.set(xscale="log", title=label)
        if column.startswith("wasserstein"):
            axes.set_ylim(bottom=0)
    for axes in grid[-1]:
        axes.set_xlabel(DATA["language"])
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small")
    return figure
