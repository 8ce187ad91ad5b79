"""Fit a scaling law to a table of losses: robustly, from many starts, with convergence diagnostics.

The usual objective is the sum of Huber losses of log residuals (Hoffmann et al. 2022, appendix D.3). Published fits
often stopped short of its optimum; hence parameters of order one, exact derivatives, a δ that falls from a smooth
problem to the one asked for, and diagnostics that say how many starts agree.
"""

from dataclasses import dataclass, field

import numpy as np

from chemscale.scaling.fitting.diagnostics import diagnose
from chemscale.scaling.fitting.newton import minimise
from chemscale.scaling.fitting.objectives import Objective, named_objective
from chemscale.scaling.fitting.starts import Bounds, bounds, project, projected_every, random_starts
from chemscale.scaling.fitting.validation import as_variables, check_residuals, check_table
from chemscale.scaling.forms.constraints import constraints_text
from chemscale.scaling.forms.laws import Form, Law, named_form
from chemscale.scaling.forms.terms import Points, Scaling, Variables

STARTS = 64
DELTA_FACTOR = 1.35  # δ over the standard deviation of the noise: 95 % efficiency under normal noise (Huber 1981)
DELTA_PASSES = 4  # δ follows from the fit, and the fit from δ
MIN_DELTA = 1e-3  # a loss difference of 0.1 %, about the spread between seeds of good runs


