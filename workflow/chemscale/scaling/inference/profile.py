"""Profile likelihood: the values of one parameter that a table allows, with all others fitted again for each."""

import numpy as np
from scipy import stats

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.fitting.newton import minimise
from chemscale.scaling.fitting.starts import project, random_starts

POINTS_PER_PASS = 40  # values tried in each of the two passes towards an end
RANDOM_STARTS = 3  # of every value, beside the best fit
PROFILED = ("exponent", "floor", "shift", "break", "width", "change", "repeats")


def profile(fit: Fit, name: str, values: np.ndarray) -> np.ndarray:
    """Return the objective with the parameter `name` held at each of `values` (of the formula): (values,).

    A coefficient cannot be held: it is the value at x = 1, far from the points, and moves with the exponent. Raises
    ChemscaleError for a parameter without a profile.
    """
    if fit.form.kinds.get(name) not in PROFILED:
        raise ChemscaleError(f"{name} of form {fit.form.name} has no profile; choose one of {', '.join(profiled(fit))}")
    place = fit.form.parameters.index(name)
    low, high = (np.repeat(bound, len(values), axis=0) for bound in fit.bounds)
    low[:, place] = high[:, place] = np.clip(scaled(fit, name, values), low[:, place], high[:, place])
    law, log_y = fit.form.bind(fit.scaling, fit.x), np.log(fit.loss)[None]
    others = random_starts(fit.form, fit.scaling, fit.x, log_y, RANDOM_STARTS, np.random.default_rng(0))
    least = np.full(len(values), np.inf)
    for start in np.concatenate([fit.theta[None], others]):
        starts = np.repeat(start[None], len(values), axis=0)
        starts[:, place] = low[:, place]
        if start is not fit.theta:
            starts = np.where(np.arange(starts.shape[1]) == place, starts, project(fit.form, law, log_y, starts))
        found = minimise(law, log_y, starts, low, high, fit.objective, fit.weights[None], rough=True)[1]
        least = np.minimum(least, found)
    return least


def profiled(fit: Fit) -> tuple[str, ...]:
    """Return the parameters of a fit that have a profile."""
    return fit.form.of_kind(*PROFILED)


def scaled(fit: Fit, name: str, values: np.ndarray) -> np.ndarray:
    """Return values of a parameter of the formula as entries of θ."""
    kind = fit.form.kinds[name]
    unit = fit.scaling.unit[fit.form.variables_of(name)[0] if kind == "exponent" else fit.form.variables[0]]
    logs = np.log(np.maximum(values, 1e-300))
    centre = fit.scaling.centre[fit.form.variables[0]]
    if kind in ("exponent", "change"):
        return values * unit
    return {
        "floor": logs,
        "repeats": logs,
        "shift": logs - centre,
        "break": (logs - centre) / unit,
        "width": logs - np.log(unit),
    }[kind]


def allowed(fit: Fit, name: str) -> tuple[float, float]:
    """Return lowest and highest value that a fit allows for a parameter; a floor is at most the smallest loss."""
    place, kind = fit.form.parameters.index(name), fit.form.kinds[name]
    ends = []
    for bound in fit.bounds:
        theta = fit.theta.copy()
        theta[place] = bound[0, place]
        ends.append(float(fit.form.natural(fit.scaling, theta)[name]))
    lowest, highest = ends
    if kind == "floor":
        highest = max(float(fit.loss.min()), fit.parameters[name])
    return 0.0 if kind in ("floor", "shift") else lowest, highest


def profile_interval(fit: Fit, name: str, confidence: float, widening: float = 1.0) -> tuple[float, float]:
    """Return the interval of one parameter; an end at the parameter's bound is no limit (a floor of 0, say).

    `widening` is the factor by which it is wider than for independent rows of equal noise.

    A value is rejected where the profile rises above its least by F(1, ν) times the noise (least / ν), as for a
    parameter of a regression with normal noise and few points; Bates & Watts 1988, ch. 6. Each end by itself is a
    one-sided limit at (1 + confidence) / 2.
    """
    best, (lowest, highest) = fit.parameters[name], allowed(fit, name)
    left = len(fit.loss) - len(fit.theta)
    if left < 1:
        return lowest, highest
    rise = widening**2 * stats.f.ppf(confidence, 1, left) / left
    most = fit.diagnostics["objective"] * (1 + rise) + 1e-20 * len(fit.loss)

    def edge(inside: float, outside: float) -> float:
        if profile(fit, name, np.array([outside]))[0] <= most:
            return outside
        for _ in range(2):
            grid = spaced(inside, outside)
            last = max(int(np.argmin(profile(fit, name, grid) <= most)) - 1, 0)
            inside, outside = grid[last], grid[last + 1]
        return float(inside)

    def spaced(start: float, end: float) -> np.ndarray:
        by_factor = fit.form.kinds[name] in ("shift", "break", "width", "repeats") and min(start, end) > 0
        return (np.geomspace if by_factor else np.linspace)(start, end, POINTS_PER_PASS)

    return edge(best, lowest), edge(best, highest)
