"""From the trials of a sweep to learning rates: the best of each trial group, and the rule for all widths."""

import math

import numpy as np

from chemscale.config.cell_settings import CellSettings
from chemscale.errors import ChemscaleError
from chemscale.files import read_json
from chemscale.tuning.elimination import group_of

MAX_LOSS_RATIO = 1.5  # trials with a loss above this multiple of the lowest of their group do not enter the rule
MAX_RATE_RATIO = 2.0  # between the rule and the best rate of a group; rates are mostly tried in factors of two
WIDTH_SLOPES = (-1.0, 0.0)  # limits: 1/width is maximal update parametrisation; rates never rise with width
# limits: no dependence, and the linear rule; theory for Adam gives 0.5 (Malladi et al., NeurIPS 2022)
BATCH_SLOPES = (0.0, 1.0)


def resolve_learning_rate(settings: CellSettings) -> CellSettings:
    """Return a cell's settings with a number for the learning rate: "tuned" is looked up in the tuning file."""
    if settings.learning_rate != "tuned":
        return settings
    rule = read_json(str(settings.tuning))["rule"]
    return settings.replace(learning_rate=lr_from_rule(rule, settings.width, settings.training.batch_tokens))


def lr_from_rule(rule: dict, width: int, batch_tokens: int | None) -> float:
    """Return the peak learning rate of a fitted rule: exp(intercept) · width^slope · batch^batch_slope."""
    batch = rule["batch_slope"] * math.log(batch_tokens or 1)
    return math.exp(rule["intercept"] + rule["slope"] * math.log(width) + batch)


def best_learning_rate(trials: list[dict]) -> dict:
    """Return the rate of lowest expected loss among the trials of one group, refined by a parabola in log rate.

    The parabola passes through the trial and its two neighbours. "edge" is true where no lower or no higher rate was
    tried that did not diverge, so that a better one may lie beyond. On a tie a trial that ran to its end comes before
    one whose loss is predicted. Raises ChemscaleError if every trial diverged.
    """
    width, batch_tokens = group_of(trials[0])
    finite = sorted((t for t in trials if t["expected_loss"] is not None), key=lambda t: t["learning_rate"])
    if not finite:
        raise ChemscaleError(f"tune.learning_rates: all of them diverged at width {width}; add lower ones")
    x = np.log([trial["learning_rate"] for trial in finite])
    y = np.array([trial["expected_loss"] for trial in finite])
    i = min(range(len(y)), key=lambda k: (y[k], finite[k].get("validation_loss") is None))
    tried = [trial["learning_rate"] for trial in trials if trial.get("status") != "diverged"]
    edge = finite[i]["learning_rate"] in (min(tried), max(tried))
    shift = 0.0
    if 0 < i < len(y) - 1:
        curvature, slope, _ = np.polyfit(x[i - 1 : i + 2] - x[i], y[i - 1 : i + 2], 2)
        shift = -slope / (2 * curvature)
    rate = float(np.exp(x[i] + shift))
    return {"width": width, "batch_tokens": batch_tokens, "learning_rate": rate, "edge": edge}


