"""Compare two scaling laws: difference of exponents, crossing points, data needed for equal loss."""

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.allocation.frontier import interval_of_draws
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.forms.laws import CURVES
from chemscale.scaling.inference.bootstrap import Bootstrap

EXTRAPOLATION_FACTOR = 100.0  # beyond the points, within which a crossing or an equal loss is searched for
GRID_POINTS = 1001


def compare_laws(
    a: Bootstrap, b: Bootstrap, names: tuple[str, str], confidence: float = 0.9, along: str = "data"
) -> dict:
    """Return how two curves differ whose losses share a unit and that run along the same x, as content for JSON.

    * `exponent`: that of a minus that of b, with interval; None where the forms differ, because exponents of different
      forms mean different things
    * `crossings`: the x where one law overtakes the other, within the points of both or beyond, with interval
    * `factors`: how much more x law b needs for the loss that law a has at given x, at the ends and in the middle of
      the losses that both laws reach at their points

    An end of an interval is None where the draws do not bound it. The two tables are independent, so their draws are
    paired at random. `along` names x in the statement. Raises ChemscaleError for forms that are not curves.
    """
    for boot in (a, b):
        if boot.fit.form.variables != ("x",):
            raise ChemscaleError(f"form {boot.fit.form.name}: not a curve; compare fits of {', '.join(CURVES)}")
    # draws of the same seed are not independent: shuffle those of b
    draws = min(len(a.theta), len(b.theta))
    shuffled = np.random.default_rng([b.seed, 2]).permutation(len(b.theta))[:draws]
    thetas = (np.vstack([a.fit.theta, a.theta[:draws]]), np.vstack([b.fit.theta, b.theta[shuffled]]))
    spans = [(fit.x["x"].min(), fit.x["x"].max()) for fit in (a.fit, b.fit)]
    low = min(span[0] for span in spans) / EXTRAPOLATION_FACTOR
    high = max(span[1] for span in spans) * EXTRAPOLATION_FACTOR
    grid = np.linspace(np.log(low), np.log(high), GRID_POINTS)
    # (1 + draws, grid); the first row is the fit itself
    logs = [np.log(boot.fit.predict_many(np.exp(grid), theta)) for boot, theta in zip((a, b), thetas, strict=True)]
    content: dict = {"names": list(names), "along": along, "confidence": confidence}
    content["exponent"] = _exponent_difference(a.fit, b.fit, thetas, confidence)
    content["crossings"] = _crossings(grid, logs[0] - logs[1], spans, confidence)
    content["factors"] = _factors(a.fit, b.fit, thetas[0], grid, logs[1], confidence)
    return content | {"statement": _statement(content)}


def _exponent_difference(a: Fit, b: Fit, thetas: tuple[np.ndarray, np.ndarray], confidence: float) -> dict:
    if a.form.name != b.form.name:
        reason = f"exponents of {a.form.name} and of {b.form.name} mean different things; fit the same form"
        return {"difference": None, "interval": None, "excludes_0": None, "reason": reason}
    first, second = (fit.quantity("exponent", theta) for fit, theta in zip((a, b), thetas, strict=True))
    difference = first - second
    low, high = interval_of_draws(difference[1:], confidence)
    excluded = (low is not None and low > 0) or (high is not None and high < 0)
    return {"difference": float(difference[0]), "interval": [low, high], "excludes_0": excluded}


