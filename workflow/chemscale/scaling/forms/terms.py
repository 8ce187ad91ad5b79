"""The terms that a scaling law is a sum of, each with exact first and second derivatives.

A term is exp(u), where u is a function of the logs of the variables and of the term's own few parameters. These are
scaled so that all are of order one (`Scaling`): a coefficient is the log of the term at the centre of the points, an
exponent is multiplied by the spread of the log of its variable. Every term has

* `parameters`, the names of its entries of θ, and `kinds`, what each of them is, in the same order
* `variables`, the names of the variables that it depends on
* `bind(scaling, x)`, which fixes the points `x` (one array (points,) per variable) and returns the function
  θ (batch, own) -> u (batch, points), ∂u (batch or 1, points, own), ∂²u (batch, points, own, own) or None for zero
* `natural(scaling, theta)`, which returns the parameters of the formula for θ (..., own), each (...)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

Variables = dict[str, np.ndarray]  # one array (points,) per variable
Points = Mapping[str, np.ndarray] | Mapping[str, float] | np.ndarray  # a bare array serves a form of one variable
VARIABLE_FIELDS = ("variable", "other_variable", "seen", "distinct")
Evaluation = tuple[np.ndarray, np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Scaling:
    """Centre and unit of the log of each variable, fixed by the points fitted."""

    centre: dict[str, float]
    unit: dict[str, float]

    def scaled(self, x: Variables, name: str) -> np.ndarray:
        """Return (log x − centre) / unit, (points,)."""
        return (np.log(x[name]) - self.centre[name]) / self.unit[name]


class Term:
    """Base of all terms; a field of a term names a parameter, or one of the variables of VARIABLE_FIELDS."""

    kinds: tuple[str, ...]
    tied_inside = False  # whether the term's own formula joins its parameters, so that none can be renamed

    @property
    def linear(self) -> tuple[str, ...]:
        """Names of the parameters that the term is proportional to."""
        return tuple(
            name for name, kind in zip(self.parameters, self.kinds, strict=True) if kind in ("floor", "coefficient")
        )

    def renamed(self, name: str, other: str) -> "Term":
        """Return the term with the parameter `name` called `other`, which ties it to that one of another term."""
        fields = {field: other for field, value in vars(self).items() if value == name}
        return replace(self, **fields)  # type: ignore[type-var]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the term's entries of θ."""
        return tuple(name for field, name in vars(self).items() if field not in VARIABLE_FIELDS)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the columns that the term depends on."""
        return tuple(name for field, name in vars(self).items() if field in VARIABLE_FIELDS)

    def variables_of(self, exponent: str) -> tuple[str, ...]:
        """Return the variables that an exponent of the term belongs to."""
        return self.variables[:1]

    def bind(self, scaling: Scaling, x: Variables) -> Callable[[np.ndarray], Evaluation]:
        """Fix the points `x`; see the head of this module."""
        raise NotImplementedError

    def natural(self, scaling: Scaling, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return the parameters of the formula; see the head of this module."""
        raise NotImplementedError


