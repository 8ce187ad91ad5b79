"""Bounds of the parameters, and starting points for the search."""

import itertools

import numpy as np

from chemscale.scaling.forms.laws import FORMULA, Form, Law
from chemscale.scaling.forms.terms import Scaling, Variables

FLOOR_RANGE = 14.0  # a floor below e^-14 ≈ 1e-6 of the smallest loss counts as zero
COEFFICIENT_RANGE = 40.0  # of the log of a term at the centre of the points, around the log of the loss
POSITIVE_RANGE = 230.0  # of the log of a parameter of a user's formula: 1e-100 to 1e100
MAX_EXPONENT = 5.0
MAX_CHANGE = 20.0  # of an exponent at a break
START_EXPONENTS = (0.02, 1.5)
START_SCALE = 0.01  # lowest start of a positive parameter of a formula; the highest is the largest x
ABSENT = -700.0  # log of a coefficient that takes its term out of a law
BREAK_WIDTHS = (0.02, 3.0)  # in units of the spread of log x
REPEATS = (0.1, 1e4)  # R* of repeated data

Range = tuple[float, float]
Bounds = tuple[np.ndarray, np.ndarray]  # lowest and highest θ, each (1, parameters)


def bounds(form: Form, scaling: Scaling, x: Variables, log_y: np.ndarray) -> Bounds:
    """Return lowest and highest θ, each (1, parameters); a fit that meets a bound reports it.

    A floor ends at e^-14 of the smallest loss, where it is reported as 0. Exponents are ≥ 0, except in the form
    `power` and in formulas, where a negative exponent says that the loss rises. A break lies among the points. What the
    form holds or limits goes before.
    """
    low, high = [], []
    for name, kind in form.kinds.items():
        least, most = LIMITS[kind](form, scaling, x, log_y, name)
        if name in form.fixed:
            least = most = float(form.theta_of(name, scaling, np.array(form.fixed[name])))
        elif name in form.limits:
            ends = [None if end is None else np.array(end) for end in form.limits[name]]
            least, most = (
                usual if end is None else float(form.theta_of(name, scaling, end))
                for end, usual in zip(ends, (least, most), strict=True)
            )
        low.append(least)
        high.append(max(least, most))
    return np.array([low]), np.array([high])


def _floor(form: Form, scaling: Scaling, x: Variables, log_y: np.ndarray, name: str) -> Range:
    return log_y.min() - FLOOR_RANGE, log_y.max()


def _coefficient(form: Form, scaling: Scaling, x: Variables, log_y: np.ndarray, name: str) -> Range:
    away = max(abs(float(np.log(x[variable]).mean()) - scaling.centre[variable]) for variable in form.variables)
    reach = COEFFICIENT_RANGE + MAX_EXPONENT * away
    return log_y.min() - reach, log_y.max() + reach


def _positive(form: Form, scaling: Scaling, x: Variables, log_y: np.ndarray, name: str) -> Range:
    return -POSITIVE_RANGE, POSITIVE_RANGE


def _exponent(form: Form, scaling: Scaling, x: Variables, log_y: np.ndarray, name: str) -> Range:
    most = MAX_EXPONENT * scaling.unit[form.variables_of(name)[0]]
    return (-most if form.name in ("power", FORMULA) else 0.0), most


def _change(form: Form, scaling: Scaling, x: Variables, log_y: np.ndarray, name: str) -> Range:
    unit = scaling.unit["x"]
    return -MAX_EXPONENT * unit, MAX_CHANGE * unit


def _break(form: Form, scaling: Scaling, x: Variables, log_y: np.ndarray, name: str) -> Range:
    z = scaling.scaled(x, "x")
    return z.min(), z.max()


def _width(form: Form, scaling: Scaling, x: Variables, log_y: np.ndarray, name: str) -> Range:
    return np.log(BREAK_WIDTHS[0]), np.log(BREAK_WIDTHS[1])


def _shift(form: Form, scaling: Scaling, x: Variables, log_y: np.ndarray, name: str) -> Range:
    w = np.log(x["x"]) - scaling.centre["x"]
    return w.min() - 7, w.max() + 3  # the lower end, a thousandth of the smallest x, counts as zero


def _repeats(form: Form, scaling: Scaling, x: Variables, log_y: np.ndarray, name: str) -> Range:
    return np.log(REPEATS[0]), np.log(REPEATS[1])


LIMITS = {
    "floor": _floor,
    "positive": _positive,
    "coefficient": _coefficient,
    "exponent": _exponent,
    "change": _change,
    "break": _break,
    "width": _width,
    "shift": _shift,
    "repeats": _repeats,
}


