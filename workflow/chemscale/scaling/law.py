"""A fitted law with its intervals: read its parameters, print it, plot it, predict with it, keep it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from chemscale.files import write_json
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.inference.bootstrap import Bootstrap, width_ratios
from chemscale.scaling.inference.identifiability import Identification
from chemscale.scaling.inference.profile import allowed_objective, profile
from chemscale.scaling.summary import summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PROFILE_POINTS = 61
CONTOUR_POINTS = 25  # along each of two parameters


@dataclass(frozen=True)
class ScalingLaw:
    """A fitted law with its intervals, and with the parameters that its table does not determine.

    Names that statsmodels and lmfit use mean the same here: `params`, `bse`, `conf_int`, `cov_params`, `resid`,
    `fittedvalues`, `nobs`, `df_resid`, `aic`, `bic`, `summary`. All uncertainties come from the draws `boot`, not from
    a linear approximation.
    """

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

    @property
    def params(self) -> pd.Series:
        """The parameters of the formula, by name."""
        return pd.Series(self.parameters, name="value")

    @property
    def draws(self) -> pd.DataFrame:
        """The parameters of every draw of the bootstrap, one row each."""
        return pd.DataFrame({name: self.boot.draws_of(name) for name in self.parameters})

    @property
    def bse(self) -> pd.Series:
        """The standard errors of the parameters: the standard deviations of their draws."""
        return self.draws.std().rename("std err")

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of the parameters over the draws."""
        return self.draws.cov()

    def interval(self, name: str, confidence: float | None = None) -> tuple[float, float]:
        """Return the interval of one parameter, or of `a`."""
        return self.boot.interval(name, confidence or self.confidence)

    def conf_int(self, confidence: float | None = None) -> pd.DataFrame:
        """Return the intervals of all parameters, and of `a` where the form has it, as columns low and high."""
        rows = {name: self.interval(name, confidence) for name in self.fit.form.quantities}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["low", "high"])

    @property
    def fittedvalues(self) -> np.ndarray:
        """The loss of the law at every row, (rows,)."""
        return self.fit.predict(self.fit.x)

    @property
    def resid(self) -> np.ndarray:
        """Logs of observed over fitted loss, (rows,); 0.01 is about 1 % of the loss."""
        return -self.fit.residuals

    @property
    def nobs(self) -> int:
        """The number of rows."""
        return len(self.fit.loss)

    @property
    def df_resid(self) -> int:
        """The number of rows less that of the parameters that were fitted."""
        return self.nobs - len(self.fit.form.free)

    @property
    def aic(self) -> float:
        """Akaike's criterion at this objective and δ (see `Fit.aicc`, which corrects it for few rows)."""
        return self.fit.aic()

    @property
    def aicc(self) -> float:
        """Akaike's criterion, corrected for few rows; compare fits of the same rows with the same δ only."""
        return self.fit.aicc()

    @property
    def bic(self) -> float:
        """The Bayesian criterion; compare fits of the same rows with the same δ only."""
        return self.fit.bic()

    def predict(self, runs: int | None = None, **x: np.ndarray | float) -> pd.DataFrame:
        """Return the loss with its interval at `x`, one array or number per variable (N=…, D=…).

        The interval is that of the law, or with `runs` that of the mean of so many new runs.
        """
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(values, dtype=float)) for values in x.values()))
        points = dict(zip(x, arrays, strict=True))
        low, high = self.boot.band(points, self.confidence, runs)
        return pd.DataFrame({**points, "loss": self.fit.predict(points), "low": low, "high": high})

    def profile(self, name: str, values: np.ndarray | None = None) -> pd.DataFrame:
        """Return the objective with one parameter held at `values`, all others fitted again: value, objective, allowed.

        `allowed` says whether a value lies inside the profile interval of this law's confidence. The default values
        reach twice as far as the draws. Raises ChemscaleError for a parameter without a profile, such as a coefficient.
        """
        values = self._around(name, PROFILE_POINTS) if values is None else np.asarray(values, dtype=float)
        objective = profile(self.fit, {name: values})
        allowed = objective <= allowed_objective(self.fit, self.confidence, self.widening(name))
        return pd.DataFrame({name: values, "objective": objective, "allowed": allowed})

    def contours(self, one: str, other: str, confidences: tuple[float, ...] = (0.5, 0.9)) -> pd.DataFrame:
        """Return the objective on a grid of two parameters, all others fitted again, and the regions that it allows.

        Columns: the two parameters, `objective`, and for each of `confidences` whether the pair lies inside the joint
        region of that confidence (`inside 90%`). Raises ChemscaleError for a parameter without a profile.
        """
        grid = np.meshgrid(*(self._around(name, CONTOUR_POINTS) for name in (one, other)), indexing="ij")
        first, second = (values.ravel() for values in grid)
        found = pd.DataFrame({one: first, other: second, "objective": profile(self.fit, {one: first, other: second})})
        wider = float(np.sqrt(self.widening(one) * self.widening(other)))
        for level in confidences:
            found[f"inside {level:.0%}"] = found["objective"] <= allowed_objective(self.fit, level, wider, held=2)
        return found

    def _around(self, name: str, points: int) -> np.ndarray:
        """Return values of a parameter that reach twice as far from its value as 98 % of the draws."""
        low, high = self.boot.interval(name, 0.98)
        best = self.parameters[name]
        reach = max(high - best, best - low, 1e-3 * abs(best)) * 2
        positive = self.fit.form.kinds[name] not in ("exponent", "change")
        return np.linspace(max(best - reach, 0.0) if positive else best - reach, best + reach, points)

    def widening(self, name: str) -> float:
        """Return how much wider the quoted draws are than those by row, which profiles assume."""
        if self.narrower is None or self.boot.method == "residual":
            return 1.0
        return max(1.0, width_ratios(self.boot, self.narrower, self.confidence).get(name) or 1.0)

    def to_dict(self) -> dict:
        """Return parameters, intervals, diagnostics and statement as content for JSON."""
        return {"columns": self.columns} | summarise(
            self.fit, self.boot, self.narrower, self.identification, self.confidence
        )

    def save(self, path: str | Path, answers: Mapping[str, object] | None = None) -> None:
        """Write `to_dict`, with `answers` beside it, as JSON that `load` reads: rows and draws are kept."""
        from chemscale.scaling.saved import saved_content

        write_json(path, self.to_dict() | dict(answers or {}) | saved_content(self))

    @staticmethod
    def load(path: str | Path) -> "ScalingLaw":
        """Return the law that `save` or `chemscale fit` wrote; raise ChemscaleError if the file holds none."""
        from chemscale.scaling.saved import load_law

        return load_law(Path(path))

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Plot a curve with its points and band, or the observed against the fitted losses of a surface."""
        from chemscale.scaling.plots import plot_law

        return plot_law(self, axes)

    def plot_residuals(self) -> "Figure":
        """Plot the law, and its residuals against each of its variables, in one figure."""
        from chemscale.scaling.plots import plot_residuals

        return plot_residuals(self)

    def plot_profile(self, name: str, axes: "Axes | None" = None) -> "Axes":
        """Plot the profile of one parameter with the values that it allows (see `profile`)."""
        from chemscale.scaling.plots import plot_profile

        return plot_profile(self, name, axes)

    def plot_contours(self, one: str, other: str, axes: "Axes | None" = None) -> "Axes":
        """Plot the joint regions of two parameters, 50 and 90 %, with the draws (see `contours`)."""
        from chemscale.scaling.plots import plot_contours

        return plot_contours(self, one, other, axes)

    def summary(self, style: Literal["text", "markdown", "latex"] = "text") -> str:
        """Return formula, parameters with standard errors and intervals, and how they were found, as text."""
        from chemscale.scaling.written import written

        return written(self, style)

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__
