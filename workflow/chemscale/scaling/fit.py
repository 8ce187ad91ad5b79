"""Fit a scaling law to a table of losses: robustly, from many starts, with a certificate.

The objective is the sum of Huber losses of log residuals (Hoffmann et al. 2022, appendix D.3). Published fits often
stopped short of its optimum; hence parameters of order one, exact derivatives, a δ that comes down from a smooth
problem, and a certificate that says how many starts agree.
"""

from dataclasses import dataclass, field

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.laws import Form, Scaling, log_gradient, log_loss, named_form
from chemscale.scaling.minimise import SMOOTH_DELTA, is_free, minimise, objective

STARTS = 64
DELTA_LOWEST = 1e-3  # chosen δ is never below a loss difference of 0.1 %, about the spread of seeds of good runs
DELTA_LAD = 1e-8  # below it Huber is the sum of absolute residuals, and only rounding would be fitted
SAME_BASIN = 1e-6  # relative difference of objectives of starts that found the same optimum
NEAR_BASIN = 1e-3
DISTINCT = 1e-2  # difference in θ of two optima that count as two
NO_FLOOR = 14.0  # a floor below e^-14 ≈ 1e-6 of the smallest loss is none
LARGEST_EXPONENT = 5.0


@dataclass(frozen=True)
class Fit:
    """A fitted law, with the points it was fitted to. `parameters` are the numbers of the formula."""

    form: Form
    parameters: dict[str, float]
    delta: float
    certificate: dict
    x: dict[str, np.ndarray]
    loss: np.ndarray
    scaling: Scaling = field(repr=False)
    theta: np.ndarray = field(repr=False)  # (parameters,)

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
        return np.exp(log_loss(self.scaling.design(as_variables(self.form, x)), theta)[0])

    def jacobian(self) -> np.ndarray:
        """Derivative of log L at the points fitted by θ, (points, parameters)."""
        design = self.scaling.design(self.x)
        return log_gradient(design, log_loss(design, self.theta[None])[1])[0]

    def to_dict(self) -> dict:
        """Plain content for JSON."""
        return {
            "form": self.form.name,
            "formula": self.form.formula,
            "points": len(self.loss),
            "parameters": self.parameters,
            "log_rmse": self.log_rmse,
            "certificate": self.certificate,
        }

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {value:.4g}" for name, value in self.parameters.items())
        c = self.certificate
        return (
            f"{self.form.name}: {self.form.formula}, {len(self.loss)} points\n"
            f"  {shown}\n"
            f"  log RMSE {self.log_rmse:.2g}, Huber δ {self.delta:.2g}, "
            f"{c['share_in_best_basin']:.0%} of {c['starts']} starts agree"
            + (f", at a bound: {', '.join(c['at_bounds'])}" if c["at_bounds"] else "")
        )


def as_variables(form: Form, x: dict[str, np.ndarray] | np.ndarray) -> dict[str, np.ndarray]:
    """`x` as one float array for each variable of the form; a bare array serves a form of one variable."""
    if not isinstance(x, dict):
        if len(form.variables) != 1:
            raise ChemscaleError(f"form {form.name} needs {' and '.join(form.variables)}; one array was given")
        x = {form.variables[0]: x}
    if missing := [name for name in form.variables if name not in x]:
        raise ChemscaleError(f"form {form.name} needs {' and '.join(form.variables)}; {', '.join(missing)} is missing")
    return {name: np.atleast_1d(np.asarray(x[name], dtype=float)) for name in form.variables}


def check_table(form: Form, x: dict[str, np.ndarray], loss: np.ndarray) -> None:
    """Raise ChemscaleError, naming column and rows (counted from 0), if a law cannot be fitted to this table."""
    for name, values in {**x, "loss": loss}.items():
        if values.shape != loss.shape:
            raise ChemscaleError(f"{name} has {len(values)} values, loss has {len(loss)}; there must be one a run")
        if len(bad := np.flatnonzero(~(np.isfinite(values) & (values > 0)))):
            shown = ", ".join(f"row {row}: {values[row]:g}" for row in bad[:5])
            raise ChemscaleError(f"{name} must be positive numbers, since laws are fitted in logs; {shown}")
    seen: dict[tuple, int] = {}
    for row, key in enumerate(zip(*x.values(), loss, strict=True)):
        if key in seen:
            raise ChemscaleError(f"row {row} repeats row {seen[key]} (same x, same loss to the last digit); remove it")
        seen[key] = row
    for name, values in x.items():
        if (distinct := len(np.unique(values))) < 3:
            raise ChemscaleError(f"{name} has {distinct} distinct values; a power law needs 3 at the least")
    distinct = len(np.unique(np.stack(list(x.values())), axis=1).T)
    if distinct < len(form.parameters):
        raise ChemscaleError(
            f"{distinct} distinct points cannot give the {len(form.parameters)} numbers of {form.name}"
        )


