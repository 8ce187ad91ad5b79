"""Figures of the training of a study: curves, learning rates, and the predictions of training speed estimates."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType

from chemscale.arms import ARMS
from chemscale.figures.curves import ordered_sizes
from chemscale.figures.style import BY_DATA, BY_SIZE, plain_ticks, shades, write_placeholder
from chemscale.models.registry import FAMILIES

ESTIMATES = {"tse": "TSE", "tse_e": "TSE-E"}
NO_SWEEP = "every learning rate\nof this study is given"
SHOWN_LOSSES = 5.0  # times the lowest; beyond, a sweep leaves its panel, and estimates have logarithmic axes


def training_curves(runs: pd.DataFrame, histories: pd.DataFrame) -> Figure:
    """Draw validation loss against step: a panel per family and size, a curve per cell, with its best step marked."""
    table = runs[runs["status"] != "missing"]
    groups = [
        (arm, family, size, of_family[of_family["size"] == size])
        for (arm, family), of_family in table.groupby(["arm", "family"])
        for size in ordered_sizes(of_family)
    ]
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(3.1 * columns, 2.7 * rows), squeeze=False)
    curves = dict(list(histories.dropna(subset="validation_loss").groupby("cell")))
    for panel, (arm, family, size, cells) in zip(panels.flat, groups, strict=False):
        colours = shades(BY_DATA, sorted(cells["data"].unique()))
        for cell in cells.itertuples():
            if cell.cell in curves:
                _draw_history(panel, curves[cell.cell], cell.best_step, colours[cell.data], cell.seed == 0)
        panel.set(xscale="log", yscale="log", title=f"{FAMILIES[family].label} {size}")
        panel.set(xlabel="step", ylabel="validation loss")
        plain_ticks(panel, "y")
        handles = [Line2D([], [], color=colour, label=f"{amount:,}") for amount, colour in colours.items()]
        small = {"fontsize": "x-small", "title_fontsize": "x-small", "handlelength": 1}
        panel.legend(handles=handles, title=ARMS[arm].examples, **small)
    for panel in list(panels.flat)[len(groups) :]:
        panel.remove()
    return figure


def _draw_history(panel: Axes, curve: pd.DataFrame, best_step: int, colour: ColorType, first_seed: bool) -> None:
    panel.plot(curve["step"], curve["validation_loss"], color=colour, lw=1, ls="-" if first_seed else "--")
    best = curve[curve["step"] == best_step]
    panel.plot(best["step"], best["validation_loss"], "o", color=colour, ms=4)


def learning_rates(sweeps: pd.DataFrame) -> Figure:
    """Draw, per family, final losses against learning rate, and the best rates against width with the rule.

    Losses are measured or predicted. Where batches were swept too, that of the study is drawn solid, others are broken.
    """
    # force fields have no batch of tokens, and NaN is equal to nothing
    families = list(sweeps.fillna({"batch_tokens": 0}).groupby(["arm", "family"]))
    figure, panels = plt.subplots(2, max(1, len(families)), figsize=(3.6 * max(1, len(families)), 5.6), squeeze=False)
    for (above, below), ((_, family), table) in zip(panels.T, families, strict=False):
        styles = batch_styles(table)
        _draw_sweep(above, table, styles)
        above.set(title=FAMILIES[family].label, xlabel="learning rate", ylabel="final validation loss")
        _draw_rule(below, table, styles, FAMILIES[family].colour)
        below.set(xlabel="width", ylabel="learning rate")
        for panel in (above, below):
            panel.set(xscale="log", yscale="log")
            panel.legend(fontsize="small")
            plain_ticks(panel)
        lowest = table["expected_loss"].min()
        if table["expected_loss"].max() > SHOWN_LOSSES * lowest:  # a rate that is far too high would hide the others
            above.set_ylim(top=SHOWN_LOSSES * lowest)
    for panel in panels.flat if not families else ():
        write_placeholder(panel, NO_SWEEP)
    return figure


def _draw_sweep(axes: Axes, table: pd.DataFrame, styles: dict[float, tuple[str, str]]) -> None:
    """Draw final losses against learning rate for every width and batch, and the best rates of the study's batch."""
    colours = shades(BY_SIZE, sorted(table["width"].unique()))
    for (width, batch), trials in table.sort_values("learning_rate").groupby(["width", "batch_tokens"]):
        colour, (style, suffix) = colours[width], styles[batch]
        label = f"width {width}{suffix}"
        axes.plot(trials["learning_rate"], trials["expected_loss"], color=colour, label=label, lw=1.2, ls=style)
        draw_trials(axes, trials, "learning_rate", colour)
        if trials["own_batch"].all():
            axes.axvline(trials["best_learning_rate"].iloc[0], color=colour, lw=1, ls=":")


