"""Two scaling laws side by side: difference of exponents, crossing points, data needed for equal loss."""

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.allocation.frontier import interval
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.forms.laws import CURVES
from chemscale.scaling.inference.bootstrap import Bootstrap

REACH = 100.0  # beyond the points that a crossing or an equal loss is looked for
GRID = 1001


def compare_laws(
    a: Bootstrap, b: Bootstrap, names: tuple[str, str], confidence: float = 0.9, along: str = "data"
) -> dict:
    """How two curves of loss in the same unit and along the same x (`along`, for the sentence) differ: JSON content.

    * `exponent`: that of a less that of b, with interval; None where the forms differ, as then exponents mean
      different things
    * `crossings`: where one law overtakes the other, within the points of both or beyond, with interval
    * `factors`: by how much more x law b needs for the loss law a has at given x, at the ends and in the middle of the
      losses that both laws have at their points
    An end of an interval that is None is not bounded by the draws. The two tables are independent, so their draws are
    paired at random. Raises ChemscaleError for forms that are no curves.
    """
    for boot in (a, b):
        if boot.fit.form.name not in CURVES:
            raise ChemscaleError(f"form {boot.fit.form.name} is no curve; compare fits of {', '.join(CURVES)}")
    # draws of the same seed are not independent: shuffle one of the two
    draws = min(len(a.theta), len(b.theta))
    shuffled = np.random.default_rng([b.seed, 2]).permutation(len(b.theta))[:draws]
    thetas = (np.vstack([a.fit.theta, a.theta[:draws]]), np.vstack([b.fit.theta, b.theta[shuffled]]))
    spans = [(fit.x["x"].min(), fit.x["x"].max()) for fit in (a.fit, b.fit)]
    low, high = min(span[0] for span in spans) / REACH, max(span[1] for span in spans) * REACH
    grid = np.linspace(np.log(low), np.log(high), GRID)
    # (1 + draws, grid), the first row being the fits themselves
    logs = [np.log(boot.fit.predict_many(np.exp(grid), theta)) for boot, theta in zip((a, b), thetas, strict=True)]
    content: dict = {"names": list(names), "along": along, "confidence": confidence}
    content["exponent"] = _exponents(a.fit, b.fit, thetas, confidence)
    content["crossings"] = _crossings(grid, logs[0] - logs[1], spans, confidence)
    content["factors"] = _factors(a.fit, b.fit, thetas[0], grid, logs[1], confidence)
    return content | {"statement": _statement(content)}


def _exponents(a: Fit, b: Fit, thetas, confidence: float) -> dict:
    if a.form.name != b.form.name:
        reason = f"an exponent of {a.form.name} and one of {b.form.name} mean different things; fit the same form"
        return {"difference": None, "interval": None, "excludes_0": None, "reason": reason}
    first, second = (
        fit.form.natural(fit.scaling, theta)["exponent"] for fit, theta in zip((a, b), thetas, strict=True)
    )
    difference = first - second
    ends = interval(difference[1:], confidence)
    return {"difference": float(difference[0]), "interval": ends, "excludes_0": not ends[0] <= 0 <= ends[1]}


