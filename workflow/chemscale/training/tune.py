"""Learning rates by training performance estimation: short runs at the cheap end, and a rule that carries them.

The training speed estimate (TSE) is the sum of training losses over a run, epoch means summed over epochs: runs that
learn fast have a low one. It ranks learning rates long before losses converge (Ru et al., NeurIPS 2021; Frey et al.
2023; its use there: notes in docs/decisions.md).
"""

import math
import sys
from pathlib import Path

import numpy as np

from chemscale.files import write_json
from chemscale.training.callbacks import Evaluation, NonFiniteLoss
from chemscale.training.cell import make_task
from chemscale.training.loop import Cell, fit


def training_speed_estimate(losses: np.ndarray, steps_per_epoch: float) -> float:
    """TSE: Σ over epochs of the epoch's mean training loss, from the losses of all steps."""
    return float(np.sum(losses) / steps_per_epoch)


def tune(settings: dict, out: Path) -> dict:
    """Run every (width, learning rate) of `settings["tune"]`, fit the rule, and write the result as JSON to `out`.

    The result holds all trials, the best rate of each tuned width (and whether it lies at the edge of the sweep), the
    rule log(rate) = a + b·log(width), and the rate it gives for every width of the family.
    """
    plan = settings["tune"]
    trials = []
    for width in plan["widths"]:
        for rate in plan["learning_rates"]:
            trials.append({"width": width, "learning_rate": rate, **_trial(settings, width, rate)})
            print(f"width {width} learning rate {rate:g}: TSE {trials[-1]['tse']}", file=sys.stderr)
    best = [best_rate(width, [trial for trial in trials if trial["width"] == width]) for width in plan["widths"]]
    intercept, slope = rate_rule(best)
    widths = sorted({*settings["widths"], *plan["widths"]})
    result = {
        "family": settings["family"],
        "trials": trials,
        "best": best,
        "rule": {"intercept": intercept, "slope": slope},
        "learning_rates": {str(width): math.exp(intercept + slope * math.log(width)) for width in widths},
    }
    write_json(out, result)
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


def rate_rule(best: list[dict]) -> tuple[float, float]:
    """Intercept and slope of log(rate) against log(width), by least squares; one width gives a constant rate."""
    x = np.log([b["width"] for b in best])
    y = np.log([b["learning_rate"] for b in best])
    if len(best) == 1:
        return float(y[0]), 0.0
    slope, intercept = np.polyfit(x, y, 1)
    return float(intercept), float(slope)
