"""Learning rates by training performance estimation: short runs at the cheap end, and a rule that carries them.

The training speed estimate (TSE) is the sum of training losses over a run, epoch means summed over epochs: runs that
learn fast have a low one. It ranks learning rates long before losses converge (Ru et al., NeurIPS 2021; Frey et al.
2023; its use there: notes in docs/decisions.md).
"""

import itertools
import sys
from pathlib import Path

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.files import read_json, write_json
from chemscale.training.callbacks import Evaluation, NonFiniteLoss
from chemscale.training.cell import make_task
from chemscale.training.loop import Cell, fit

NEAR = 1.1  # trials with a TSE up to this multiple of their width's lowest decide the rule
SLOPES = (-1.0, 0.0)  # 1/width is the rule of maximal update parametrisation for matrices; rates never rise with width


def training_speed_estimate(losses: np.ndarray, steps_per_epoch: float) -> float:
    """TSE: Σ over epochs of the epoch's mean training loss, from the losses of all steps."""
    return float(np.sum(losses) / steps_per_epoch)


def tune(settings: dict, out: Path) -> dict:
    """Run every (width, learning rate) of `settings["tune"]`, fit the rule, and write the result as JSON to `out`.

    The result holds all trials, the best rate of each tuned width (and whether it lies at the edge of the sweep), and
    the rule log(rate) = intercept + slope·log(width). It knows no other widths: a new one needs no new sweep.
    """
    plan = settings["tune"]
    done = out.with_suffix(".trials")  # so that a killed sweep goes on with the trial it was at
    known = read_json(done) if done.exists() else {}
    trials = known.get("trials", []) if known.get("settings") == settings else []
    for width, rate in list(itertools.product(plan["widths"], plan["learning_rates"]))[len(trials) :]:
        trials.append({"width": width, "learning_rate": rate, **_trial(settings, width, rate)})
        print(f"width {width} learning rate {rate:g}: TSE {trials[-1]['tse']}", file=sys.stderr)
        write_json(done, {"settings": settings, "trials": trials})
    best = [best_rate(width, [trial for trial in trials if trial["width"] == width]) for width in plan["widths"]]
    rule = rate_rule(trials)
    result = {
        "family": settings["family"],
        "trials": trials,
        "best": best,
        "rule": rule,
    }
    write_json(out, result)
    done.unlink(missing_ok=True)
    return result


def _trial(settings: dict, width: int, rate: float) -> dict:
    plan = settings["tune"]
    steps = {"per_sqrt_example": 0, "epochs": 0, "minimum": plan["steps"], "maximum": plan["steps"]}
    training = settings["training"] | {"steps": steps}
    task = make_task(settings | {"width": width, "learning_rate": rate, "data": plan["data"], "training": training})
    cell, evaluation = Cell(task), Evaluation(evaluations=1, patience=1)
    try:
        fit(cell, evaluation, None, None)
    except NonFiniteLoss:
        return {"tse": None, "validation_loss": None}
    # every row is the mean over its window of steps
    steps = np.diff([0, *(row["step"] for row in evaluation.history)])
    losses = np.repeat([row["train_loss"] for row in evaluation.history], steps)
    steps_per_epoch = len(task.rows) / task.examples_per_step
    return {"tse": training_speed_estimate(losses, steps_per_epoch), "validation_loss": evaluation.best_loss}


def best_rate(width: int, trials: list[dict]) -> dict:
    """Rate of lowest TSE, refined by the parabola through its neighbours in log rate; "edge" if it has but one."""
    finite = sorted((t for t in trials if t["tse"] is not None), key=lambda t: t["learning_rate"])
    if not finite:
        raise ChemscaleError(f"tune: every learning rate of the sweep diverged at width {width}; add lower ones")
    x = np.log([trial["learning_rate"] for trial in finite])
    y = np.array([trial["tse"] for trial in finite])
    i = int(np.argmin(y))
    edge = i in (0, len(y) - 1)
    if not edge:
        curvature, slope, _ = np.polyfit(x[i - 1 : i + 2] - x[i], y[i - 1 : i + 2], 2)
        shift = -slope / (2 * curvature)
    else:
        shift = 0.0
    return {"width": width, "learning_rate": float(np.exp(x[i] + shift)), "edge": edge}


def rate_rule(trials: list[dict]) -> dict:
    """Rule log(rate) = intercept + slope·log(width), from all trials near the lowest TSE of their width at once.

    One parabola in log rate, with a height of its own for every width and a minimum on the rule's line, fitted by
    least squares to log TSE: single best rates are too noisy to draw a line through. The slope is kept within
    `SLOPES`, and is zero for a single width and for trials too few or too flat to tell; without a minimum the rule is
    the geometric mean of the best rates.
    """
    near = [trial for trial in trials if trial["tse"] is not None and trial["tse"] <= NEAR * _lowest(trials, trial)]
    x = np.log([trial["learning_rate"] for trial in near])
    y = np.log([trial["tse"] for trial in near])
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


def _lowest(trials: list[dict], like: dict) -> float:
    return min(t["tse"] for t in trials if t["width"] == like["width"] and t["tse"] is not None)
