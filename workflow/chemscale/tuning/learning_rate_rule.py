"""From the trials of a sweep to learning rates: the best of each kind of trial, and the rule for all widths."""

import math

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.tuning.elimination import kind

NEAR = 1.5  # trials with a loss up to this multiple of the lowest of their kind decide the rule
SLOPES = (-1.0, 0.0)  # 1/width is the rule of maximal update parametrisation for matrices; rates never rise with width
BATCH_SLOPES = (0.0, 1.0)  # from no dependence to the linear rule; √batch is what Adam's noise asks for


def best_rate(trials: list[dict]) -> dict:
    """Rate of lowest expected loss among trials of one kind, refined by the parabola through its neighbours if known.

    "edge": no lower or no higher rate was tried that did not diverge, so that a better one may lie beyond. On a tie a
    trial that ran to its end comes before one that was predicted.
    """
    width, batch_tokens = kind(trials[0])
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
    rate = float(np.exp(x[i] + shift))
    return {"width": width, "batch_tokens": batch_tokens, "learning_rate": rate, "edge": edge}


def rate_rule(trials: list[dict]) -> dict:
    """Rule log(rate) = intercept + slope·log(width) + batch_slope·log(batch tokens), from all good trials at once.

    One parabola in log rate, with a height of its own for every kind of trial and a minimum on the rule's plane, fitted
    by least squares to log loss: single best rates are too noisy to draw a line through. Slopes are kept within
    `SLOPES` and `BATCH_SLOPES`, and are zero where there is a single width or batch, and for trials too few or too flat
    to tell; without a minimum the rule is the geometric mean of the best rates.
    """
    known = [trial for trial in trials if trial["expected_loss"] is not None]
    lowest = {kind(trial): trial["expected_loss"] for trial in sorted(known, key=lambda t: -t["expected_loss"])}
    near = [trial for trial in known if trial["expected_loss"] <= NEAR * lowest[kind(trial)]]
    x = np.log([trial["learning_rate"] for trial in near])
    y = np.log([trial["expected_loss"] for trial in near])
    w = np.log([trial["width"] for trial in near])
    b = np.log([trial.get("batch_tokens") or 1 for trial in near])
    kinds = list(dict.fromkeys(map(kind, near)))
    heights = np.array([[kind(trial) == one for one in kinds] for trial in near], float)  # (trials, kinds)
    slopes = np.zeros(2)  # of log width and log batch
    varied = np.array([np.ptp(w) > 0, np.ptp(b) > 0])
    if varied.any():
        mixed = x[:, None] * np.stack([w, b], 1)[:, varied]  # what moves the minimum
        columns = np.hstack([heights, x[:, None], x[:, None] ** 2, mixed])
        solution, _, rank, _ = np.linalg.lstsq(columns, y, rcond=None)
        k, moves = solution[heights.shape[1] + 1], solution[heights.shape[1] + 2 :]
        if rank == columns.shape[1] and k > 0:
            limits = np.array([SLOPES, BATCH_SLOPES])[varied]
            slopes[varied] = np.clip(-moves / (2 * k), *limits.T)
    # with the slopes settled, the minimum is that of one parabola in the rates brought to width 1 and batch 1
    shifted = x - slopes @ np.stack([w, b])
    columns = np.hstack([heights, shifted[:, None] ** 2, shifted[:, None]])
    (*_, k, p), _, rank, _ = np.linalg.lstsq(columns, y, rcond=None)
    best = shifted[np.argmin(y[:, None] + np.where(heights > 0, 0, np.inf), axis=0)]
    determined = rank == columns.shape[1] and k > 0
    intercept = float(np.clip(-p / (2 * k), shifted.min(), shifted.max())) if determined else float(best.mean())
    return {"intercept": intercept, "slope": float(slopes[0]), "batch_slope": float(slopes[1])}


def rule_rate(rule: dict, width: int, batch_tokens: int | None) -> float:
    """Peak learning rate that a tuned rule gives: exp(intercept)·width^slope·batch^batch_slope."""
    batch = rule["batch_slope"] * math.log(batch_tokens or 1)
    return math.exp(rule["intercept"] + rule["slope"] * math.log(width) + batch)
