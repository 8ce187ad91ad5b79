"""Successive elimination: which trials of a sweep go on to their end, and what stopping the others saved.

Trials are alike that have the same width and the same tokens in a batch; those of one kind compete for its best rate.
Every trial is a dictionary with `width`, `batch_tokens` (None for potentials), `learning_rate`, `status` ("waiting" for
its first share, "stopped" after it, "finished", "diverged"), the estimates at the share, `validation_loss` at the end,
`flops` and `seconds` spent.
"""

import math

from chemscale.tuning.calibration import CANDIDATES, calibrate, chosen_estimate, predict

FEW = 3  # trials of a kind that may run to the end


def kind(trial: dict) -> tuple:
    """What trials have in common that differ in their learning rate alone: width and tokens in a batch."""
    return trial["width"], trial.get("batch_tokens")


def next_to_finish(trials: list[dict]) -> dict | None:
    """The stopped trial that should run to its end next; None once the others are settled.

    First the leaders of every kind, on which the map is calibrated. Then, lowest predicted loss first and up to `FEW`
    a kind, those the map's interval does not exclude from being the best of their kind.
    """
    for one in dict.fromkeys(map(kind, trials)):
        waiting = [trial for trial in leaders([t for t in trials if kind(t) == one]) if trial["status"] == "stopped"]
        if waiting:
            return waiting[0]
    maps = calibrate(trials)
    predictions = predict(trials, maps, chosen_estimate(maps))
    candidates = [
        (prediction[0] if prediction else trial["tse"], i)
        for i, (trial, prediction) in enumerate(zip(trials, predictions, strict=True))
        if trial["status"] == "stopped" and _may_win(trial, prediction, trials)
    ]
    return trials[min(candidates)[1]] if candidates else None


def leaders(trials: list[dict]) -> list[dict]:
    """Lowest TSE and lowest TSE-E of trials of a kind, or the two lowest TSE where they are one trial.

    They are the likely best ones, and where the estimates contradict each other they lie apart in final loss.
    """
    running = [trial for trial in trials if trial["tse"] is not None]
    first, *others = [min(running, key=lambda t: t[name]) for name in CANDIDATES] if running else [None]
    chosen = [trial for trial in others if trial is not first] or sorted(running, key=lambda t: t["tse"])[1:2]
    return [first, *chosen] if first else []


def _may_win(trial: dict, prediction: tuple | None, trials: list[dict]) -> bool:
    finished = [t["validation_loss"] for t in trials if kind(t) == kind(trial) and t["status"] == "finished"]
    hopeful = prediction is None or prediction[1] < min(finished, default=math.inf)
    return len(finished) < FEW and hopeful


def judged(trials: list[dict]) -> tuple[list[dict], dict]:
    """The trials with predicted and expected losses, and the maps behind them: what a sweep's result says.

    The expected loss is the final one where it is known, else the predicted one, taken to be no better than the best
    that a trial of its kind has reached: one line serves all kinds, and may lie below one of them. It is None
    for diverged trials.
    """
    maps = calibrate(trials)
    name = chosen_estimate(maps)
    full = []
    for trial, prediction in zip(trials, predict(trials, maps, name), strict=True):
        value, low, high = prediction or (None, None, None)
        expected = trial["validation_loss"]
        if trial["status"] == "stopped" and value is not None:
            alike = [t for t in trials if kind(t) == kind(trial) and t["status"] == "finished"]
            expected = max(value, min((t["validation_loss"] for t in alike), default=value))
        extra = {"predicted_loss": value, "predicted_low": low, "predicted_high": high, "expected_loss": expected}
        full.append(trial | extra)
    return full, {"estimate": name, "maps": maps}


def compute_saved(trials: list[dict]) -> dict[str, float]:
    """FLOPs and seconds spent, what training every trial to its end would have cost, and the share of FLOPs saved.

    Trials of a kind see the same batches, so FLOPs of the full sweep are exact; its seconds are those of the finished
    trials of that kind, on average. A trial that diverged would have done so in the full sweep too.
    """
    spent = {cost: sum(trial[cost] for trial in trials) for cost in ("flops", "seconds")}
    full = {cost: sum(_to_the_end(trial, trials, cost) for trial in trials) for cost in ("flops", "seconds")}
    return {
        "flops": spent["flops"],
        "flops_full_sweep": full["flops"],
        "flops_share_saved": 1 - spent["flops"] / full["flops"],
        "seconds": spent["seconds"],
        "seconds_full_sweep": full["seconds"],
    }


def _to_the_end(trial: dict, trials: list[dict], cost: str) -> float:
    if trial["status"] != "stopped":
        return trial[cost]
    alike = [t[cost] for t in trials if kind(t) == kind(trial) and t["status"] == "finished"]
    return sum(alike) / len(alike) if alike else trial[cost]
