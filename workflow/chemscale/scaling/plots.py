"""Figures of one fitted law: the law with its points, residuals, profiles, and joint regions of two parameters."""

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from chemscale.scaling.summary import line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chemscale.scaling.law import ScalingLaw

SIZE = (6, 4.5)  # inches


def plot_law(law: "ScalingLaw", axes: "Axes | None" = None) -> "Axes":
    """Draw a curve with its points and band, or the observed against the fitted losses of a surface."""
    axes = axes or plt.subplots(figsize=SIZE)[1]
    fit = law.fit
    if len(fit.x) == 1:
        ((name, values),) = fit.x.items()
        along = line(fit, law.boot, law.confidence)
        axes.plot(along["x"], along["loss"])
        axes.fill_between(along["x"], along["low"], along["high"], alpha=0.15, label=f"{law.confidence:.0%} interval")
        axes.plot(values, fit.loss, "o")
        axes.set(xscale="log", yscale="log", xlabel=law.columns[name], ylabel=law.columns["loss"])
    else:
        fitted = law.fittedvalues
        axes.plot(fitted, fit.loss, "o")
        axes.axline((fitted.min(), fitted.min()), (fitted.max(), fitted.max()), color="0.6", lw=1)
        axes.set(xscale="log", yscale="log", xlabel="fitted loss", ylabel=law.columns["loss"])
    axes.set_title(fit.form.formula, fontsize="small")
    return axes


def plot_residuals(law: "ScalingLaw") -> "Figure":
    """Draw the law, and its residuals in per cent against each of its variables, side by side."""
    names = list(law.fit.x)
    figure, panels = plt.subplots(
        1, 1 + len(names), figsize=(SIZE[0] * 0.8 * (1 + len(names)), SIZE[1]), layout="constrained"
    )
    plot_law(law, panels[0])
    percent = 100 * np.expm1(law.resid)
    reach = 1.1 * max(np.abs(percent).max(), 1e-6)
    for name, axes in zip(names, panels[1:], strict=True):
        axes.axhline(0, color="0.6", lw=1)
        axes.plot(law.fit.x[name], percent, "o", alpha=0.7)
        label = law.columns[name]
        axes.set(xscale="log", xlabel=label, ylabel="observed over fitted loss − 1, %", ylim=(-reach, reach))
    return figure


def plot_profile(law: "ScalingLaw", name: str, axes: "Axes | None" = None) -> "Axes":
    """Draw the objective against the values of one parameter, and the limit below which a value is allowed."""
    from chemscale.scaling.inference.profile import allowed_objective

    axes = axes or plt.subplots(figsize=SIZE)[1]
    found = law.profile(name)
    least = law.fit.diagnostics["objective"]
    axes.plot(found[name], found["objective"] / least)
    limit = allowed_objective(law.fit, law.confidence, law.widening(name)) / least
    axes.axhline(limit, color="0.6", ls="--", lw=1, label=f"allowed below, {law.confidence:.0%}")
    axes.axvline(law.parameters[name], color="0.6", lw=1)
    axes.set(xlabel=name, ylabel="objective over its least", ylim=(1 - 0.1 * (limit - 1), 1 + 4 * (limit - 1)))
    axes.legend(fontsize="small")
    return axes


def plot_contours(law: "ScalingLaw", one: str, other: str, axes: "Axes | None" = None) -> "Axes":
    """Draw the joint regions of two parameters by profile, 50 and 90 %, over the draws of the bootstrap."""
    from chemscale.scaling.inference.profile import allowed_objective

    axes = axes or plt.subplots(figsize=SIZE)[1]
    levels = (0.5, 0.9)
    found = law.contours(one, other, levels)
    grid = found.pivot(index=other, columns=one, values="objective")
    wider = float(np.sqrt(law.widening(one) * law.widening(other)))
    limits = [allowed_objective(law.fit, level, wider, held=2) for level in levels]
    axes.plot(law.draws[one], law.draws[other], ".", color="0.7", ms=3, zorder=0, label="draws")
    drawn = axes.contour(grid.columns, grid.index, grid.to_numpy(), levels=limits)
    axes.clabel(drawn, fmt=dict(zip(limits, [f"{level:.0%}" for level in levels], strict=True)), fontsize="small")
    axes.plot(law.parameters[one], law.parameters[other], "k+", ms=10)
    axes.set(
        xlabel=one,
        ylabel=other,
        xlim=(grid.columns.min(), grid.columns.max()),
        ylim=(grid.index.min(), grid.index.max()),
    )
    axes.legend(fontsize="small", loc="upper right")
    return axes