@dataclass(frozen=True)
class Floor(Term):
    """The irreducible loss E: u = c, with c = log E."""

    coefficient: str
    kinds = ("floor",)

    def bind(self, scaling: Scaling, x: Variables) -> Callable[[np.ndarray], Evaluation]:
        """Return u, the same at every point, with slope 1."""
        points = len(next(iter(x.values())))
        slope = np.ones((1, points, 1))
        return lambda theta: (np.broadcast_to(theta, (len(theta), points)), slope, None)

    def natural(self, scaling: Scaling, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return the floor in units of loss."""
        return {self.coefficient: np.exp(theta[..., 0])}


@dataclass(frozen=True)
class Power(Term):
    """A x^-α: u = c − αz, with z the scaled log x."""

    coefficient: str
    exponent: str
    variable: str
    kinds = ("coefficient", "exponent")

    def bind(self, scaling: Scaling, x: Variables) -> Callable[[np.ndarray], Evaluation]:
        """Return u = c − αz, which is linear in both parameters."""
        z = scaling.scaled(x, self.variable)
        slope = np.stack([np.ones_like(z), -z], axis=1)  # (points, 2)
        return lambda theta: (theta @ slope.T, slope[None], None)

    def natural(self, scaling: Scaling, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return A, in units of loss at x = 1, and α."""
        alpha = theta[..., 1] / scaling.unit[self.variable]
        return {
            self.coefficient: np.exp(theta[..., 0] + alpha * scaling.centre[self.variable]),
            self.exponent: alpha,
        }


@dataclass(frozen=True)
class PowerProduct(Term):
    """A N^-p D^-q: u = c − p z_N − q z_D, with z the scaled logs."""

    coefficient: str
    exponent: str
    other_exponent: str
    variable: str
    other_variable: str
    kinds = ("coefficient", "exponent", "exponent")

    def variables_of(self, exponent: str) -> tuple[str, ...]:
        """Return the variables that an exponent of the term belongs to."""
        return (self.variable if exponent == self.exponent else self.other_variable,)

    def bind(self, scaling: Scaling, x: Variables) -> Callable[[np.ndarray], Evaluation]:
        """Return u, which is linear in all three parameters."""
        z = [scaling.scaled(x, name) for name in self.variables]
        slope = np.stack([np.ones_like(z[0]), -z[0], -z[1]], axis=1)  # (points, 3)
        return lambda theta: (theta @ slope.T, slope[None], None)

    def natural(self, scaling: Scaling, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return A, in units of loss at N = D = 1, p and q."""
        exponents = [theta[..., 1 + i] / scaling.unit[name] for i, name in enumerate(self.variables)]
        centre = sum(p * scaling.centre[name] for p, name in zip(exponents, self.variables, strict=True))
        return {
            self.coefficient: np.exp(theta[..., 0] + centre),
            self.exponent: exponents[0],
            self.other_exponent: exponents[1],
        }


@dataclass(frozen=True)
class ShiftedPower(Term):
    """A (x + x₀)^-α: a power law that begins at x ≈ x₀. The third entry of θ is log x₀ less the centre of log x."""

    coefficient: str
    exponent: str
    shift: str
    variable: str
    kinds = ("coefficient", "exponent", "shift")

    def bind(self, scaling: Scaling, x: Variables) -> Callable[[np.ndarray], Evaluation]:
        """Return u = c − α log(x + x₀), with x₀ in units of the centre of x."""
        unit = scaling.unit[self.variable]
        w = np.log(x[self.variable]) - scaling.centre[self.variable]  # (points,)

        def evaluate(theta: np.ndarray) -> Evaluation:
            c, alpha, s = theta.T[..., None]  # each (batch, 1)
            t = np.logaddexp(w, s) / unit
            share = np.exp(s - t * unit)  # of x₀ in x + x₀
            slope = np.stack([np.ones_like(t), -t, -alpha * share / unit], axis=2)
            bend = np.zeros((*t.shape, 3, 3))
            bend[..., 1, 2] = bend[..., 2, 1] = -share / unit
            bend[..., 2, 2] = -alpha * share * (1 - share) / unit
            return c - alpha * t, slope, bend

        return evaluate

    def natural(self, scaling: Scaling, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return A, α, and x₀ in units of x."""
        centre = scaling.centre[self.variable]
        alpha = theta[..., 1] / scaling.unit[self.variable]
        return {
            self.coefficient: np.exp(theta[..., 0] + alpha * centre),
            self.exponent: alpha,
            self.shift: np.exp(theta[..., 2] + centre),
        }


@dataclass(frozen=True)
class BrokenPower(Term):
    """b x^-c₀ (1 + (x/d)^(1/f))^(-c₁f): the exponent changes from c₀ to c₀ + c₁ around x = d; a small f is sharp.

    θ is c, the scaled exponents c₀ and c₁, the scaled log d, and the log of f over the unit of log x.
    """

    coefficient: str
    exponent: str
    change: str
    place: str
    width: str
    variable: str
    kinds = ("coefficient", "exponent", "change", "break", "width")

    def bind(self, scaling: Scaling, x: Variables) -> Callable[[np.ndarray], Evaluation]:
        """Return u = c − c₀z − c₁f log(1 + exp((z − d)/f)), with z, d and f scaled."""
        z = scaling.scaled(x, self.variable)  # (points,)

        def evaluate(theta: np.ndarray) -> Evaluation:
            c, c0, c1, d, log_f = theta.T[..., None]  # each (batch, 1)
            f = np.exp(log_f)
            v = (z - d) / f
            soft = np.logaddexp(0, v)
            past = np.exp(v - soft)  # logistic function: 0 before the break, 1 after it
            sharp = past * (1 - past)
            by_log_f = f * (soft - v * past)  # derivative of f·soft by log f
            slope = np.stack([np.ones_like(v), -z + 0 * v, -f * soft, c1 * past, -c1 * by_log_f], axis=2)
            bend = np.zeros((*v.shape, 5, 5))
            bend[..., 2, 3] = bend[..., 3, 2] = past
            bend[..., 2, 4] = bend[..., 4, 2] = -by_log_f
            bend[..., 3, 3] = -c1 * sharp / f
            bend[..., 3, 4] = bend[..., 4, 3] = -c1 * sharp * v
            bend[..., 4, 4] = -c1 * (by_log_f + f * v**2 * sharp)
            return c - c0 * z - c1 * f * soft, slope, bend

        return evaluate

    def natural(self, scaling: Scaling, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return b, c₀, c₁, d in units of x, and f as the formula has them."""
        unit, centre = scaling.unit[self.variable], scaling.centre[self.variable]
        exponent = theta[..., 1] / unit
        return {
            self.coefficient: np.exp(theta[..., 0] + exponent * centre),
            self.exponent: exponent,
            self.change: theta[..., 2] / unit,
            self.place: np.exp(theta[..., 3] * unit + centre),
            self.width: np.exp(theta[..., 4]) * unit,
        }


@dataclass(frozen=True)
class KaplanTerm(Term):
    """((A/N)^(α/β) + B/D)^β: u = β·log(Σ exp(v/β)) with v₁ = a − αz_N and v₂ = b − βz_D.

    a and b are α log(A/N) and β log(B/D) at the centre of the points: the log loss if the other were unlimited.
    """

    kinds = ("coefficient", "coefficient", "exponent", "exponent")
    parameters = ("A", "B", "alpha", "beta")
    variables = ("N", "D")
    linear = ()
    tied_inside = True

    def variables_of(self, exponent: str) -> tuple[str, ...]:
        """Return the variables that an exponent of the term belongs to."""
        return {"alpha": ("N",), "beta": ("D",)}[exponent]

    def bind(self, scaling: Scaling, x: Variables) -> Callable[[np.ndarray], Evaluation]:
        """Return u = β log(exp(v₁/β) + exp(v₂/β)), with β at least 1e-9."""
        z = np.stack([scaling.scaled(x, name) for name in self.variables])  # (2, points)
        unit = scaling.unit["D"]
        along = np.zeros((2, z.shape[1], 4))  # ∂v by the parameters
        along[0, :, 0] = along[1, :, 1] = 1
        along[0, :, 2], along[1, :, 3] = -z

        def evaluate(theta: np.ndarray) -> Evaluation:
            v = np.einsum("knp,bp->kbn", along, theta)
            tau = np.maximum(theta[:, 3:], 1e-9) / unit  # β
            top = v.max(axis=0)
            log_sum = top / tau + np.log(np.exp((v - top) / tau).sum(axis=0))
            u = tau * log_sum
            share = np.exp((v - u) / tau)  # (2, batch, points)
            mean = (share * v).sum(axis=0)
            by_tau = log_sum - mean / tau
            slope = np.einsum("kbn,knp->bnp", share, along)
            # curvature of a log-sum-exp at temperature τ: in v, in v and τ, in τ
            centred = along[:, None] - slope  # (2, batch, points, 4)
            bend = np.einsum("kbn,kbnp,kbnq->bnpq", share, centred, centred) / tau[..., None, None]
            mixed = -np.einsum("kbn,knp->bnp", share * (v - mean), along) / tau[..., None] ** 2 / unit
            bend[..., 3, :] += mixed
            bend[..., :, 3] += mixed
            bend[..., 3, 3] += (share * (v - mean) ** 2).sum(axis=0) / tau**3 / unit**2
            slope[..., 3] += by_tau / unit
            return u, slope, bend

        return evaluate

    def natural(self, scaling: Scaling, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return A and B in units of N and D (at most e^700), α and β."""
        values = {}
        for place, (coefficient, exponent, variable) in enumerate((("A", "alpha", "N"), ("B", "beta", "D"))):
            values[exponent] = theta[..., 2 + place] / scaling.unit[variable]
            log_scale = theta[..., place] / np.maximum(values[exponent], 1e-9) + scaling.centre[variable]
            values[coefficient] = np.exp(np.minimum(log_scale, 700))
        return values


@dataclass(frozen=True)
class RepeatedData(Term):
    """B D'^-β with D' = U (1 + R*(1 − exp(−R/R*))): of D examples seen U are distinct, seen R = D/U − 1 times again.

    Each repetition adds less than the one before; after R* repetitions most of the gain is used up. The third entry
    of θ is log R*.
    """

    coefficient: str
    exponent: str
    repeats: str
    seen: str
    distinct: str
    kinds = ("coefficient", "exponent", "repeats")

    def bind(self, scaling: Scaling, x: Variables) -> Callable[[np.ndarray], Evaluation]:
        """Return u = c − β log D', where U is at most D."""
        unit = scaling.unit[self.seen]
        distinct = np.minimum(x[self.distinct], x[self.seen])
        repeats = x[self.seen] / distinct - 1  # (points,)
        z = (np.log(distinct) - scaling.centre[self.seen]) / unit

        def evaluate(theta: np.ndarray) -> Evaluation:
            c, beta, log_repeats = theta.T[..., None]  # each (batch, 1)
            scale = np.exp(log_repeats)  # R*
            q = repeats / scale
            left = np.exp(-q)
            gain = 1 + scale * (1 - left)  # D'/U
            first = scale * (1 - left * (1 + q)) / gain  # of log gain by log R*
            second = (scale * (1 - left * (1 + q + q**2))) / gain - first**2
            t = z + np.log(gain) / unit
            slope = np.stack([np.ones_like(t), -t, -beta * first / unit], axis=2)
            bend = np.zeros((*t.shape, 3, 3))
            bend[..., 1, 2] = bend[..., 2, 1] = -first / unit
            bend[..., 2, 2] = -beta * second / unit
            return c - beta * t, slope, bend

        return evaluate

    def natural(self, scaling: Scaling, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return B, β, and R* in passes over the data."""
        beta = theta[..., 1] / scaling.unit[self.seen]
        return {
            self.coefficient: np.exp(theta[..., 0] + beta * scaling.centre[self.seen]),
            self.exponent: beta,
            self.repeats: np.exp(theta[..., 2]),
        }
