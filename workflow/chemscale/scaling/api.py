"""The Python interface: fit a law to a DataFrame, print it, plot it, predict with it, save it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from chemscale.files import write_json
from chemscale.scaling.defaults import DEFAULT_CONFIDENCE, DEFAULT_DRAWS, require_level
from chemscale.scaling.fitting.fit import Fit, fit_law
from chemscale.scaling.inference.bootstrap import Bootstrap, wider_bootstrap
from chemscale.scaling.inference.identifiability import Identification, identify
from chemscale.scaling.summary import line, summarise
from chemscale.scaling.table import default_form, read_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ScalingLaw:
    """A fitted law with its intervals, and with the parameters that its table does not determine."""

    fit: Fit
    boot: Bootstrap  # the draws that every interval comes from
    narrower: Bootstrap | None  # those of the second way to draw, if there is one (see `wider_bootstrap`)
    identification: Identification
    confidence: float
    columns: dict[str, str]  # names of columns, by "loss" and the variables of the law

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters of the formula."""
        return self.fit.parameters

    def interval(self, name: str) -> tuple[float, float]:
        """Return the interval of one parameter, or of `a`."""
        return self.boot.interval(name, self.confidence)

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
            self.fit, self.boot, self.narrower, self.identification, self.confidence
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
    confidence: float = DEFAULT_CONFIDENCE,
    draws: int = DEFAULT_DRAWS,
    seed: int = 0,
    where: str | None = None,
    drop_missing: bool = False,
) -> ScalingLaw:
    """Fit a law to a table, given the names of its columns.

    One of `params`, `data` and `compute` gives a curve, two of them a surface (C = 6 N D gives the third), `params` and
    `data` with `distinct` (distinct examples among those seen) one with repeats. `form` is one of laws.FORMS; the
    default is power_floor for a curve, and joint or repeated for a surface. `where` and `drop_missing` choose rows as
    in `read_points`.
    Tables are drawn by row, and in a second way where `group` names rows that belong together (runs with several
    checkpoints, sizes, seeds) or where there are rows enough; the wider draws count. `objective`, `delta` and the
    column `weights` are those of `fit_law`; `confidence` is the coverage of the intervals, from `draws` draws with the
    random `seed`.
    Raises ChemscaleError for wrong columns, values or names, and NotFittable for a table that cannot support the law.
    """
    form = form or default_form(params, data, compute, distinct)
    require_level(confidence, draws)
    points = read_points(table, form, loss, params, data, compute, distinct, group, weights, where, drop_missing)
    fitted = fit_law(form, points.x, points.loss, delta, objective, points.weights)
    boot, narrower = wider_bootstrap(fitted, draws, seed, points.groups)
    identification = identify(fitted, boot, narrower, confidence)
    return ScalingLaw(fitted, boot, narrower, identification, confidence, points.columns)
