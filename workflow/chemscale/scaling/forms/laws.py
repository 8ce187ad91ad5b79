"""The forms of a scaling law: each is a sum of terms (terms.py) that fall with model size or data.

In logs, log L = logsumexp over the terms' logs u_k(θ). With s_k the share of term k in L, the gradient of log L is
Σ s_k ∂u_k and its Hessian is Σ s_k (∂u_k ∂u_kᵀ + ∂²u_k) less the outer product of the gradient. One function therefore
serves every form.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.forms.formula import Formula, is_formula
from chemscale.scaling.forms.terms import (
    BrokenPower,
    Evaluation,
    Floor,
    KaplanTerm,
    Power,
    PowerProduct,
    RepeatedData,
    Scaling,
    ShiftedPower,
    Term,
    Variables,
)


@dataclass(frozen=True)
class Form:
    """A scaling law: its name, its formula as papers write it, its source, its terms, and what its user demands.

    Values in `fixed` are held, those in `limits` lie between a lowest and a highest value (None for the usual one); a
    parameter in `tied` equals the other. See constraints.py.
    """

    name: str
    formula: str
    source: str
    terms: tuple[Term, ...]
    fixed: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)
    starts_from: str | None = None  # a form whose fit is a good start for the parameters that they share

    @property
    def label(self) -> str:
        """The name, or the formula that its user wrote, which tells forms apart in messages and comparisons."""
        return self.formula.removeprefix("L = ") if self.name == FORMULA else self.name

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables: ("x",) for a curve, ("N", "D") or ("N", "D", "U") for a surface."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.variables))

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each parameter (coefficient, exponent, floor, …), in the order of a parameter vector θ."""
        return {name: kind for term in self.terms for name, kind in zip(term.parameters, term.kinds, strict=True)}

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters in the order of θ; an exponent that two terms share occurs once."""
        return tuple(self.kinds)

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters that are not held at a value."""
        return tuple(name for name in self.parameters if name not in self.fixed)

    def of_kind(self, *kinds: str) -> tuple[str, ...]:
        """Return the names of the parameters of these kinds."""
        return tuple(name for name, kind in self.kinds.items() if kind in kinds)

    @property
    def exponents(self) -> tuple[str, ...]:
        """Names of the exponents."""
        return self.of_kind("exponent")

    @property
    def floor(self) -> str | None:
        """Name of the irreducible loss; None for a form without one."""
        return next(iter(self.of_kind("floor")), None)

    def variables_of(self, exponent: str) -> tuple[str, ...]:
        """Return the variables that an exponent belongs to."""
        owners = [term for term in self.terms if exponent in term.parameters]
        return tuple(name for term in owners for name in term.variables_of(exponent))

    def scaling(self, x: Variables) -> Scaling:
        """Return centre and unit of every variable; variables that share an exponent share their unit."""
        logs = {name: np.log(x[name]) for name in self.variables}
        unit = {name: float(values.std()) or 1.0 for name, values in logs.items()}
        for exponent in self.exponents:
            shared = [unit[name] for name in self.variables_of(exponent)]
            unit |= dict.fromkeys(self.variables_of(exponent), float(np.mean(shared)))
        centre = {name: float(values.mean()) for name, values in logs.items()}
        for term in self.terms:
            for name in term.parameters:
                if self.kinds[name] == "coefficient" and self._is_at_one(name):
                    # θ is then the log of the coefficient itself, which can be held, limited and shared
                    at = np.log(self.fixed[name]) if isinstance(term, KaplanTerm) else 0.0
                    owners = {"A": ("N",), "B": ("D",)}[name] if isinstance(term, KaplanTerm) else term.variables
                    centre |= dict.fromkeys(owners, float(at))
        return Scaling(centre, unit)

    def _is_at_one(self, name: str) -> bool:
        """Return whether a coefficient must be fitted at x = 1 rather than at the centre of the points."""
        return name in self.fixed or name in self.limits or sum(name in term.parameters for term in self.terms) > 1

    def theta_of(self, name: str, scaling: Scaling, values: np.ndarray) -> np.ndarray:
        """Return values of one parameter of the formula as entries of θ.

        A coefficient must be held, limited or tied: else its entry also depends on the exponent.
        """
        kind, logs = self.kinds[name], np.log(np.maximum(values, 1e-300))
        if kind in ("exponent", "change"):
            owner = self.variables_of(name)[0] if kind == "exponent" else self.variables[0]
            return values * scaling.unit[owner]
        centre, unit = scaling.centre[self.variables[0]], scaling.unit[self.variables[0]]
        if kind == "coefficient":
            return np.zeros_like(logs) if self.terms[0].tied_inside else logs  # the centre of Kaplan's form is there
        return {
            "floor": logs,
            "positive": logs,
            "repeats": logs,
            "shift": logs - centre,
            "break": (logs - centre) / unit,
            "width": logs - np.log(unit),
        }[kind]

    def natural(self, scaling: Scaling, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return θ (..., parameters) as the parameters of the formula, each (...)."""
        values: dict[str, np.ndarray] = {}
        for term in self.terms:
            values |= term.natural(scaling, theta[..., self.places(term)])
        return {name: values[name] for name in self.parameters}

    @property
    def quantities(self) -> tuple[str, ...]:
        """The parameters, and `a` where the form has it (see `quantity`)."""
        separate = {"alpha", "beta"} <= set(self.parameters) and self.variables_of("alpha") != self.variables_of("beta")
        return (*self.parameters, *(("a",) if separate and {"N", "D"} <= set(self.variables) else ()))

    def quantity(self, name: str, scaling: Scaling, theta: np.ndarray) -> np.ndarray:
        """Return a parameter for θ (..., parameters), or `a` = β/(α + β), the exponent of the optimal N in C = 6ND."""
        values = self.natural(scaling, theta)
        return compute_exponent(values["alpha"], values["beta"]) if name == "a" else values[name]

    def places(self, term: Term) -> list[int]:
        """Return the places of the term's own parameters in θ."""
        return [self.parameters.index(name) for name in term.parameters]

    def bind(self, scaling: Scaling, x: Variables) -> "Law":
        """Return the form at fixed points, as a function of θ."""
        return Law(len(self.parameters), [(self.places(term), term.bind(scaling, x)) for term in self.terms])


def compute_exponent(alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Return a = β/(α + β): N_opt ∝ C^a for C ∝ ND (Hoffmann et al. 2022, arXiv:2203.15556, eq. 4)."""
    return beta / np.maximum(alpha + beta, 1e-12)


def _used(seen: str, distinct: str, scale: str) -> str:
    """Return the effective amount of what is `seen`, of which only `distinct` is new; see `RepeatedData`."""
    return f"({distinct})*(1 + {scale}*(1 - exp(-({seen}/({distinct}) - 1)/{scale})))"


# U_N, the size for which U distinct examples are optimal by E + A N^-α + B D^-β (Hoffmann et al. 2022, eq. 4)
BALANCE = "(alpha*A/(beta*B))**(1/(alpha + beta))"
USEFUL_N = f"min(N, {BALANCE}*(U*{BALANCE})**(beta/alpha))"
REPEATED_BOTH = Formula(
    f"E + A*({_used('N', USEFUL_N, 'R_N')})**-alpha + B*({_used('D', 'min(D, U)', 'R_D')})**-beta",
    (("alpha", "exponent", ("N",)), ("beta", "exponent", ("D",)), ("R_N", "repeats", ()), ("R_D", "repeats", ())),
)
POWER, FLOOR = Power("coefficient", "exponent", "x"), Floor("floor")
ALPHA, BETA, E = Power("A", "alpha", "N"), Power("B", "beta", "D"), Floor("E")
HOFFMANN = "Hoffmann et al. 2022, arXiv:2203.15556, eq. 2"
KAPLAN = "Kaplan et al. 2020, arXiv:2001.08361, eq. 1.5"
FORMS = {
    form.name: form
    for form in (
        Form("power", "L = A x^-α", "Hestness et al. 2017, arXiv:1712.00409", (POWER,)),
        Form("power_floor", "L = E + A x^-α", "Henighan et al. 2020, arXiv:2010.14701, eq. 1.1", (POWER, FLOOR)),
        Form(
            "shifted",
            "L = A (x + x₀)^-α",
            "Alabdulmohsin et al. 2022, arXiv:2209.06640, M3",
            (ShiftedPower("coefficient", "exponent", "shift", "x"),),
        ),
        Form(
            "shifted_floor",
            "L = E + A (x + x₀)^-α",
            "Alabdulmohsin et al. 2022, arXiv:2209.06640, M3",
            (ShiftedPower("coefficient", "exponent", "shift", "x"), FLOOR),
        ),
        Form(
            "broken",
            "L = E + A x^-c₀ (1 + (x/d)^(1/f))^(-c₁f)",
            "Caballero et al. 2023, arXiv:2210.14891, eq. 1, one break",
            (BrokenPower("coefficient", "exponent", "change", "break", "width", "x"), FLOOR),
        ),
        Form("joint", "L = E + A N^-α + B D^-β", HOFFMANN, (ALPHA, BETA, E)),
        Form(
            "product",
            "L = A N^-p D^-q",
            "Alabdulmohsin et al. 2022, arXiv:2209.06640, M1 in two variables",
            (PowerProduct("A", "p", "q", "N", "D"),),
        ),
        Form(
            "product_floor",
            "L = E + A N^-p D^-q",
            "Alabdulmohsin et al. 2022, arXiv:2209.06640, M2 in two variables",
            (PowerProduct("A", "p", "q", "N", "D"), E),
        ),
        Form("joint_no_floor", "L = A N^-α + B D^-β", HOFFMANN + " with E = 0", (ALPHA, BETA)),
        Form(
            "joint_tied",
            "L = E + A N^-α + B D^-α",
            HOFFMANN + " with α = β, as in Muennighoff et al. 2023, arXiv:2305.16264",
            (ALPHA, Power("B", "alpha", "D"), E),
        ),
        Form("kaplan", "L = ((A/N)^(α/β) + B/D)^β", KAPLAN, (KaplanTerm(),)),
        Form("kaplan_floor", "L = E + ((A/N)^(α/β) + B/D)^β", KAPLAN + ", with a floor", (KaplanTerm(), E)),
        Form(
            "repeated",
            "L = E + A N^-α + B D'^-β, D' = U (1 + R*(1 − exp(−R/R*))), R = D/U − 1",
            "Muennighoff et al. 2023, arXiv:2305.16264, eq. 5, repeated data only",
            (ALPHA, RepeatedData("B", "beta", "repeats", "D", "U"), E),
        ),
        Form(
            "repeated_both",
            "L = E + A N'^-α + B D'^-β, D' = U (1 + R_D (1 − exp(−(D/U − 1)/R_D))), "
            "N' = U_N (1 + R_N (1 − exp(−(N/U_N − 1)/R_N))), U_N: the size for which U is optimal",
            "Muennighoff et al. 2023, arXiv:2305.16264, eq. 5 and 6",
            (REPEATED_BOTH,),
            starts_from="repeated",
        ),
    )
}
# names of the literature: Hoffmann et al. 2022, eq. 10; Muennighoff et al. 2023, eq. 5
ALIASES = {"chinchilla": "joint", "hoffmann": "joint", "muennighoff": "repeated"}
FORMULA = "formula"  # name of every form that its user wrote
CURVES = tuple(name for name, form in FORMS.items() if form.variables == ("x",))
SURFACES = tuple(name for name in FORMS if name not in CURVES)


def named_form(name: "str | Form") -> Form:
    """Return the form called `name`, or the one that it states as a formula; a form is returned as it is.

    Raises ChemscaleError with the known names if there is none.
    """
    if isinstance(name, Form):
        return name
    if is_formula(name):
        term = Formula(name)
        text = name.strip() if name.strip().startswith("L") else f"L = {name.strip()}"
        form = Form(FORMULA, text, "a formula of its user", (term,))
        assert term.expression and form.variables and form.kinds  # read now, so that a mistake is named at once
        return form
    known = ALIASES.get(name.lower(), name)
    if known not in FORMS:
        raise ChemscaleError(
            f"form = {name!r}: unknown scaling law; choose one of {', '.join(FORMS)}, or write a formula such as "
            "E + A*N**-alpha"
        )
    return FORMS[known]


@dataclass(frozen=True)
class Law:
    """A form at fixed points, as a function of θ (batch, parameters)."""

    size: int
    terms: list[tuple[list[int], Callable[[np.ndarray], Evaluation]]]

    def log_loss(self, theta: np.ndarray) -> np.ndarray:
        """Return log L of the points, (batch, points)."""
        return _sum([evaluate(theta[:, places])[0] for places, evaluate in self.terms])[0]

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        """Return the gradient of log L by θ, (batch, points, parameters)."""
        parts = [evaluate(theta[:, places]) for places, evaluate in self.terms]
        return self._gradient(parts, _sum([u for u, _, _ in parts])[1])

    def _gradient(self, parts: list[Evaluation], shares: list[np.ndarray]) -> np.ndarray:
        gradient = np.zeros((*shares[0].shape, self.size))
        for (places, _), (_, slope, _), share in zip(self.terms, parts, shares, strict=True):
            gradient[..., places] += share[..., None] * slope
        return gradient

    def curvature(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, Callable[..., np.ndarray]]:
        """Return log L (batch, points), its gradient (batch, points, parameters), and a function for Hessians.

        The function takes the first and second derivative of a loss by log L, each (batch, points), and returns the
        Hessian of the loss summed over points, (batch, parameters, parameters).
        """
        parts = [evaluate(theta[:, places]) for places, evaluate in self.terms]
        log_l, shares = _sum([u for u, _, _ in parts])
        gradient = self._gradient(parts, shares)

        def hessian(first: np.ndarray, second: np.ndarray) -> np.ndarray:
            total = np.matmul(gradient.transpose(0, 2, 1) * (second - first)[:, None, :], gradient)
            for (places, _), (_, slope, bend), share in zip(self.terms, parts, shares, strict=True):
                weight = first * share  # (batch, points)
                if len(slope) == 1:  # the same for all of the batch, as in every power term
                    outer = (slope[0, :, :, None] * slope[0, :, None, :]).reshape(slope.shape[1], -1)
                    own = (weight @ outer).reshape(len(theta), slope.shape[2], slope.shape[2])
                else:
                    own = np.matmul(slope.transpose(0, 2, 1) * weight[:, None, :], slope)
                if bend is not None:
                    own = own + np.einsum("bn,bnpq->bpq", weight, bend)
                total[np.ix_(range(len(theta)), places, places)] += own
            return total

        return log_l, gradient, hessian


def _sum(logs: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the log of the sum of exponentials, and the share of each."""
    if len(logs) == 1:
        return logs[0], [np.ones_like(logs[0])]
    top = np.maximum.reduce(logs)
    parts = [np.exp(u - top) for u in logs]
    total = np.add.reduce(parts)
    return top + np.log(total), [part / total for part in parts]