def random_starts(
    form: Form, scaling: Scaling, x: Variables, log_y: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Return starts θ (count, parameters): exponents from 0.02 to 1.5, the mean loss shared among the terms."""
    low, high = (bound[0] for bound in bounds(form, scaling, x, log_y))
    kinds = list(form.kinds.values())
    sharing = [i for i, kind in enumerate(kinds) if kind in ("floor", "coefficient")]
    theta = rng.uniform(low, high, (count, len(kinds)))
    theta[:, sharing] = log_y.mean() + np.log(rng.dirichlet(np.ones(len(sharing)), count) + 1e-12)
    for i, (name, kind) in enumerate(form.kinds.items()):
        if kind in ("exponent", "change"):
            unit = scaling.unit[form.variables_of(name)[0] if kind == "exponent" else "x"]
            theta[:, i] = np.exp(rng.uniform(np.log(START_EXPONENTS[0]), np.log(START_EXPONENTS[1]), count)) * unit
        if kind == "change":  # a curve steepens or flattens
            theta[:, i] *= rng.choice([-1, 1, 5], count)
        if kind == "exponent" and low[i] < 0 and form.name != "power":
            theta[:, i] *= rng.choice([-1, 1], count)
        if kind == "positive":  # as a scale of a variable or of the loss
            ends = np.log(START_SCALE), np.log(max(values.max() for values in x.values()))
            theta[:, i] = rng.uniform(ends[0], max(ends), count)
    return np.clip(theta, low, high)


def projected_every(form: Form) -> int:
    """Return the step between starts to project: 1 where coefficients are not at the centre, so that few starts fit."""
    return 1 if form.name == FORMULA or form.fixed or form.limits or form.tied else 2


def project(form: Form, law: Law, log_y: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Return the starts `theta` (count, parameters) with the coefficients that fit best, all else unchanged.

    A law is linear in its coefficients, so that the best ones follow from the other parameters (variable projection;
    Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413). They are those of least squares of L/y, for the best subset of
    terms whose coefficients are all positive.
    """
    names = list(form.kinds)
    proportional = [name for term in form.terms for name in term.linear]
    if len(set(proportional)) < len(proportional) or not all(term.linear for term in form.terms):
        return theta  # a coefficient is shared, or inside a power as in Kaplan's form
    linear = [names.index(name) for name in proportional if name not in form.fixed]
    if not linear:
        return theta
    logs, rest = [], []  # of the terms with a coefficient of 1, and of what no free coefficient changes
    for term, (places, evaluate) in zip(form.terms, law.terms, strict=True):
        own = [place for place in linear if names[place] in term.linear]
        bare = theta.copy()
        bare[:, own] = ABSENT
        for place in own:
            alone = bare.copy()
            alone[:, place] = 0
            logs.append(evaluate(alone[:, places])[0])
        if term.tied_inside or not own:
            rest.append(evaluate(bare[:, places])[0])
    columns, known = (
        np.exp(np.clip(np.stack([part - log_y[0] for part in parts], axis=2), -300, 300)) if parts else np.zeros(1)
        for parts in (logs, rest)
    )  # (count, points, terms)
    target = 1 - known.sum(axis=-1)  # (count, points)
    if form.terms[0].tied_inside:  # a formula: what no coefficient changes is also in each column
        columns = columns - known
    scale = np.maximum(np.linalg.norm(columns, axis=1, keepdims=True), 1e-300)
    columns = columns / scale
    gram = np.einsum("bnk,bnl->bkl", columns, columns)
    right = (columns * target[..., None]).sum(axis=1)  # (count, terms)
    best = np.full(len(theta), -np.inf)
    coefficients = np.zeros_like(right)
    for chosen in itertools.chain.from_iterable(
        itertools.combinations(range(len(linear)), size) for size in range(1, len(linear) + 1)
    ):
        inside = np.ix_(range(len(theta)), chosen, chosen)
        ridge = 1e-12 * np.eye(len(chosen))  # of columns that are nearly the same
        found = np.linalg.solve(gram[inside] + ridge, right[:, chosen, None])[..., 0]
        explained = (found * right[:, chosen]).sum(axis=1)
        better = (found > 0).all(axis=1) & (explained > best)
        best[better] = explained[better]
        coefficients[better] = 0
        coefficients[np.ix_(better, chosen)] = found[better]
    projected = theta.copy()
    projected[:, linear] = np.log(np.maximum(coefficients / scale[:, 0], 1e-12 * np.exp(log_y.min())))
    return projected