def _draw_rule(axes: Axes, table: pd.DataFrame, styles: dict[float, tuple[str, str]], colour: ColorType) -> None:
    """Draw the best rate of every width and batch, and the learning-rate rule through them."""
    for batch, of_batch in table.groupby("batch_tokens"):
        best = of_batch.groupby("width").first()
        style, suffix = styles[batch]
        axes.plot(best.index, best["rule_learning_rate"], color="0.4", lw=1.2, ls=style, label=f"rule{suffix}")
        fill = colour if of_batch["own_batch"].all() else "white"
        for edge, marker, text in ((False, "o", "best of the sweep"), (True, "X", "at the sweep's edge")):
            points = best.loc[best["edge"] == edge, "best_learning_rate"]
            if len(points):
                axes.plot(points.index, points, marker, color=colour, mfc=fill, label=f"{text}{suffix}")


def batch_styles(table: pd.DataFrame) -> dict[float, tuple[str, str]]:
    """Return the line style of each batch of a sweep, and its suffix in a label: empty where there is one batch."""
    batches = table.drop_duplicates("batch_tokens").set_index("batch_tokens")["own_batch"]
    if len(batches) == 1:
        return {batches.index[0]: ("-", "")}
    others = iter(("--", "-.", ":"))
    return {batch: ("-" if own else next(others, "--"), f", {batch:,.0f} tokens") for batch, own in batches.items()}


def performance_estimation(sweeps: pd.DataFrame) -> Figure:
    """Draw, per family, final losses against the estimate after the first steps, and the line that predicts them."""
    families = list(sweeps.groupby(["arm", "family"]))
    figure, panels = plt.subplots(1, max(1, len(families)), figsize=(3.6 * max(1, len(families)), 3.6), squeeze=False)
    for panel, ((_, family), table) in zip(panels.flat, families, strict=False):
        first = table.iloc[0]
        mapped = pd.notna(first["estimate"])
        estimate = first["estimate"] if mapped else "tse"
        for width, colour in shades(BY_SIZE, sorted(table["width"].unique())).items():
            trials = table[table["width"] == width]
            draw_trials(panel, trials, estimate, colour)
            panel.plot([], [], "o", color=colour, label=f"width {width}")
            stopped = trials[(trials["status"] == "stopped") & trials["predicted_loss"].notna()]
            panel.vlines(
                stopped[estimate], stopped["predicted_low"], stopped["predicted_high"], color=colour, alpha=0.4
            )
        result = f"{first['flops_share_saved']:.0%} of FLOPs saved"
        if mapped:
            line = np.geomspace(table[estimate].min(), table[estimate].max(), 100)
            panel.plot(line, first["slope"] * line + first["intercept"], color="0.4", lw=1.2)
            if line[-1] > SHOWN_LOSSES * line[0]:
                panel.set(xscale="log", yscale="log")
            result = f"ρ = {first['spearman']:.2f}, {result}"
        title = f"{FAMILIES[family].label}\n{result}"
        panel.set(title=title, xlabel=ESTIMATES[estimate], ylabel="final validation loss")
        panel.legend(fontsize="small")
    if not families:
        write_placeholder(panels[0, 0], NO_SWEEP)
    return figure


def draw_trials(axes: Axes, trials: pd.DataFrame, x: str, colour: ColorType) -> None:
    """Draw final losses against column `x`: filled points where trials finished, hollow where losses are predicted."""
    ended = trials["status"] == "finished"
    axes.plot(trials[x][ended], trials["expected_loss"][ended], "o", color=colour)
    axes.plot(trials[x][~ended], trials["expected_loss"][~ended], "o", color=colour, mfc="white")