def bounds(scaling: Scaling, log_y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest θ, each (1, parameters): wide, and reported when met.

    A floor ends at e^-14 of the smallest loss, where it is reported as 0. Exponents are ≥ 0, except in a form of one
    term, whose exponent may say that the loss rises.
    """
    form, unit = scaling.form, scaling.unit
    low, high = [], []
    for term in form.terms:
        low.append(log_y.min() - (NO_FLOOR if term.exponent is None else 40))
        high.append(log_y.max() + (0 if term.exponent is None else 2))
    for term in form.terms:
        if term.exponent:
            low.append(-LARGEST_EXPONENT * unit[term.variable] if len(form.terms) == 1 else 0)
            high.append(LARGEST_EXPONENT * unit[term.variable])
    return np.array([low]), np.array([high])


def random_starts(scaling: Scaling, log_y: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Starts θ (count, parameters): exponents from 0.02 to 1.5, the loss at the centre shared among the terms."""
    form = scaling.form
    share = rng.dirichlet(np.ones(len(form.terms)), count)
    units = np.array([scaling.unit[term.variable] for term in form.terms if term.exponent])
    exponents = np.exp(rng.uniform(np.log(0.02), np.log(1.5), (count, len(units))))
    return np.concatenate([log_y.mean() + np.log(share + 1e-12), exponents * units], axis=1)


def fit_law(
    form: str | Form,
    x: dict[str, np.ndarray] | np.ndarray,
    loss: np.ndarray,
    delta: float | None = None,
    starts: int = STARTS,
) -> Fit:
    """Fit a law to losses; see laws.FORMS for the forms.

    `x` holds one array for each variable of the form (a bare array serves a form of one variable), `loss` is (points,).
    `delta` is Huber's δ in log loss. Left out, it is 1.35 × the robust standard deviation of the residuals of the least
    squares fit (95 % efficiency under normal noise), and 0.001 at the least. δ ≤ 1e-8 means least absolute deviations.
    Raises ChemscaleError for a table that carries no law.
    """
    form = named_form(form) if isinstance(form, str) else form
    x, loss = as_variables(form, x), np.atleast_1d(np.asarray(loss, dtype=float))
    check_table(form, x, loss)
    scaling = Scaling.of(form, x)
    design, log_y = scaling.design(x), np.log(loss)[None]
    low, high = bounds(scaling, log_y)
    theta = random_starts(scaling, log_y, starts, np.random.default_rng(0))

    if delta is None:
        smooth, value = minimise(design, log_y, theta, low, high, SMOOTH_DELTA)
        residual = log_loss(design, smooth[[value.argmin()]])[0] - log_y
        left = max(1, len(loss) - len(form.parameters))
        spread = 1.4826 * np.median(np.abs(residual)) * np.sqrt(len(loss) / left)
        delta = float(max(1.35 * spread, DELTA_LOWEST))
    elif not delta > 0:
        raise ChemscaleError(f"delta {delta:g}: Huber's δ must be above 0, in units of log loss")
    delta = max(delta, DELTA_LAD)

    # half of them through smooth problems, half straight: a floor that vanished on the way down would be stuck at 0
    ends = [minimise(design, log_y, theta[i::2], low, high, delta, smooth=i == 0) for i in (0, 1)]
    theta, value = (np.concatenate(parts) for parts in zip(*ends, strict=True))
    best = theta[value.argmin()]
    parameters = {name: float(number) for name, number in scaling.plain(best).items()}
    certificate = certify(design, log_y, theta, value, low, high, delta, form)
    if f"{form.floor} = 0" in certificate["at_bounds"]:
        parameters[form.floor] = 0.0
    return Fit(form, parameters, delta, certificate, x, loss, scaling, best)


def certify(design, log_y, theta, value, low, high, delta, form) -> dict:
    """How far the best of many starts can be trusted to be the optimum.

    The gradient is by θ (of order one), over the norm of the clipped residuals: 0 where they are orthogonal to the
    law's tangent. The condition is that of the Gauss-Newton matrix of the parameters that are not at a bound. Basins
    are distinct end points with an objective within 0.1 % of the best. The objective is the plain sum of Huber losses.
    """
    best = value.argmin()
    least = float(value[best])
    rounding = 1e-20 * log_y.size  # of an exact fit
    _, gradient, _ = objective(design, log_y, theta[[best]], delta)
    free = is_free(theta[[best]], gradient, low, high)[0]
    jacobian = log_gradient(design, log_loss(design, theta[[best]])[1])[0][:, free]
    near = theta[value <= least * (1 + NEAR_BASIN) + rounding]
    basins: list[np.ndarray] = []
    for end in near:
        if all(np.abs(end - other).max() > DISTINCT for other in basins):
            basins.append(end)
    clipped = np.clip(log_loss(design, theta[[best]])[0] - log_y, -delta, delta)
    scale = np.linalg.norm(clipped) * np.sqrt(log_y.size) + 1e-12
    singular = np.linalg.svd(jacobian, compute_uv=False)
    at_bounds = []
    for p, name in enumerate(form.parameters):
        if theta[best, p] <= low[0, p] + 1e-9:
            at_bounds.append(f"{name} = 0" if name == form.floor or low[0, p] == 0 else f"{name} at its lowest")
        elif theta[best, p] >= high[0, p] - 1e-9:
            at_bounds.append(f"{name} at its highest")
    return {
        "delta": delta,
        "objective": least,
        "scaled_gradient": float(np.abs(gradient[0][free]).max(initial=0) / scale),
        "starts": len(value),
        "share_in_best_basin": float(np.mean(value <= least * (1 + SAME_BASIN) + rounding)),
        "basins_within_0.1_percent": len(basins),
        "at_bounds": at_bounds,
        "condition": float((singular[0] / max(singular[-1], 1e-150)) ** 2) if free.any() else None,
    }