@dataclass(frozen=True)
class Fit:
    """A fitted law, with the points that it was fitted to. `parameters` are those of the formula."""

    form: Form
    parameters: dict[str, float]
    objective: Objective
    diagnostics: dict
    x: Variables
    loss: np.ndarray
    weights: np.ndarray  # (points,)
    scaling: Scaling = field(repr=False)
    theta: np.ndarray = field(repr=False)  # (parameters,)

    @property
    def delta(self) -> float:
        """Huber's δ in log loss; infinite for least squares."""
        return self.objective.delta

    @property
    def residuals(self) -> np.ndarray:
        """Logs of fitted over observed loss, (points,)."""
        return np.log(self.predict(self.x) / self.loss)

    @property
    def log_rmse(self) -> float:
        """Root mean square of the log residuals; 0.01 is about 1 % of the loss."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    @property
    def bounds(self) -> Bounds:
        """Lowest and highest θ, each (1, parameters)."""
        return bounds(self.form, self.scaling, self.x, np.log(self.loss))

    def predict(self, x: Points) -> np.ndarray:
        """Return the loss of the law at `x`, in the units of the losses fitted, (points,)."""
        return self.predict_many(x, self.theta[None])[0]

    def predict_many(self, x: Points, theta: np.ndarray) -> np.ndarray:
        """Return losses at `x` for many parameter vectors θ (draws, parameters): (draws, points)."""
        return np.exp(self.form.bind(self.scaling, as_variables(self.form, x)).log_loss(theta))

    def quantity(self, name: str, theta: np.ndarray) -> np.ndarray:
        """Return a parameter of the formula, or `a`, for θ (draws, parameters): (draws,)."""
        return self.form.quantity(name, self.scaling, theta)

    def aicc(self) -> float:
        """Return the corrected Akaike criterion, n log(S/n) + 2k + 2k(k+1)/(n−k−1), infinite where n ≤ k + 1.

        S is twice the objective (the sum of squares where no residual is clipped), k counts the parameters and the
        noise. Compare fits of the same points with the same δ only. Hurvich & Tsai 1989, Biometrika 76, 297.
        """
        n, k = len(self.loss), len(self.form.free) + 1
        return np.inf if n <= k + 1 else self._deviance() + 2 * k + 2 * k * (k + 1) / (n - k - 1)

    def aic(self) -> float:
        """Return the Akaike criterion, n log(S/n) + 2k (Akaike 1974, IEEE Trans. Autom. Control 19, 716)."""
        return self._deviance() + 2 * (len(self.form.free) + 1)

    def bic(self) -> float:
        """Return the Bayesian criterion, n log(S/n) + k log n, as in `aicc`. Schwarz 1978, Ann. Stat. 6, 461."""
        return self._deviance() + (len(self.form.free) + 1) * np.log(len(self.loss))

    def _deviance(self) -> float:
        n = len(self.loss)
        return n * np.log(max(2 * self.diagnostics["objective"], n * 1e-20) / n)

    def to_dict(self) -> dict:
        """Return plain content for JSON."""
        return {
            "form": self.form.name,
            "formula": self.form.formula,
            **{
                name: dict(given)
                for name, given in (("fixed", self.form.fixed), ("tied", self.form.tied), ("bounds", self.form.limits))
                if given
            },
            "points": len(self.loss),
            "parameters": self.parameters,
            "log_rmse": self.log_rmse,
            "largest_error_percent": float(100 * np.abs(np.expm1(self.residuals)).max()),
            "diagnostics": self.diagnostics,
        }

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {value:.4g}" for name, value in self.parameters.items())
        c = self.diagnostics
        kind = f"Huber δ {self.delta:.2g}" if self.objective.kind == "huber" else self.objective.kind
        points = f"{len(self.loss)} points"
        return (
            f"{self.form.name}: {self.form.formula}, {', '.join(filter(None, (constraints_text(self.form), points)))}\n"
            f"  {shown}\n"
            f"  log RMSE {self.log_rmse:.2g}, {kind}, {c['share_in_best_basin']:.0%} of {c['starts']} starts agree"
            + (f", at a bound: {', '.join(c['at_bounds'])}" if c["at_bounds"] else "")
        )


def fit_law(
    form: str | Form,
    x: Points,
    loss: np.ndarray,
    delta: float | None = None,
    objective: str = "huber",
    weights: np.ndarray | None = None,
    starts: int = STARTS,
) -> Fit:
    """Fit a law to losses; see laws.FORMS for the forms and objectives.OBJECTIVES for the objectives.

    `x` holds one array per variable of the form (a bare array serves a form of one variable), `loss` is (points,), and
    so are `weights`, which multiply the objective of each point.
    `delta` is Huber's δ in log loss. If it is left out, it is 1.35 × the robust standard deviation of the residuals,
    and at least 0.001.
    Raises ChemscaleError for values or names that are wrong, and NotFittable for a table that cannot support the law.
    """
    form = named_form(form)
    target = named_objective(objective, delta)
    x, loss = as_variables(form, x), np.atleast_1d(np.asarray(loss, dtype=float))
    weights = np.ones_like(loss) if weights is None else np.atleast_1d(np.asarray(weights, dtype=float))
    check_table(form, x, loss, weights)
    scaling = form.scaling(x)
    law, log_y = form.bind(scaling, x), np.log(loss)[None]
    low, high = bounds(form, scaling, x, log_y)
    theta = random_starts(form, scaling, x, log_y, starts, np.random.default_rng(0))
    every = projected_every(form)
    theta[::every] = project(form, law, log_y, theta[::every])
    if form.starts_from:
        theta[: starts // 2] = _starts_from(form, scaling, x, loss, weights, theta[: starts // 2])

    if target.kind == "huber" and delta is None:
        smooth, value = minimise(law, log_y, theta, low, high, Objective("least_squares_log"), weights[None])
        theta[::4] = smooth[::4]
        target = huber_from_residuals(law, log_y, smooth[[value.argmin()]], (low, high), weights)

    # half of the starts through smooth problems, half directly: a floor that vanishes on the way down is stuck at 0
    halves = [
        minimise(law, log_y, half, low, high, target, weights[None], smooth=smooth)
        for half, smooth in ((theta[: starts // 2], True), (theta[starts // 2 :], False))
    ]
    theta, value = (np.concatenate(parts) for parts in zip(*halves, strict=True))
    best = theta[value.argmin()]
    parameters = {name: float(number) for name, number in form.natural(scaling, best).items()}
    check_residuals((law.log_loss(best[None]) - log_y)[0])
    diagnostics = diagnose(form, law, x, log_y, weights[None], theta, value, (low, high), target)
    parameters |= {**form.fixed, **dict.fromkeys(diagnostics["vanished"], 0.0)}
    return Fit(form, parameters, target, diagnostics, x, loss, weights, scaling, best)


def _starts_from(
    form: Form, scaling: Scaling, x: Variables, loss: np.ndarray, weights: np.ndarray, theta: np.ndarray
) -> np.ndarray:
    """Return starts θ (starts, parameters) whose parameters are those of the simpler form, where it has them."""
    simpler = fit_law(str(form.starts_from), x, loss, objective="least_squares_log", weights=weights)
    for place, name in enumerate(form.parameters):
        if value := simpler.parameters.get(name):
            theta[:, place] = form.theta_of(name, scaling, np.array(value))
    low, high = bounds(form, scaling, x, np.log(loss)[None])
    return np.clip(theta, low, high)


def huber_from_residuals(
    law: Law, log_y: np.ndarray, theta: np.ndarray, limits: Bounds, weights: np.ndarray
) -> Objective:
    """Return Huber's objective with 1.35 × the robust standard deviation of the residuals of its own fit.

    Begins at the least squares fit `theta` (1, parameters), which outliers have pulled towards them.
    """
    left = max(1, log_y.size - theta.shape[1])
    root = np.sqrt(weights / weights.mean())[None]
    delta = np.inf
    for _ in range(DELTA_PASSES):
        residual = root * (law.log_loss(theta) - log_y)
        spread = 1.4826 * np.median(np.abs(residual)) * np.sqrt(log_y.size / left)
        delta = float(min(delta, max(DELTA_FACTOR * spread, MIN_DELTA)))
        theta, _ = minimise(law, log_y, theta, *limits, Objective("huber", delta), weights[None], smooth=False)
    return Objective("huber", delta)