def _roots(grid: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where a function given on a grid changes its sign, by linear interpolation; values are (grid,)."""
    at = np.flatnonzero((values[:-1] > 0) != (values[1:] > 0))
    return grid[at] - values[at] * (grid[at + 1] - grid[at]) / (values[at + 1] - values[at])


def _crossings(grid: np.ndarray, difference: np.ndarray, spans: list, confidence: float) -> dict:
    """Crossings of the fits, each with the nearest of every draw; `difference` is log a − log b (1 + draws, grid)."""
    found, *of_draws = [_roots(grid, row) for row in difference]
    cross = float(np.mean([len(roots) > 0 for roots in of_draws]))
    content: dict = {"share_of_draws_that_cross": cross, "at": []}
    common = max(span[0] for span in spans), min(span[1] for span in spans)
    for root in found:
        nearest = np.array([min(roots, key=lambda r: abs(r - root), default=np.nan) for roots in of_draws])
        entry = {"x": float(np.exp(root)), "within": bool(common[0] <= np.exp(root) <= common[1])}
        entry["interval"] = interval(np.exp(nearest), confidence)
        if entry["interval"] == [None, None]:
            entry |= {"interval": None, "reason": f"only {cross:.0%} of the draws cross"}
        content["at"].append(entry)
    if not len(found):
        side = "above" if difference[0, 0] > 0 else "below"
        content["reason"] = f"the first law is {side} the second from {np.exp(grid[0]):.3g} to {np.exp(grid[-1]):.3g}"
    return content


def _factors(a: Fit, b: Fit, theta: np.ndarray, grid: np.ndarray, log_b: np.ndarray, confidence: float) -> dict:
    """x of law b over x of law a at equal loss; `theta` are the draws of a, `log_b` (1 + draws, grid) those of b."""
    ends = [np.sort(fit.predict(np.array([fit.x["x"].min(), fit.x["x"].max()]))) for fit in (a, b)]
    low, high = max(end[0] for end in ends), min(end[1] for end in ends)
    if low >= high:
        shown = " and ".join(f"{end[0]:.3g} to {end[1]:.3g}" for end in ends)
        return {"at": [], "reason": f"the laws have no loss in common at their points: {shown}"}
    inside = np.linspace(*np.log([a.x["x"].min(), a.x["x"].max()]), GRID)
    log_a = np.log(a.predict(np.exp(inside)))
    content: dict = {"at": []}
    for loss in np.log([high, np.sqrt(low * high), low]):
        x = np.exp(_reached(inside, log_a[None], np.array([loss]))[0])
        level = np.log(a.predict_many(np.array([x]), theta))[:, 0]  # (1 + draws,)
        factor = np.exp(_reached(grid, log_b, level)) / x
        entry = {
            "loss": float(np.exp(loss)),
            "x": float(x),
            "factor": float(factor[0]) if np.isfinite(factor[0]) else None,
        }
        content["at"].append(entry | {"interval": interval(factor[1:], confidence)})
    return content


def _reached(grid: np.ndarray, log_loss: np.ndarray, level: np.ndarray) -> np.ndarray:
    """First log x where each law (rows) is as low as its level: −∞ if from the grid's start, ∞ if not on it."""
    below = log_loss <= level[:, None] + 1e-12
    place = below.argmax(axis=1)
    rows, before = np.arange(len(log_loss)), np.maximum(place - 1, 0)
    upper, lower = log_loss[rows, before], log_loss[rows, place]
    share = (upper - level) / np.where(upper > lower, upper - lower, 1)
    x = grid[before] + np.clip(share, 0, 1) * (grid[1] - grid[0])
    return np.where(~below.any(axis=1), np.inf, np.where((place == 0) & (lower < level - 1e-9), -np.inf, x))


def _statement(content: dict) -> str:
    """One sentence with what can be said."""
    (a, b), exponent, share = content["names"], content["exponent"], f"{content['confidence']:.0%}"
    parts = []
    if exponent["difference"] is not None:
        low, high = exponent["interval"]
        steeper = f"{a if exponent['difference'] > 0 else b} falls faster"
        steeper = steeper if exponent["excludes_0"] else "the exponents do not differ beyond their interval"
        parts.append(f"{steeper} (difference {exponent['difference']:.3g}, {low:.3g} to {high:.3g} at {share})")
    if content["factors"]["at"]:
        last = content["factors"]["at"][-1]
        need = "too much" if last["factor"] is None else f"{last['factor']:.3g} times the"
        low, high = ("no limit" if end is None else f"{end:.3g}" for end in last["interval"])
        parts.append(f"at loss {last['loss']:.3g} {b} needs {need} {content['along']} ({low} to {high})")
    crossings = [
        f"{entry['x']:.3g}" + ("" if entry["within"] else " (beyond the points)")
        for entry in content["crossings"]["at"]
    ]
    parts.append(f"the laws cross at {', '.join(crossings)}" if crossings else "the laws do not cross")
    return f"{a} against {b}: {'; '.join(parts)}."
