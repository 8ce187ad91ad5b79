"""Figures of how models were trained: curves, learning rates, and what the training speed estimate foretold."""

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chemscale.figures.style import DATA, plain_ticks, sizes_in_order
from chemscale.models.registry import FAMILIES

ESTIMATES = {"tse": "TSE", "tse_e": "TSE-E"}


def training_curves(runs: pd.DataFrame, histories: pd.DataFrame) -> Figure:
    """Validation loss against training step: a panel per family and size, a curve per cell, its best step marked."""
    table = runs[runs["status"] != "missing"]
    groups = [
        (arm, family, size)
        for (arm, family), of_family in table.groupby(["arm", "family"])
        for size in sizes_in_order(of_family)
    ]
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(3.1 * columns, 2.7 * rows), squeeze=False)
    curves = histories.dropna(subset="validation_loss").groupby("cell")
    for panel, (arm, family, size) in zip(panels.flat, groups, strict=False):
        cells = table[(table["arm"] == arm) & (table["family"] == family) & (table["size"] == size)]
        amounts = sorted(cells["data"].unique())
        colours = dict(zip(amounts, sns.color_palette("mako_r", len(amounts) + 1)[1:], strict=True))
        for cell in cells.itertuples():
            if cell.cell not in curves.groups:
                continue
            curve = curves.get_group(cell.cell)
            colour = colours[cell.data]
            panel.plot(curve["step"], curve["validation_loss"], color=colour, lw=1, ls="-" if cell.seed == 0 else "--")
            best = curve[curve["step"] == cell.best_step]
            panel.plot(best["step"], best["validation_loss"], "o", color=colour, ms=4)
        panel.set(xscale="log", yscale="log", title=f"{FAMILIES[family].label} {size}")
        panel.set_xlabel("step")
        panel.set_ylabel("validation loss")
        plain_ticks(panel, x=False)
        handles = [Line2D([], [], color=colours[amount], label=f"{amount:,}") for amount in amounts]
        panel.legend(
            handles=handles, fontsize="x-small", title=DATA[arm].split()[1], title_fontsize="x-small", handlelength=1
        )
    for panel in list(panels.flat)[len(groups) :]:
        panel.remove()
    return figure


def learning_rates(sweeps: pd.DataFrame) -> Figure:
    """For each family: final losses, known or predicted, against learning rate, and the best rates with the rule.

    Where batches were swept too, those of the study are drawn full and others broken.
    """
    # force fields have no batch of tokens, and NaN is equal to nothing
    families = list(sweeps.fillna({"batch_tokens": 0}).groupby(["arm", "family"]))
    figure, panels = plt.subplots(2, max(1, len(families)), figsize=(3.6 * max(1, len(families)), 5.6), squeeze=False)
    for (above, below), ((_, family), table) in zip(panels.T, families, strict=False):
        widths = sorted(table["width"].unique())
        colours = dict(zip(widths, sns.color_palette("viridis_r", len(widths) + 1)[1:], strict=True))
        styles = batch_styles(table)
        for (width, batch), trials in table.groupby(["width", "batch_tokens"]):
            trials = trials.sort_values("learning_rate")
            style, name = styles[batch]
            label = f"width {width}{name}"
            above.plot(
                trials["learning_rate"], trials["expected_loss"], color=colours[width], label=label, lw=1.2, ls=style
            )
            draw_trials(above, trials, "learning_rate", colours[width])
            if trials["own_batch"].all():
                above.axvline(trials["best_learning_rate"].iloc[0], color=colours[width], lw=1, ls=":")
        above.set(
            xscale="log",
            yscale="log",
            title=FAMILIES[family].label,
            xlabel="learning rate",
            ylabel="final validation loss",
        )
        above.legend(fontsize="small")
        plain_ticks(above)
        for batch, of_batch in table.groupby("batch_tokens"):
            best = of_batch.groupby("width").first()
            style, name = styles[batch]
            below.plot(best.index, best["rule_learning_rate"], color="0.4", lw=1.2, ls=style, label=f"rule{name}")
            own = of_batch["own_batch"].all()
            for edge, marker, what in ((False, "o", "best of the sweep"), (True, "X", "at the sweep's edge")):
                points = best[best["edge"] == edge]
                if len(points):
                    colour = FAMILIES[family].colour
                    below.plot(
                        points.index,
                        points["best_learning_rate"],
                        marker,
                        color=colour,
                        mfc=colour if own else "white",
                        label=f"{what}{name}",
                    )
        below.set(xscale="log", yscale="log", xlabel="width", ylabel="learning rate")
        below.legend(fontsize="small")
        plain_ticks(below)
    if not families:
        say_none(panels[0, 0])
    return figure


def batch_styles(table: pd.DataFrame) -> dict[float, tuple[str, str]]:
    """Line style of each batch of a sweep, and what it adds to a label: nothing where there is one batch."""
    batches = table.drop_duplicates("batch_tokens").set_index("batch_tokens")["own_batch"]
    if len(batches) == 1:
        return {batches.index[0]: ("-", "")}
    others = iter(("--", "-.", ":"))
    return {batch: ("-" if own else next(others, "--"), f", {batch:,.0f} tokens") for batch, own in batches.items()}


def performance_estimation(sweeps: pd.DataFrame) -> Figure:
    """For each family: final loss against the estimate after the first share, and the map between them."""
    families = list(sweeps.groupby(["arm", "family"]))
    figure, panels = plt.subplots(1, max(1, len(families)), figsize=(3.6 * max(1, len(families)), 3.6), squeeze=False)
    for panel, ((_, family), table) in zip(panels.flat, families, strict=False):
        first = table.iloc[0]
        mapped = pd.notna(first["estimate"])
        estimate = first["estimate"] if mapped else "tse"
        widths = sorted(table["width"].unique())
        for width, colour in zip(widths, sns.color_palette("viridis_r", len(widths) + 1)[1:], strict=True):
            trials = table[table["width"] == width]
            draw_trials(panel, trials, estimate, colour)
            panel.plot([], [], "o", color=colour, label=f"width {width}")
            stopped = trials[(trials["status"] == "stopped") & trials["predicted_loss"].notna()]
            panel.vlines(
                stopped[estimate], stopped["predicted_low"], stopped["predicted_high"], color=colour, alpha=0.4
            )
        saved = f"{first['flops_share_saved']:.0%} of FLOPs saved"
        if mapped:
            ends = pd.Series([table[estimate].min(), table[estimate].max()])
            panel.plot(ends, first["slope"] * ends + first["intercept"], color="0.4", lw=1.2)
            saved = f"ρ = {first['spearman']:.2f}, {saved}"
        panel.set(
            title=f"{FAMILIES[family].label}\n{saved}", xlabel=ESTIMATES[estimate], ylabel="final validation loss"
        )
        panel.legend(fontsize="small")
    if not families:
        say_none(panels[0, 0])
    return figure


def draw_trials(axes: Axes, trials: pd.DataFrame, x: str, colour) -> None:
    """Final losses against column `x`: full points where trials ran to their end, hollow where they are predicted."""
    ended = trials["status"] == "finished"
    axes.plot(trials[x][ended], trials["expected_loss"][ended], "o", color=colour)
    axes.plot(trials[x][~ended], trials["expected_loss"][~ended], "o", color=colour, mfc="white")


def say_none(axes: Axes) -> None:
    """What stands in a figure of sweeps where there are none."""
    axes.text(0.5, 0.5, "every learning rate of this study is given", ha="center", transform=axes.transAxes)
