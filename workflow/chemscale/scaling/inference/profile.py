"""Profile likelihood: the values of one parameter that a table allows, with all others fitted again for each."""

from collections.abc import Mapping

import numpy as np
from scipy import stats

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.fitting.newton import minimise
from chemscale.scaling.fitting.starts import project, random_starts

POINTS_PER_PASS = 25  # values tried in each of the passes towards an end
PASSES = 3
RANDOM_STARTS = 3  # of every value, beside the best fit
MANY_ROWS = 500  # from here on optima lie so near that of the table that they need no random starts
PROFILED = ("exponent", "floor", "shift", "break", "width", "change", "repeats", "positive")


def profile(fit: Fit, held: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the objective with parameters held at values of the formula, each (values,), all else fitted: (values,).

    A coefficient cannot be held: it is the value at x = 1, far from the points, and moves with the exponent. Raises
    ChemscaleError for a parameter without a profile.
    """
    for name in held:
        if name not in profiled(fit):
            known = ", ".join(profiled(fit)) or "none"
            raise ChemscaleError(f"{name} of form {fit.form.name} has no profile; those with one: {known}")
    places = [fit.form.parameters.index(name) for name in held]
    count = len(next(iter(held.values())))
    low, high = (np.repeat(bound, count, axis=0) for bound in fit.bounds)
    for place, (name, values) in zip(places, held.items(), strict=True):
        theta = fit.form.theta_of(name, fit.scaling, np.asarray(values, dtype=float))
        low[:, place] = high[:, place] = np.clip(theta, low[:, place], high[:, place])
    law, log_y = fit.form.bind(fit.scaling, fit.x), np.log(fit.loss)[None]
    starts_beside = RANDOM_STARTS if len(fit.loss) < MANY_ROWS else 0
    others = random_starts(fit.form, fit.scaling, fit.x, log_y, starts_beside, np.random.default_rng(0))
    least = np.full(count, np.inf)
    for start in np.concatenate([fit.theta[None], others]):
        starts = np.repeat(start[None], count, axis=0)
        starts[:, places] = low[:, places]
        if start is not fit.theta:
            projected = project(fit.form, law, log_y, starts)
            starts = np.where(np.isin(np.arange(starts.shape[1]), places), starts, projected)
        found = minimise(law, log_y, starts, low, high, fit.objective, fit.weights[None], rough=True)[1]
        least = np.minimum(least, found)
    return least


def profiled(fit: Fit) -> tuple[str, ...]:
    """Return the parameters of a fit that have a profile."""
    return tuple(name for name in fit.form.of_kind(*PROFILED) if name not in fit.form.fixed)


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
        highest = min(highest, max(float(fit.loss.min()), fit.parameters[name]))
    unlimited = fit.form.limits.get(name, (None, None))[0] is None
    return 0.0 if kind in ("floor", "shift") and unlimited else lowest, highest


def allowed_objective(fit: Fit, confidence: float, widening: float = 1.0, held: int = 1) -> float:
    """Return the objective up to which values of `held` parameters at once are allowed; see `profile_interval`."""
    left = len(fit.loss) - len(fit.form.free)
    rise = widening**2 * held * stats.f.ppf(confidence, held, left) / left
    return float(fit.diagnostics["objective"] * (1 + rise) + 1e-20 * len(fit.loss))


def profile_interval(fit: Fit, name: str, confidence: float, widening: float = 1.0) -> tuple[float, float]:
    """Return the interval of one parameter; an end at the parameter's bound is no limit (a floor of 0, say).

    `widening` is the factor by which it is wider than for independent rows of equal noise.

    A value is rejected where the profile rises above its least by F(1, ν) times the noise (least / ν), as for a
    parameter of a regression with normal noise and few points; Bates & Watts 1988, ch. 6. Each end by itself is a
    one-sided limit at (1 + confidence) / 2.
    """
    best, (lowest, highest) = fit.parameters[name], allowed(fit, name)
    if len(fit.loss) <= len(fit.form.free):
        return lowest, highest
    most = allowed_objective(fit, confidence, widening)

    def edge(inside: float, outside: float) -> float:
        if profile(fit, {name: np.array([outside])})[0] <= most:
            return outside
        for _ in range(PASSES):
            grid = spaced(inside, outside)
            last = max(int(np.argmin(profile(fit, {name: grid}) <= most)) - 1, 0)
            inside, outside = grid[last], grid[last + 1]
        return float(inside)

    def spaced(start: float, end: float) -> np.ndarray:
        by_factor = fit.form.kinds[name] in ("shift", "break", "width", "repeats", "positive") and min(start, end) > 0
        return (np.geomspace if by_factor else np.linspace)(start, end, POINTS_PER_PASS)

    return edge(best, lowest), edge(best, highest)
