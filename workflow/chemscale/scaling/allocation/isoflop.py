"""Read the compute frontier from the runs themselves, without a surface: IsoFLOP minima and the lower envelope."""

import numpy as np
from scipy import stats
from scipy.interpolate import Akima1DInterpolator, CubicSpline

from chemscale.errors import ChemscaleError
from chemscale.scaling.defaults import DEFAULT_CONFIDENCE, DEFAULT_DRAWS
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.fitting.validation import require_positive
from chemscale.scaling.inference.bootstrap import bootstrap

MAX_BUDGET_RATIO = 1.25  # of the costs in a group
MIN_SIZES = 4  # in a group
MIN_GROUPS = 3  # with a minimum, for an exponent
GRID_POINTS = 2001
SPLINES = {"akima": Akima1DInterpolator, "cubic": CubicSpline}


def isoflop(
    n: np.ndarray, compute: np.ndarray, loss: np.ndarray, spline: str = "akima", confidence: float = DEFAULT_CONFIDENCE
) -> dict:
    """Return the minima of groups of runs of equal cost and the exponent of the optimal N in compute, for JSON.

    `n`, `compute` and `loss` are (points,). Log loss is interpolated over log N (seeds of a size averaged) by a spline
    of local shape, and its minimum is taken on a dense grid (Porian et al. 2024, arXiv:2406.19146). A parabola would be
    biased where α ≠ β, and so would its exponent where the grids drift off the optimum. A group of fewer than four
    sizes, or with its minimum at its smallest or largest size, is refused. The exponent is a least-squares line in logs
    through the minima, with Student's interval; with fewer than three minima it is None, and `reason` says so.
    """
    if spline not in SPLINES:
        raise ChemscaleError(f"spline = {spline!r}: choose one of {', '.join(SPLINES)}")
    n, compute, loss = (np.asarray(values, dtype=float) for values in (n, compute, loss))
    require_positive({"N": n, "compute": compute, "loss": loss})
    groups = [_minimum(n[rows], compute[rows], loss[rows], spline) for rows in _groups(compute)]
    found = [group for group in groups if "refused" not in group]
    content: dict = {"spline": spline, "confidence": confidence, "groups": groups, "exponent": None}
    if len(found) < MIN_GROUPS:
        reason = f"{len(found)} minima are too few for an exponent with an interval; {MIN_GROUPS} are needed"
        return content | {"reason": reason, "statement": f"{_minima_text(groups)}; {reason}."}
    line = stats.linregress(*(np.log([group[name] for group in found]) for name in ("compute", "N")))
    half = stats.t.ppf((1 + confidence) / 2, len(found) - 2) * line.stderr
    low, high = float(line.slope - half), float(line.slope + half)
    text = (
        f"{_minima_text(groups)}; the best N grows as C^{line.slope:.3g} ({low:.3g} to {high:.3g} at {confidence:.0%})."
    )
    return content | {"exponent": {"value": float(line.slope), "interval": [low, high]}, "statement": text}


def _minima_text(groups: list[dict]) -> str:
    shown = [f"N = {group['N']:.3g} at {group['compute']:.3g}" for group in groups if "refused" not in group]
    return f"{len(shown)} of {len(groups)} groups of equal compute have a minimum" + (
        f": {', '.join(shown)}" if shown else ""
    )


def _groups(compute: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each budget, cheapest first."""
    order = np.argsort(compute)
    groups: list[list[int]] = []
    for row in order:
        if not groups or compute[row] > compute[groups[-1][0]] * MAX_BUDGET_RATIO:
            groups.append([])
        groups[-1].append(row)
    return [np.array(rows) for rows in groups]


def _minimum(n: np.ndarray, compute: np.ndarray, loss: np.ndarray, spline: str) -> dict:
    sizes, index = np.unique(n, return_inverse=True)
    content: dict = {"compute": float(np.exp(np.log(compute).mean())), "sizes": len(sizes)}
    if len(sizes) < MIN_SIZES:
        return content | {"refused": f"{len(sizes)} sizes are too few to show a minimum; {MIN_SIZES} are needed"}
    means = np.bincount(index, np.log(loss)) / np.bincount(index)
    grid = np.linspace(np.log(sizes[0]), np.log(sizes[-1]), GRID_POINTS)
    values = SPLINES[spline](np.log(sizes), means)(grid)
    place = int(values.argmin())
    if place in (0, GRID_POINTS - 1):
        side = "smallest" if place == 0 else "largest"
        return content | {
            "refused": f"the loss is lowest at the {side} size, {np.exp(grid[place]):.3g}, so it has no minimum"
        }
    return content | {"N": float(np.exp(grid[place])), "loss": float(np.exp(values[place]))}


def lower_envelope(
    compute: np.ndarray,
    loss: np.ndarray,
    form: str = "power",
    confidence: float = DEFAULT_CONFIDENCE,
    draws: int = DEFAULT_DRAWS,
    seed: int = 0,
) -> dict:
    """Return the runs that no cheaper or equally cheap run beats, and a law of their loss in compute, for JSON.

    `on` says for each run whether it is one of them. Because they are selected for a low loss, the law is biased
    downwards by about the noise of a run. Raises NotFittable where they are too few.
    """
    compute, loss = np.asarray(compute, dtype=float), np.asarray(loss, dtype=float)
    order = np.lexsort((loss, compute))
    before = np.minimum.accumulate(np.concatenate([[np.inf], loss[order][:-1]]))
    on = np.zeros(len(loss), dtype=bool)
    on[order] = loss[order] < before
    fit = fit_law(form, compute[on], loss[on])
    boot = bootstrap(fit, draws, seed)
    return {
        "on": on.tolist(),
        **fit.to_dict(),
        "confidence": confidence,
        "intervals": {name: list(boot.interval(name, confidence)) for name in fit.parameters},
    }
