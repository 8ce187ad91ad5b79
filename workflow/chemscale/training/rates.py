"""From the trials of a sweep to learning rates: the best of each tuned width, and the rule for all others."""

import numpy as np

from chemscale.errors import ChemscaleError

NEAR = 1.5  # trials with a loss up to this multiple of their width's lowest decide the rule
SLOPES = (-1.0, 0.0)  # 1/width is the rule of maximal update parametrisation for matrices; rates never rise with width


def best_rate(width: int, trials: list[dict]) -> dict:
    """Rate of lowest expected loss, refined by the parabola through its neighbours if both are known.

    "edge": no lower or no higher rate was tried that did not diverge, so that a better one may lie beyond. On a tie a
    trial that ran to its end comes before one that was predicted.
    """
    finite = sorted((t for t in trials if t["expected_loss"] is not None), key=lambda t: t["learning_rate"])
    if not finite:
        raise ChemscaleError(f"tune: every learning rate of the sweep diverged at width {width}; add lower ones")
    x = np.log([trial["learning_rate"] for trial in finite])
    y = np.array([trial["expected_loss"] for trial in finite])
    i = min(range(len(y)), key=lambda k: (y[k], finite[k].get("validation_loss") is None))
    tried = [trial["learning_rate"] for trial in trials if trial.get("status") != "diverged"]
    edge = finite[i]["learning_rate"] in (min(tried), max(tried))
    if 0 < i < len(y) - 1:
        curvature, slope, _ = np.polyfit(x[i - 1 : i + 2] - x[i], y[i - 1 : i + 2], 2)
        shift = -slope / (2 * curvature)
    else:
        shift = 0.0
    return {"width": width, "learning_rate": float(np.exp(x[i] + shift)), "edge": edge}


def rate_rule(trials: list[dict]) -> dict:
    """Rule log(rate) = intercept + slope·log(width), from all trials near the lowest loss of their width at once.

    One parabola in log rate, with a height of its own for every width and a minimum on the rule's line, fitted by
    least squares to log loss: single best rates are too noisy to draw a line through. The slope is kept within
    `SLOPES`, and is zero for a single width and for trials too few or too flat to tell; without a minimum the rule is
    the geometric mean of the best rates.
    """
    known = [trial for trial in trials if trial["expected_loss"] is not None]
    near = [trial for trial in known if trial["expected_loss"] <= NEAR * _lowest(known, trial["width"])]
    x = np.log([trial["learning_rate"] for trial in near])
    y = np.log([trial["expected_loss"] for trial in near])
    w = np.log([trial["width"] for trial in near])
    heights = (w[:, None] == np.unique(w)).astype(float)  # (trials, widths)
    several = heights.shape[1] > 1
    columns = np.hstack([heights, x[:, None] ** 2, x[:, None], *([(x * w)[:, None]] if several else [])])
    solution, _, rank, _ = np.linalg.lstsq(columns, y, rcond=None)
    k, q = (solution[-3], solution[-1]) if several else (solution[-2], 0.0)
    determined = rank == columns.shape[1] and k > 0
    slope = float(np.clip(-q / (2 * k), *SLOPES)) if determined else 0.0
    # with the slope settled, the minimum is that of one parabola in the rates brought to width 1
    shifted = x - slope * w
    columns = np.hstack([heights, shifted[:, None] ** 2, shifted[:, None]])
    (*_, k, p), _, rank, _ = np.linalg.lstsq(columns, y, rcond=None)
    lowest = shifted[np.argmin(y[:, None] + np.where(heights > 0, 0, np.inf), axis=0)]
    determined = rank == columns.shape[1] and k > 0
    intercept = float(np.clip(-p / (2 * k), shifted.min(), shifted.max())) if determined else float(lowest.mean())
    return {"intercept": intercept, "slope": slope}


def _lowest(trials: list[dict], width: int) -> float:
    return min(trial["expected_loss"] for trial in trials if trial["width"] == width)
