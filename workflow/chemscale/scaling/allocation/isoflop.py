"""The compute frontier read from the runs themselves, without a surface: IsoFLOP minima and the lower envelope."""

import numpy as np
from scipy import stats
from scipy.interpolate import Akima1DInterpolator, CubicSpline

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.fitting.validation import require_positive
from chemscale.scaling.inference.bootstrap import bootstrap

SAME_BUDGET = 1.25  # largest ratio of costs in a group
LEAST_SIZES = 4
GRID = 2001
SPLINES = {"akima": Akima1DInterpolator, "cubic": CubicSpline}


def isoflop(n: np.ndarray, compute: np.ndarray, loss: np.ndarray, spline: str = "akima", confidence=0.9) -> dict:
    """Minima of groups of runs of equal cost, and the exponent of the optimal N in compute, as content for JSON.

    `n`, `compute` and `loss` are (points,). Log loss is interpolated over log N (seeds of a size averaged) by a spline
    of local shape, and its minimum taken on a dense grid (Porian et al. 2024, arXiv:2406.19146). A parabola would be
    biased where α ≠ β, and its exponent too where the grids drift off the optimum. A group of fewer than four sizes,
    or with its minimum at its smallest or largest size, is refused. The exponent is a least-squares line in logs
    through the minima, with Student's interval; None with the reason for fewer than three.
    """
    if spline not in SPLINES:
        raise ChemscaleError(f"spline {spline!r}: choose one of {', '.join(SPLINES)}")
    n, compute, loss = (np.asarray(values, dtype=float) for values in (n, compute, loss))
    require_positive({"N": n, "compute": compute, "loss": loss}, "minima are found in logarithms")
    groups = [_minimum(n[rows], compute[rows], loss[rows], spline) for rows in _groups(compute)]
    found = [group for group in groups if "refused" not in group]
    content: dict = {"spline": spline, "confidence": confidence, "groups": groups, "exponent": None}
    if len(found) < 3:
        return content | {"reason": f"{len(found)} minima are too few for an exponent and its interval; 3 are needed"}
    line = stats.linregress(*(np.log([group[name] for group in found]) for name in ("compute", "N")))
    half = stats.t.ppf((1 + confidence) / 2, len(found) - 2) * line.stderr
    ends = [float(line.slope - half), float(line.slope + half)]
    return content | {"exponent": {"value": float(line.slope), "interval": ends}}


def _groups(compute: np.ndarray) -> list[np.ndarray]:
    """Rows of each budget, cheapest first."""
    order = np.argsort(compute)
    groups: list[list[int]] = []
    for row in order:
        if not groups or compute[row] > compute[groups[-1][0]] * SAME_BUDGET:
            groups.append([])
        groups[-1].append(row)
    return [np.array(rows) for rows in groups]


def _minimum(n: np.ndarray, compute: np.ndarray, loss: np.ndarray, spline: str) -> dict:
    sizes, index = np.unique(n, return_inverse=True)
    content = {"compute": float(np.exp(np.log(compute).mean())), "sizes": len(sizes)}
    if len(sizes) < LEAST_SIZES:
        return content | {"refused": f"{len(sizes)} sizes are too few to see a minimum; {LEAST_SIZES} are needed"}
    means = np.bincount(index, np.log(loss)) / np.bincount(index)
    grid = np.linspace(*np.log(sizes[[0, -1]]), GRID)
    values = SPLINES[spline](np.log(sizes), means)(grid)
    place = int(values.argmin())
    if place in (0, GRID - 1):
        side = "smallest" if place == 0 else "largest"
        return content | {"refused": f"the loss is lowest at the {side} size, {np.exp(grid[place]):.3g}: no minimum"}
    return content | {"N": float(np.exp(grid[place])), "loss": float(np.exp(values[place]))}


def compute_frontier(
    compute: np.ndarray, loss: np.ndarray, form: str = "power", confidence: float = 0.9, draws: int = 500, seed: int = 0
) -> dict:
    """The runs that no cheaper or equally cheap run beats, and a law of their loss in compute, as content for JSON.

    `on` says for each run whether it is one of them. Being chosen for a low loss, these runs are the lucky ones, so
    that the law lies below the mean by about the noise of a run. Raises ChemscaleError where they are too few.
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