def _roots(grid: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return where `values` (grid,) change sign, by linear interpolation."""
    at = np.flatnonzero((values[:-1] > 0) != (values[1:] > 0))
    return grid[at] - values[at] * (grid[at + 1] - grid[at]) / (values[at + 1] - values[at])


def _crossings(grid: np.ndarray, difference: np.ndarray, spans: list, confidence: float) -> dict:
    """Return the crossings of the two fits, each with the interval of the nearest crossing of every draw.

    `difference` is log a − log b, (1 + draws, grid).
    """
    found, *of_draws = [_roots(grid, row) for row in difference]
    share = float(np.mean([len(roots) > 0 for roots in of_draws]))
    content: dict = {"share_of_draws_that_cross": share, "at": []}
    common = max(span[0] for span in spans), min(span[1] for span in spans)
    for root in found:
        nearest = np.array([min(roots, key=lambda r: abs(r - root), default=np.nan) for roots in of_draws])
        entry: dict = {"x": float(np.exp(root)), "within": bool(common[0] <= np.exp(root) <= common[1])}
        entry["interval"] = interval_of_draws(np.exp(nearest), confidence)
        if entry["interval"] == [None, None]:
            entry |= {"interval": None, "reason": f"only {share:.0%} of the draws cross"}
        content["at"].append(entry)
    if not len(found):
        side = "above" if difference[0, 0] > 0 else "below"
        content["reason"] = f"the first law is {side} the second from {np.exp(grid[0]):.3g} to {np.exp(grid[-1]):.3g}"
    return content


def _factors(a: Fit, b: Fit, theta: np.ndarray, grid: np.ndarray, log_b: np.ndarray, confidence: float) -> dict:
    """Return x of law b over x of law a at equal loss.

    `theta` are the draws of a, (1 + draws, parameters); `log_b` is the log loss of the draws of b, (1 + draws, grid).
    """
    ends = [np.sort(fit.predict(np.array([fit.x["x"].min(), fit.x["x"].max()]))) for fit in (a, b)]
    low, high = max(end[0] for end in ends), min(end[1] for end in ends)
    if low >= high:
        shown = " and ".join(f"{end[0]:.3g} to {end[1]:.3g}" for end in ends)
        return {"at": [], "reason": f"the laws reach no common loss at their points: {shown}"}
    inside = np.linspace(np.log(a.x["x"].min()), np.log(a.x["x"].max()), GRID_POINTS)
    log_a = np.log(a.predict(np.exp(inside)))
    content: dict = {"at": []}
    for loss in np.log([high, np.sqrt(low * high), low]):
        x = np.exp(_first_reached(inside, log_a[None], np.array([loss]))[0])
        level = np.log(a.predict_many(np.array([x]), theta))[:, 0]  # (1 + draws,)
        factor = np.exp(_first_reached(grid, log_b, level)) / x
        entry = {
            "loss": float(np.exp(loss)),
            "x": float(x),
            "factor": float(factor[0]) if np.isfinite(factor[0]) else None,
        }
        content["at"].append(entry | {"interval": interval_of_draws(factor[1:], confidence)})
    return content


def _first_reached(grid: np.ndarray, log_loss: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return the first log x at which each law (row) has fallen to its level.

    −∞ where it is below the level from the start of the grid, ∞ where it stays above.
    """
    below = log_loss <= level[:, None] + 1e-12
    place = below.argmax(axis=1)
    rows, before = np.arange(len(log_loss)), np.maximum(place - 1, 0)
    upper, lower = log_loss[rows, before], log_loss[rows, place]
    share = (upper - level) / np.where(upper > lower, upper - lower, 1)
    x = grid[before] + np.clip(share, 0, 1) * (grid[1] - grid[0])
    return np.where(~below.any(axis=1), np.inf, np.where((place == 0) & (lower < level - 1e-9), -np.inf, x))


def _statement(content: dict) -> str:
    """Summarise a comparison in one sentence."""
    (a, b), exponent, share = content["names"], content["exponent"], f"{content['confidence']:.0%}"
    parts = []
    if exponent["difference"] is not None:
        low, high = ("no limit" if end is None else f"{end:.3g}" for end in exponent["interval"])
        verdict = "the exponents do not differ significantly"
        if exponent["excludes_0"]:
            verdict = f"{a if exponent['difference'] > 0 else b} falls faster"
        parts.append(f"{verdict} (difference {exponent['difference']:.3g}, {share} interval {low} to {high})")
    if content["factors"]["at"]:
        last = content["factors"]["at"][-1]
        low, high = ("no limit" if end is None else f"{end:.3g}" for end in last["interval"])
        if last["factor"] is None:
            reach = f"{EXTRAPOLATION_FACTOR:g} times the largest amount of {content['along']}"
            parts.append(f"{b} does not reach a loss of {last['loss']:.3g} within {reach}")
        else:
            need = f"{last['factor']:.3g} times the {content['along']}"
            parts.append(f"for a loss of {last['loss']:.3g}, {b} needs {need} ({low} to {high})")
    crossings = [
        f"{entry['x']:.3g}" + ("" if entry["within"] else " (beyond the points)")
        for entry in content["crossings"]["at"]
    ]
    parts.append(f"the laws cross at {', '.join(crossings)}" if crossings else "the laws do not cross")
    return f"{a} compared with {b}: {'; '.join(parts)}."
