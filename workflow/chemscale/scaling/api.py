"""The Python face: fit a law to a DataFrame, look at it, plot it, predict with it, keep it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from chemscale.errors import ChemscaleError
from chemscale.files import write_json
from chemscale.scaling.columns import need_columns, numbers
from chemscale.scaling.fitting.fit import Fit, fit_law
from chemscale.scaling.forms.laws import named_form
from chemscale.scaling.inference.bootstrap import Bootstrap, bootstrap
from chemscale.scaling.inference.identifiability import Identification, identify
from chemscale.scaling.summary import line, summarise, wider_interval


@dataclass(frozen=True)
class ScalingLaw:
    """A fitted law with its intervals and with what its table can and cannot tell."""

    fit: Fit
    boot: Bootstrap
    by_group: Bootstrap | None  # whole groups of rows drawn, where the table names groups
    identification: Identification
    confidence: float
    columns: dict[str, str]  # loss and the law's variables to columns of the table

    @property
    def parameters(self) -> dict[str, float]:
        """The numbers of the formula."""
        return self.fit.parameters

    def interval(self, name: str) -> tuple[float, float]:
        """Interval of one parameter, or of a = β/(α+β): the wider of those by row and by group."""
        return wider_interval(name, self.boot, self.by_group, self.confidence)

    def predict(self, runs: int | None = None, **x) -> pd.DataFrame:
        """Loss with its interval at `x`, given by the law's variables (N=…, D=…); with `runs`, of their mean."""
        x = {name: np.atleast_1d(np.asarray(values, float)) for name, values in x.items()}
        low, high = self.boot.band(x, self.confidence, runs)
        return pd.DataFrame({**x, "loss": self.fit.predict(x), "low": low, "high": high})

    def to_dict(self) -> dict:
        """Everything that is said about the fit, as plain content for JSON."""
        return {"columns": self.columns} | summarise(
            self.fit, self.boot, self.by_group, self.identification, self.confidence
        )

    def save(self, path: str | Path) -> None:
        """Write `to_dict` as JSON."""
        write_json(path, self.to_dict())

    def plot(self, axes=None):
        """Points, law and band against the variable of a curve; observed against fitted loss for a surface."""
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
            axes.set(xscale="log", yscale="log", xlabel="loss of the law", ylabel=self.columns["loss"])
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
    """Fit a law to a table whose columns are named: losses, and what they fall with.

    One of `params`, `data` and `compute` gives a curve, `params` with `data` a surface, with `distinct` (distinct
    examples among those seen) one with repeats. `form` is one of laws.FORMS; left out, power_floor for a curve, joint
    or repeated for a surface. With `group`, whole groups of rows (runs with several checkpoints, sizes, seeds) are
    drawn as well as rows, and the wider interval counts. Raises ChemscaleError for missing columns and for tables that
    carry no law.
    """
    given = {"params": params, "data": data, "compute": compute}
    named = {what: column for what, column in given.items() if column}
    form = form or ("repeated" if distinct else "joint" if len(named) == 2 else "power_floor")
    variables = named_form(form).variables
    if variables == ("x",):
        if len(named) != 1:
            raise ChemscaleError(
                f"form {form} takes one of params, data and compute; {', '.join(named) or 'none'} given"
            )
        columns = dict.fromkeys("x", *named.values())
    else:
        columns = {"N": params, "D": data, "U": distinct}
        columns = {name: columns[name] for name in variables}
        if None in columns.values() or compute:
            needed = " and ".join(("params", "data", "distinct")[: len(variables)])
            raise ChemscaleError(f"form {form} takes {needed}, and no compute")
    need_columns(table, [loss, *columns.values(), *filter(None, (group, weights))], "this fit")
    if group and table[group].isna().any():
        raise ChemscaleError(f"column {group} has rows without a group; name one for each row")
    x = {name: numbers(table, column) for name, column in columns.items()}
    weight = numbers(table, weights) if weights else None
    found = fit_law(form, x, numbers(table, loss), delta, objective, weight)
    by_row = bootstrap(found, draws, seed)
    by_group = bootstrap(found, draws, seed, table[group].astype(str).to_numpy()) if group else None
    judged = identify(found, by_row, by_group, confidence)
    return ScalingLaw(found, by_row, by_group, judged, confidence, {"loss": loss} | columns)
