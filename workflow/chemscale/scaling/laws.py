"""The forms of a scaling law, as data: a loss that is a sum of power-law terms.

    L(x) = Σ_k c_k · Π x^(−α_k),   with α = 0 for the floor (the irreducible loss)

In logs, log L = logsumexp over k of (log c_k − α_k log x), and the argument is linear in (log c, α). So one function
serves every form, with exact first and second derivatives, and a form is no more than the names of its terms.
"""

from dataclasses import dataclass

import numpy as np

from chemscale.errors import ChemscaleError


@dataclass(frozen=True)
class Term:
    """One power-law term: the names of its coefficient, of its exponent and of the variable it falls with.

    A term without an exponent is the floor.
    """

    coefficient: str
    exponent: str | None = None
    variable: str | None = None


@dataclass(frozen=True)
class Form:
    """A law: its name, its formula as people write it, where it comes from, and its terms."""

    name: str
    formula: str
    source: str
    terms: tuple[Term, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(term.variable for term in self.terms if term.variable))

    @property
    def coefficients(self) -> tuple[str, ...]:
        return tuple(term.coefficient for term in self.terms)

    @property
    def exponents(self) -> tuple[str, ...]:
        return tuple(term.exponent for term in self.terms if term.exponent)

    @property
    def floor(self) -> str | None:
        """Name of the irreducible loss, None for a form without one."""
        return next((term.coefficient for term in self.terms if term.exponent is None), None)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names in the order of a parameter vector: coefficients, then exponents."""
        return self.coefficients + self.exponents


FORMS = {
    form.name: form
    for form in (
        Form(
            name="power",
            formula="L = A x^-α",
            source="Hestness et al. 2017, arXiv:1712.00409",
            terms=(Term("coefficient", "exponent", "x"),),
        ),
        Form(
            name="power_floor",
            formula="L = E + A x^-α",
            source="Henighan et al. 2020, arXiv:2010.14701, eq. 1.1",
            terms=(Term("coefficient", "exponent", "x"), Term("floor")),
        ),
        Form(
            name="joint",
            formula="L = E + A N^-α + B D^-β",
            source="Hoffmann et al. 2022, arXiv:2203.15556, eq. 2",
            terms=(Term("A", "alpha", "N"), Term("B", "beta", "D"), Term("E")),
        ),
    )
}


def named_form(name: str) -> Form:
    """The form called `name`; raise ChemscaleError, listing what there is, if there is none."""
    if name not in FORMS:
        raise ChemscaleError(f"form {name!r}: there is no such scaling law; choose one of {', '.join(FORMS)}")
    return FORMS[name]


@dataclass(frozen=True)
class Scaling:
    """Centre and unit of each log x, fixed by the points fitted, so that every parameter is of order one.

    A parameter vector θ holds log c_k at the centre of the points, then α · unit.
    """

    form: Form
    centre: dict[str, float]
    unit: dict[str, float]

    @classmethod
    def of(cls, form: Form, x: dict[str, np.ndarray]) -> "Scaling":
        log_x = {name: np.log(x[name]) for name in form.variables}
        return cls(
            form,
            {name: float(values.mean()) for name, values in log_x.items()},
            {name: float(values.std()) for name, values in log_x.items()},
        )

    def design(self, x: dict[str, np.ndarray]) -> np.ndarray:
        """Constant matrix G with log term_k(x_i) = Σ_p G[i, k, p] θ_p, (points, terms, parameters)."""
        names = self.form.parameters
        points = len(next(iter(x.values()))) if x else 1
        design = np.zeros((points, len(self.form.terms), len(names)))
        for k, term in enumerate(self.form.terms):
            design[:, k, k] = 1
            if term.exponent:
                centred = (np.log(x[term.variable]) - self.centre[term.variable]) / self.unit[term.variable]
                design[:, k, names.index(term.exponent)] = -centred
        return design

    def plain(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """θ (..., parameters) as the numbers of the formula: coefficients in units of loss, exponents."""
        values = {}
        for k, term in enumerate(self.form.terms):
            log_coefficient = theta[..., k]
            if term.exponent:
                alpha = theta[..., self.form.parameters.index(term.exponent)] / self.unit[term.variable]
                values[term.exponent] = alpha
                log_coefficient = log_coefficient + alpha * self.centre[term.variable]
            values[term.coefficient] = np.exp(log_coefficient)
        return {name: values[name] for name in self.form.parameters}


def log_loss(design: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log L of the points, and the share of each term in L.

    `design` (points, terms, parameters), `theta` (batch, parameters) -> (batch, points), (batch, points, terms).
    The gradient of log L is Σ_k share_k G_k, its Hessian Σ_k share_k G_k G_kᵀ minus the gradient's outer product.
    """
    n, k, p = design.shape
    logs = (theta @ design.reshape(n * k, p).T).reshape(-1, n, k)
    top = logs.max(axis=2, keepdims=True)
    shares = np.exp(logs - top)
    total = shares.sum(axis=2, keepdims=True)
    return (top + np.log(total))[..., 0], shares / total


def log_gradient(design: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Gradient of log L by θ: (batch, points, parameters), from the shares that `log_loss` returns."""
    return np.matmul(shares.transpose(1, 0, 2), design).transpose(1, 0, 2)
