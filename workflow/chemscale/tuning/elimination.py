"""Successive elimination: which trials of a sweep run to their end, and what stopping the others saved.

A trial group is the trials of one width and batch size; they compete for its best learning rate. A trial is a
dictionary with `width`, `batch_tokens` (None for potentials), `learning_rate`, `status` ("waiting" for its first share,
"stopped" after it, "finished" or "diverged"), the speed estimates after the share, `validation_loss` at the end, and
the `flops` and `seconds` spent.
"""

import math

from chemscale.tuning.calibration import CANDIDATES, calibrate, chosen_estimate, predict

MAX_FINISHED_PER_GROUP = 3  # trials that run to their end


def group_of(trial: dict) -> tuple[int, int | None]:
    """Return the trial group: width and tokens per batch."""
    return trial["width"], trial.get("batch_tokens")


def groups_of(trials: list[dict]) -> list[list[dict]]:
    """Return the trials by group, groups in the order in which they are met."""
    return [[trial for trial in trials if group_of(trial) == group] for group in dict.fromkeys(map(group_of, trials))]


def next_to_finish(trials: list[dict]) -> dict | None:
    """Return the stopped trial that should run to its end next; None once no other can win.

    The leaders of every group come first: the map is calibrated on them. Then, lowest predicted loss first and up to
    `MAX_FINISHED_PER_GROUP` per group, come the trials that may be the best of their group within the interval of the
    map.
    """
    for group in groups_of(trials):
        stopped = [trial for trial in leaders(group) if trial["status"] == "stopped"]
        if stopped:
            return stopped[0]
    maps = calibrate(trials)
    predictions = predict(trials, maps, chosen_estimate(maps))
    candidates = [
        (prediction[0] if prediction else trial["tse"], i)
        for i, (trial, prediction) in enumerate(zip(trials, predictions, strict=True))
        if trial["status"] == "stopped" and _may_win(trial, prediction, trials)
    ]
    return trials[min(candidates)[1]] if candidates else None


def leaders(trials: list[dict]) -> list[dict]:
    """Return the trials of a group with the lowest TSE and the lowest TSE-E, or with the two lowest TSE if they agree.

    They are the likely best ones, and where the estimates contradict each other they lie apart in final loss.
    """
    running = [trial for trial in trials if trial["tse"] is not None]
    if not running:
        return []
    first, *others = [min(running, key=lambda t: t[name]) for name in CANDIDATES]
    second = [trial for trial in others if trial is not first] or sorted(running, key=lambda t: t["tse"])[1:2]
    return [first, *second]


def _finished_losses(trial: dict, trials: list[dict]) -> list[float]:
    """Return the final losses of the finished trials of the group of `trial`."""
    return [t["validation_loss"] for t in trials if group_of(t) == group_of(trial) and t["status"] == "finished"]


def _may_win(trial: dict, prediction: tuple | None, trials: list[dict]) -> bool:
    finished = _finished_losses(trial, trials)
    hopeful = prediction is None or prediction[1] < min(finished, default=math.inf)
    return len(finished) < MAX_FINISHED_PER_GROUP and hopeful


def with_predictions(trials: list[dict]) -> tuple[list[dict], dict]:
    """Return the trials with their predicted and expected losses, and the maps that predict them.

    The expected loss is the final one where it is known, else the predicted one, but never better than the best final
    loss of the group: one map serves all groups, and may lie below one of them. It is None for diverged trials.
    """
    maps = calibrate(trials)
    name = chosen_estimate(maps)
    full = []
    for trial, prediction in zip(trials, predict(trials, maps, name), strict=True):
        value, low, high = prediction or (None, None, None)
        expected = trial["validation_loss"]
        if trial["status"] == "stopped" and value is not None:
            expected = max(value, min(_finished_losses(trial, trials), default=value))
        extra = {"predicted_loss": value, "predicted_low": low, "predicted_high": high, "expected_loss": expected}
        full.append(trial | extra)
    return full, {"estimate": name, "maps": maps}


def compute_saved(trials: list[dict]) -> dict[str, float]:
    """Return FLOPs and seconds spent, those of a sweep that stops no trial early, and the share of FLOPs saved.

    Trials of a group see the same batches, so the FLOPs of the full sweep are exact; its seconds are the average of the
    finished trials of the group. A trial that diverged would have diverged in the full sweep too.
    """
    spent = {cost: sum(trial[cost] for trial in trials) for cost in ("flops", "seconds")}
    full = {cost: sum(_full_cost(trial, trials, cost) for trial in trials) for cost in ("flops", "seconds")}
    return {
        "flops": spent["flops"],
        "flops_full_sweep": full["flops"],
        "flops_share_saved": 1 - spent["flops"] / full["flops"],
        "seconds": spent["seconds"],
        "seconds_full_sweep": full["seconds"],
    }


def _full_cost(trial: dict, trials: list[dict], cost: str) -> float:
    if trial["status"] != "stopped":
        return trial[cost]
    finished = [t[cost] for t in trials if group_of(t) == group_of(trial) and t["status"] == "finished"]
    return sum(finished) / len(finished) if finished else trial[cost]