def fit_lr_rule(trials: list[dict]) -> dict:
    """Fit log(rate) = intercept + slope · log(width) + batch_slope · log(batch tokens) to all good trials at once.

    The model of the log loss is one parabola in log rate, with a height of its own for every trial group and a minimum
    on the rule's plane, fitted by least squares: single best rates are too noisy to draw a line through. Slopes are
    kept within `WIDTH_SLOPES` and `BATCH_SLOPES`, and are zero where there is a single width or batch, or where the
    trials are too few or too flat to determine them. Without a minimum the rule is the geometric mean of the best
    rates. A rule that misses the best rate of a group by `MAX_RATE_RATIO` gives way to a line through the best rates.
    """
    known = [trial for trial in trials if trial["expected_loss"] is not None]
    lowest = {group_of(trial): trial["expected_loss"] for trial in sorted(known, key=lambda t: -t["expected_loss"])}
    near = [trial for trial in known if trial["expected_loss"] <= MAX_LOSS_RATIO * lowest[group_of(trial)]]
    x = np.log([trial["learning_rate"] for trial in near])
    y = np.log([trial["expected_loss"] for trial in near])
    w = np.log([trial["width"] for trial in near])
    b = np.log([trial.get("batch_tokens") or 1 for trial in near])
    groups = list(dict.fromkeys(map(group_of, near)))
    heights = np.array([[group_of(trial) == group for group in groups] for trial in near], float)  # (trials, groups)
    slopes = np.zeros(2)  # of log width and log batch
    varied = np.array([np.ptp(w) > 0, np.ptp(b) > 0])
    if varied.any():
        mixed = x[:, None] * np.stack([w, b], 1)[:, varied]  # these terms move the minimum
        columns = np.hstack([heights, x[:, None], x[:, None] ** 2, mixed])
        solution, _, rank, _ = np.linalg.lstsq(columns, y, rcond=None)
        k, moves = solution[heights.shape[1] + 1], solution[heights.shape[1] + 2 :]
        if rank == columns.shape[1] and k > 0:
            limits = np.array([WIDTH_SLOPES, BATCH_SLOPES])[varied]
            slopes[varied] = np.clip(-moves / (2 * k), *limits.T)
    # with the slopes known, the minimum is that of one parabola in the rates carried to width 1 and batch 1
    shifted = x - slopes @ np.stack([w, b])
    columns = np.hstack([heights, shifted[:, None] ** 2, shifted[:, None]])
    (*_, k, p), _, rank, _ = np.linalg.lstsq(columns, y, rcond=None)
    best = shifted[np.argmin(y[:, None] + np.where(heights > 0, 0, np.inf), axis=0)]
    determined = rank == columns.shape[1] and k > 0
    intercept = float(np.clip(-p / (2 * k), shifted.min(), shifted.max())) if determined else float(best.mean())
    rule = {"intercept": intercept, "slope": float(slopes[0]), "batch_slope": float(slopes[1])}
    return rule if _near_the_best(rule, trials) else _through_the_best(trials)


def _best_of_groups(trials: list[dict]) -> list[dict]:
    """Return the best rate of every group that has one."""
    groups: dict[tuple, list[dict]] = {}
    for trial in trials:
        groups.setdefault(group_of(trial), []).append(trial)
    return [
        best_learning_rate(group) for group in groups.values() if any(t["expected_loss"] is not None for t in group)
    ]


def _near_the_best(rule: dict, trials: list[dict]) -> bool:
    """Return whether the rule is within `MAX_RATE_RATIO` of the best rate of every group.

    It may not be where the steep rise beyond the best rate of a wide model lies above `MAX_LOSS_RATIO`: what is left of
    that model only falls, and a parabola shared with other widths puts its minimum far beyond.
    """
    return all(
        abs(math.log(lr_from_rule(rule, best["width"], best["batch_tokens"]) / best["learning_rate"]))
        < math.log(MAX_RATE_RATIO)
        for best in _best_of_groups(trials)
        if not best["edge"]
    )


def _through_the_best(trials: list[dict]) -> dict:
    """Return the rule by least squares through the logs of the best rates of all groups."""
    groups = _best_of_groups(trials)
    y = np.log([group["learning_rate"] for group in groups])
    x = np.log([[group["width"], group["batch_tokens"] or 1] for group in groups])  # (groups, 2)
    slopes = np.zeros(2)
    varied = np.ptp(x, axis=0) > 0
    if varied.any():
        centred = x[:, varied] - x[:, varied].mean(axis=0)
        limits = np.array([WIDTH_SLOPES, BATCH_SLOPES])[varied]
        slopes[varied] = np.clip(np.linalg.lstsq(centred, y - y.mean(), rcond=None)[0], *limits.T)
    return {
        "intercept": float((y - x @ slopes).mean()),
        "slope": float(slopes[0]),
        "batch_slope": float(slopes[1]),
    }
