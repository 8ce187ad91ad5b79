"""Fit a scaling law to a table of losses: robustly, from many starts, with a certificate.

The usual objective is the sum of Huber losses of log residuals (Hoffmann et al. 2022, appendix D.3). Published fits
often stopped short of its optimum; hence parameters of order one, exact derivatives, a δ that comes down from a smooth
problem, and a certificate that says how many starts agree.
"""

from dataclasses import dataclass, field

import numpy as np

from chemscale.scaling.fitting.diagnostics import certify
from chemscale.scaling.fitting.newton import minimise
from chemscale.scaling.fitting.objectives import Objective, named_objective
from chemscale.scaling.fitting.starts import bounds, project, random_starts
from chemscale.scaling.fitting.validation import as_variables, check_residuals, check_table
from chemscale.scaling.forms.laws import Form, named_form
from chemscale.scaling.forms.terms import Scaling

STARTS = 64
DELTA_PASSES = 4  # δ and the fit follow from each other
DELTA_LOWEST = 1e-3  # chosen δ is never below a loss difference of 0.1 %, about the spread of seeds of good runs


@dataclass(frozen=True)
class Fit:
    """A fitted law, with the points it was fitted to. `parameters` are the numbers of the formula."""

    form: Form
    parameters: dict[str, float]
    objective: Objective
    certificate: dict
    x: dict[str, np.ndarray]
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
        """log of law over observed loss, (points,)."""
        return np.log(self.predict(self.x) / self.loss)

    @property
    def log_rmse(self) -> float:
        """Root mean square of the log residuals: 0.01 is about 1 % of the loss."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    def predict(self, x: dict[str, np.ndarray] | np.ndarray) -> np.ndarray:
        """Loss of the law at `x`, in the units of the losses fitted, (points,)."""
        return self.predict_many(x, self.theta[None])[0]

    def predict_many(self, x: dict[str, np.ndarray] | np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Losses at `x` for many parameter vectors θ (draws, parameters): (draws, points)."""
        return np.exp(self.form.bind(self.scaling, as_variables(self.form, x)).log_loss(theta))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest θ, each (1, parameters)."""
        return bounds(self.form, self.scaling, self.x, np.log(self.loss))

    def to_dict(self) -> dict:
        """Plain content for JSON."""
        return {
            "form": self.form.name,
            "formula": self.form.formula,
            "points": len(self.loss),
            "parameters": self.parameters,
            "log_rmse": self.log_rmse,
            "largest_error_percent": float(100 * np.abs(np.expm1(self.residuals)).max()),
            "certificate": self.certificate,
        }

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {value:.4g}" for name, value in self.parameters.items())
        c = self.certificate
        kind = f"Huber δ {self.delta:.2g}" if self.objective.kind == "huber" else self.objective.kind
        return (
            f"{self.form.name}: {self.form.formula}, {len(self.loss)} points\n"
            f"  {shown}\n"
            f"  log RMSE {self.log_rmse:.2g}, {kind}, {c['share_in_best_basin']:.0%} of {c['starts']} starts agree"
            + (f", at a bound: {', '.join(c['at_bounds'])}" if c["at_bounds"] else "")
        )


def fit_law(
    form: str | Form,
    x: dict[str, np.ndarray] | np.ndarray,
    loss: np.ndarray,
    delta: float | None = None,
    objective: str = "huber",
    weights: np.ndarray | None = None,
    starts: int = STARTS,
) -> Fit:
    """Fit a law to losses; see laws.FORMS for the forms and objectives.OBJECTIVES for the objectives.

    `x` holds one array for each variable of the form (a bare array serves a form of one variable), `loss` is (points,),
    and so are `weights`, which multiply the objective of each point.
    `delta` is Huber's δ in log loss. Left out, it is 1.35 × the robust standard deviation of the residuals (95 %
    efficiency under normal noise), and 0.001 at the least.
    Raises ChemscaleError for a table that carries no law.
    """
    form = named_form(form) if isinstance(form, str) else form
    target = named_objective(objective, delta)
    x, loss = as_variables(form, x), np.atleast_1d(np.asarray(loss, dtype=float))
    weights = np.ones_like(loss) if weights is None else np.atleast_1d(np.asarray(weights, dtype=float))
    check_table(form, x, loss, weights)
    scaling = form.scaling(x)
    law, log_y = form.bind(scaling, x), np.log(loss)[None]
    low, high = bounds(form, scaling, x, log_y)
    theta = random_starts(form, scaling, x, log_y, starts, np.random.default_rng(0))
    theta[::2] = project(form, law, log_y, theta[::2])

    if target.kind == "huber" and delta is None:
        smooth, value = minimise(law, log_y, theta, low, high, Objective("least_squares_log"), weights[None])
        theta[::4] = smooth[::4]
        target = _with_delta(law, log_y, smooth[[value.argmin()]], low, high, weights)

    # half of them through smooth problems, half straight: a floor that vanished on the way down would be stuck at 0
    halves = [
        minimise(law, log_y, half, low, high, target, weights[None], smooth=smooth)
        for half, smooth in ((theta[: starts // 2], True), (theta[starts // 2 :], False))
    ]
    theta, value = (np.concatenate(parts) for parts in zip(*halves, strict=True))
    best = theta[value.argmin()]
    parameters = {name: float(number) for name, number in form.plain(scaling, best).items()}
    check_residuals((law.log_loss(best[None]) - log_y)[0])
    certificate = certify(form, law, x, log_y, weights[None], theta, value, (low, high), target)
    for name in certificate["vanished"]:
        parameters[name] = 0.0
    return Fit(form, parameters, target, certificate, x, loss, weights, scaling, best)


def _with_delta(law, log_y, theta, low, high, weights) -> Objective:
    """Huber's objective with 1.35 × the robust standard deviation of the residuals around the fit by itself.

    Begins at the least squares fit `theta` (1, parameters), which outliers have drawn towards them.
    """
    left = max(1, log_y.size - theta.shape[1])
    delta = np.inf
    for _ in range(DELTA_PASSES):
        residual = law.log_loss(theta) - log_y
        spread = 1.4826 * np.median(np.abs(residual)) * np.sqrt(log_y.size / left)
        delta = float(min(delta, max(1.35 * spread, DELTA_LOWEST)))
        theta, _ = minimise(law, log_y, theta, low, high, Objective("huber", delta), weights[None], smooth=False)
    return Objective("huber", delta)
