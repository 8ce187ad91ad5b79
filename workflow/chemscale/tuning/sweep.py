"""Learning rates by training performance estimation: short runs at the cheap end, most of them stopped early.

Every (width, batch, learning rate) trains through the first share of its schedule. From there a few go on to their end;
a line from their training speed estimate to their final loss predicts the others' (Frey et al. 2023; what was measured
here: docs/decisions.md). From known and predicted losses comes a rule that carries rates to widths never tried.
"""

import itertools
import logging
import shutil
from pathlib import Path

from chemscale.files import fingerprint, read_json, write_json
from chemscale.training.callbacks import Checkpointing, Evaluation, LossLog, NonFiniteLoss
from chemscale.training.checkpoints import Ledger, newest_checkpoint, one_writer
from chemscale.training.loop import Cell, fit
from chemscale.training.run import WHERE, make_task
from chemscale.tuning.elimination import compute_saved, judged, kind, next_to_finish
from chemscale.tuning.learning_rate_rule import best_rate, rate_rule
from chemscale.tuning.speed_estimates import estimates

LOG = logging.getLogger(__name__)

SHARE = 0.3  # of its steps that every trial trains
CHECKPOINT_SECONDS = 60


def tune(settings: dict, out: Path) -> dict:
    """Run the sweep of `settings["tune"]`, fit the rule, and write the result as JSON to `out`.

    The result holds all trials, the maps from estimates to final losses, the compute saved, the best rate of each tuned
    width and batch (and whether it lies at the edge of the sweep), and the rule (`rates.rate_rule`), which gives any
    other width its rate without a new sweep. Trials of all batches see equally many tokens. The state lies beside `out`
    until then, so that a killed sweep goes on where it was. Raises ChemscaleError if every rate diverged, Interrupted
    after a signal to stop.
    """
    plan = settings["tune"]
    state = out.with_suffix(".trials")
    with one_writer(state):
        batches = plan.get("batch_tokens") or [settings["training"].get("batch_tokens")]
        trials = _known(settings, state) or [
            {"width": width, "batch_tokens": batch, "learning_rate": rate, "status": "waiting"}
            for width, batch, rate in itertools.product(plan["widths"], batches, plan["learning_rates"])
        ]
        waiting = iter([trial for trial in trials if trial["status"] == "waiting"])
        while trial := next(waiting, None) or next_to_finish(trials):
            trial |= run_trial(settings, trial, state)
            write_json(state / "trials.json", {"settings": settings, "trials": trials})
            shown = {name: trial[name] for name in ("tse", "tse_e", "validation_loss")}
            batch = f" batch {trial['batch_tokens']}" if len(batches) > 1 else ""
            LOG.info(f"width {trial['width']}{batch} rate {trial['learning_rate']:g} {trial['status']}: {shown}")
        trials, performance = judged(trials)
        result = {
            "family": settings["family"],
            "batch_tokens": settings["training"].get("batch_tokens"),  # of the study
            "share": SHARE,
            "trials": trials,
            **performance,
            "compute": compute_saved(trials),
            "best": [best_rate([t for t in trials if kind(t) == one]) for one in dict.fromkeys(map(kind, trials))],
            "rule": rate_rule(trials),
        }
        write_json(out, result)
        shutil.rmtree(state)
    return result


def _known(settings: dict, state: Path) -> list[dict]:
    """Trials of an earlier attempt at this very sweep; what another sweep has left is removed."""
    path = state / "trials.json"
    known = read_json(path) if path.exists() else {}
    if known.get("settings") == settings:
        return known["trials"]
    shutil.rmtree(state)
    state.mkdir()
    write_json(path, {"settings": settings, "trials": []})
    return []


def run_trial(settings: dict, trial: dict, state: Path) -> dict:
    """Train a waiting trial through its first share, a stopped one to its end; return what is now known of it.

    In two pieces it ends in the same bits as in one, since the schedule is that of the whole trial in both.
    """
    width, batch, rate, plan = trial["width"], trial["batch_tokens"], trial["learning_rate"], settings["tune"]
    total = round(plan["steps"] * settings["training"]["batch_tokens"] / batch) if batch else plan["steps"]
    steps = {"per_sqrt_example": 0, "epochs": 0, "minimum": total, "maximum": total}
    training = settings["training"] | {"steps": steps} | ({"batch_tokens": batch} if batch else {})
    directory = state / f"w{width}-b{batch}-lr{rate:g}"
    directory.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(directory)
    task = make_task(settings | {"width": width, "learning_rate": rate, "data": plan["data"], "training": training})
    # the rate of "plateau" falls upon evaluations, so that a trial needs those of a run; patience enough for its end
    evaluations = training["evaluations"] if training["schedule"] == "plateau" else 1
    cell, evaluation, log = Cell(task), Evaluation(evaluations, patience=evaluations), LossLog()
    kept = {key: value for key, value in task.settings.items() if key not in WHERE}
    identity = fingerprint(kept | {"data_identity": task.data_identity})
    checkpointing = Checkpointing(directory, identity, CHECKPOINT_SECONDS, ledger)
    first = trial["status"] == "waiting"
    until = (round(SHARE * total) or 1) if first else None
    try:
        fit(cell, evaluation, checkpointing, newest_checkpoint(directory, identity), log, until)
        status = "stopped" if first else "finished"
    except NonFiniteLoss:
        status = "diverged"
    ledger.note()
    known = {"status": status, "flops": cell.work[1].item(), "seconds": ledger.seconds, "validation_loss": None}
    if first:
        names = ("tse", "tse_e", "tse_ema")
        known |= dict.fromkeys(names)
        if status == "stopped":
            known |= estimates(log.read(), len(task.rows) / task.examples_per_step)
    elif status == "finished":
        known["validation_loss"] = evaluation.best_loss
    return known
