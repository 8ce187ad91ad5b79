"""Where fits may go and where they begin."""

import itertools

import numpy as np

from chemscale.scaling.forms.laws import Form, Law
from chemscale.scaling.forms.terms import Scaling

NO_FLOOR = 14.0  # a floor below e^-14 ≈ 1e-6 of the smallest loss is none
LARGEST_EXPONENT = 5.0
LARGEST_CHANGE = 20.0  # of an exponent at a break
EXPONENTS = (0.02, 1.5)  # of starts
WIDTHS = (0.02, 3.0)  # of a break, in units of the spread of log x
REPEATS = (0.1, 1e4)


def bounds(form: Form, scaling: Scaling, x: dict[str, np.ndarray], log_y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest θ, each (1, parameters): wide, and reported when met.

    A floor ends at e^-14 of the smallest loss, where it is reported as 0. Exponents are ≥ 0, except in a form of one
    term, whose exponent may say that the loss rises. A break lies among the points.
    """
    low, high = [], []
    for name, kind in form.kinds.items():
        least, most = LIMITS[kind](form, scaling, x, log_y, name)
        low.append(least)
        high.append(most)
    return np.array([low]), np.array([high])


def _floor(form, scaling, x, log_y, name):
    return log_y.min() - NO_FLOOR, log_y.max()


def _coefficient(form, scaling, x, log_y, name):
    return log_y.min() - 40, log_y.max() + 40


def _exponent(form, scaling, x, log_y, name):
    most = LARGEST_EXPONENT * scaling.unit[form.variable_of(name)[0]]
    return (-most if form.name == "power" else 0.0), most


def _change(form, scaling, x, log_y, name):
    unit = scaling.unit["x"]
    return -LARGEST_EXPONENT * unit, LARGEST_CHANGE * unit


def _break(form, scaling, x, log_y, name):
    z = scaling.scaled(x, "x")
    return z.min(), z.max()


def _width(form, scaling, x, log_y, name):
    return np.log(WIDTHS)


def _shift(form, scaling, x, log_y, name):
    w = np.log(x["x"]) - scaling.centre["x"]
    return w.min() - 7, w.max() + 3  # from a thousandth of the smallest x, which is none


def _repeats(form, scaling, x, log_y, name):
    return np.log(REPEATS)


LIMITS = {
    "floor": _floor,
    "coefficient": _coefficient,
    "exponent": _exponent,
    "change": _change,
    "break": _break,
    "width": _width,
    "shift": _shift,
    "repeats": _repeats,
}


def random_starts(
    form: Form, scaling: Scaling, x: dict[str, np.ndarray], log_y: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Starts θ (count, parameters): exponents from 0.02 to 1.5, the loss at the centre shared among the terms."""
    low, high = (bound[0] for bound in bounds(form, scaling, x, log_y))
    kinds = list(form.kinds.values())
    sharing = [i for i, kind in enumerate(kinds) if kind in ("floor", "coefficient")]
    theta = rng.uniform(low, high, (count, len(kinds)))
    theta[:, sharing] = log_y.mean() + np.log(rng.dirichlet(np.ones(len(sharing)), count) + 1e-12)
    for i, (name, kind) in enumerate(form.kinds.items()):
        if kind in ("exponent", "change"):
            unit = scaling.unit[form.variable_of(name)[0] if kind == "exponent" else "x"]
            theta[:, i] = np.exp(rng.uniform(*np.log(EXPONENTS), count)) * unit
        if kind == "change":  # a curve steepens or flattens
            theta[:, i] *= rng.choice([-1, 1, 5], count)
    return np.clip(theta, low, high)


def project(form: Form, law: Law, log_y: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Starts with the coefficients that fit best, the other parameters as they are: (count, parameters).

    Every term that is a coefficient times a function is linear in it, so that the best coefficients follow from the
    others (variable projection; Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413). Here by least squares of L/y, and
    not negative: of all sets of terms, the best one whose coefficients are positive.
    """
    linear = [i for i, kind in enumerate(form.kinds.values()) if kind in ("floor", "coefficient")]
    if len(linear) != len(form.terms):
        return theta  # Kaplan's two coefficients are inside a power
    bare = theta.copy()
    bare[:, linear] = 0
    logs = [evaluate(bare[:, places])[0] for places, evaluate in law.terms]
    columns = np.exp(np.clip(np.stack(logs, axis=2) - log_y[0][:, None], -300, 300))  # (count, points, terms)
    scale = np.linalg.norm(columns, axis=1, keepdims=True)
    columns = columns / scale
    gram = np.einsum("bnk,bnl->bkl", columns, columns)
    right = columns.sum(axis=1)  # (count, terms)
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
