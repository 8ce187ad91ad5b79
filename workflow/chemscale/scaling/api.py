"""The Python interface: fit a law to a DataFrame, print it, plot it, predict with it, save it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from chemscale.files import write_json
from chemscale.scaling.fitting.fit import Fit, fit_law
from chemscale.scaling.inference.bootstrap import Bootstrap, bootstrap
from chemscale.scaling.inference.identifiability import Identification, identify, wider_interval
from chemscale.scaling.summary import line, summarise
from chemscale.scaling.table import default_form, read_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ScalingLaw:
    """A fitted law with its intervals, and with the parameters that its table does not determine."""

    fit: Fit
    boot: Bootstrap
    by_group: Bootstrap | None  # draws of whole groups of rows, if the table names groups
    identification: Identification
    confidence: float
    columns: dict[str, str]  # names of columns, by "loss" and the variables of the law

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters of the formula."""
        return self.fit.parameters

    def interval(self, name: str) -> tuple[float, float]:
        """Return the interval of one parameter, or of `a`: the wider one of those by row and by group."""
        return wider_interval(name, self.boot, self.by_group, self.confidence)

    def predict(self, runs: int | None = None, **x: np.ndarray | float) -> pd.DataFrame:
        """Return the loss with its interval at `x`, one array per variable (N=…, D=…).

        The interval is that of the law, or with `runs` that of the mean of so many new runs.
        """
        points = {name: np.atleast_1d(np.asarray(values, float)) for name, values in x.items()}
        low, high = self.boot.band(points, self.confidence, runs)
        return pd.DataFrame({**points, "loss": self.fit.predict(points), "low": low, "high": high})

    def to_dict(self) -> dict:
        """Return the content of the JSON file of this fit."""
        return {"columns": self.columns} | summarise(
            self.fit, self.boot, self.by_group, self.identification, self.confidence
        )

    def save(self, path: str | Path) -> None:
        """Write `to_dict` as JSON."""
        write_json(path, self.to_dict())

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Plot a curve with its points and band, or the observed against the fitted losses of a surface."""
        import matplotlib.pyplot as plt

        axes = axes or plt.subplots(figsize=(6, 4.5))[1]
        if len(self.fit.x) == 1:
            ((name, values),) = self.fit.x.items()
            along = line(self.fit, self.boot, self.confidence)
            axes.plot(along["x"], along["loss"])
            axes.fill_between(along["x"], along["low"], along["high"], alpha=0.15)
            axes.plot(values, self.fit.loss, "o")
            axes.set(xscale="log", yscale="log", xlabel=self.columns[name], ylabel=self.columns["loss"])
        else:
            fitted = self.fit.predict(self.fit.x)
            axes.plot(fitted, self.fit.loss, "o")
            axes.axline((fitted.min(), fitted.min()), (fitted.max(), fitted.max()), color="0.6", lw=1)
            axes.set(xscale="log", yscale="log", xlabel="fitted loss", ylabel=self.columns["loss"])
        axes.set_title(self.fit.form.formula, fontsize="small")
        return axes

    def __str__(self) -> str:
        lines = [str(self.fit)]
        for name in self.parameters:
            low, high = self.interval(name)
            lines.append(f"  {name} = {self.parameters[name]:.4g}  [{low:.4g}, {high:.4g}]")
        return "\n".join([*lines, f"  {self.identification.statement}"])

    __repr__ = __str__


def fit(
    table: pd.DataFrame,
    loss: str = "loss",
    params: str | None = None,
    data: str | None = None,
    compute: str | None = None,
    distinct: str | None = None,
    group: str | None = None,
    weights: str | None = None,
    form: str | None = None,
    objective: str = "huber",
    delta: float | None = None,
    confidence: float = 0.9,
    draws: int = 500,
    seed: int = 0,
) -> ScalingLaw:
    """Fit a law to a table, given the names of its columns.

    One of `params`, `data` and `compute` gives a curve, `params` with `data` a surface, with `distinct` (distinct
    examples among those seen) one with repeats. `form` is one of laws.FORMS; the default is power_floor for a curve,
    and joint or repeated for a surface. With `group`, whole groups of rows (runs with several checkpoints, sizes,
    seeds) are drawn as well as rows, and the wider interval counts. `objective`, `delta` and the column `weights` are
    those of `fit_law`; `confidence` is the coverage of the intervals, from `draws` draws with the random `seed`.
    Raises ChemscaleError for wrong columns, values or names, and NotFittable for a table that cannot support the law.
    """
    form = form or default_form(params, data, compute, distinct)
    points = read_points(table, form, loss, params, data, compute, distinct, group, weights)
    fitted = fit_law(form, points.x, points.loss, delta, objective, points.weights)
    by_row = bootstrap(fitted, draws, seed)
    by_group = bootstrap(fitted, draws, seed, points.groups) if points.groups is not None else None
    identification = identify(fitted, by_row, by_group, confidence)
    return ScalingLaw(fitted, by_row, by_group, identification, confidence, points.columns)
