"""Sweeps of learning rates by training performance estimation: short trainings, most of them stopped early.

Every (width, batch, learning rate) trains through the first share of its schedule. From there a few go on to their end;
a line from their training speed estimate to their final loss predicts the others' (Frey et al. 2023; measurements:
docs/explanation/decisions.md). The known and the predicted losses determine a rule that gives rates to widths never
tried.
"""

import itertools
import logging
import shutil
from pathlib import Path

import numpy as np

from chemscale.config.cell_settings import SweepSettings
from chemscale.files import read_json, write_json
from chemscale.training import CHECKPOINT_SECONDS
from chemscale.training.attempts import Attempts
from chemscale.training.checkpoints import Checkpointing, newest_checkpoint
from chemscale.training.compilation import choose_compilation
from chemscale.training.evaluation import Evaluation, NonFiniteLoss
from chemscale.training.lock import one_writer
from chemscale.training.loop import TrainingModule, fit
from chemscale.training.run import cell_fingerprint
from chemscale.training.tasks import make_task
from chemscale.tuning.elimination import compute_saved, groups_of, next_to_finish, with_predictions
from chemscale.tuning.extension import beyond_the_edges
from chemscale.tuning.learning_rate_rule import best_learning_rate, fit_lr_rule
from chemscale.tuning.speed_estimates import estimates

LOG = logging.getLogger(__name__)

FIRST_SHARE = 0.3  # of its steps that every trial trains


def tune(settings: SweepSettings, out: Path) -> dict:
    """Run the sweep of `settings.tune`, fit the rule, and write the result as JSON to `out`.

    The result holds all trials, the maps from estimates to final losses, the compute saved, the best rate of each trial
    group (and whether it lies at the edge of the sweep), and the rule (`fit_lr_rule`). Trials of all batch sizes see
    equally many tokens. Where the best rate of a group lies at an end of the list, rates beyond it are tried
    (`beyond_the_edges`). The state lies beside `out` until then, so that a killed sweep goes on where it was. Raises
    ChemscaleError if every rate diverged, Interrupted after a signal to stop.
    """
    plan = settings.tune
    state = out.with_suffix(".trials")
    with one_writer(state):
        batches: list[int | None] = [*(plan.batch_tokens or [settings.training.batch_tokens])]
        trials = _known(settings, state) or [
            {"width": width, "batch_tokens": batch, "learning_rate": rate, "status": "waiting"}
            for width, batch, rate in itertools.product(plan.widths, batches, plan.learning_rates)
        ]
        while trial := _next(trials, plan.learning_rates):
            trial |= run_trial(settings, trial, state)
            write_json(state / "trials.json", {"settings": settings.to_json(), "trials": trials})
            shown = {name: trial[name] for name in ("tse", "tse_e", "validation_loss")}
            batch = f", batch {trial['batch_tokens']}" if len(batches) > 1 else ""
            LOG.info(f"width {trial['width']}{batch}, rate {trial['learning_rate']:g}: {trial['status']} {shown}")
        trials, performance = with_predictions(trials)
        result = {
            "family": settings.family,
            "batch_tokens": settings.training.batch_tokens,  # of the study
            "share": FIRST_SHARE,
            "trials": trials,
            **performance,
            "compute": compute_saved(trials),
            "best": [best_learning_rate(group) for group in groups_of(trials)],
            "rule": fit_lr_rule(trials),
        }
        write_json(out, result)
        shutil.rmtree(state)
    return result


def _next(trials: list[dict], rates: list[float]) -> dict | None:
    """Return the next trial to train; None at the end of the sweep.

    First come all first shares, then those that may win to their end, and then rates beyond an end of the list where
    the best one lies there.
    """
    waiting = next((trial for trial in trials if trial["status"] == "waiting"), None)
    trial = waiting or next_to_finish(trials)
    if trial is None and (added := beyond_the_edges(with_predictions(trials)[0], rates)):
        trials += added
        trial = added[0]
    return trial


def _known(settings: SweepSettings, state: Path) -> list[dict]:
    """Return the trials of an earlier attempt at this sweep; remove what another sweep has left."""
    path = state / "trials.json"
    known = read_json(path) if path.exists() else {}
    if known.get("settings") == settings.to_json():
        return known["trials"]
    shutil.rmtree(state)
    state.mkdir()
    write_json(path, {"settings": settings.to_json(), "trials": []})
    return []


def run_trial(settings: SweepSettings, trial: dict, state: Path) -> dict:
    """Train a waiting trial through its first share, a stopped one to its end; return what is now known of it.

    In two pieces it ends in the same bits as in one, since the schedule is that of the whole trial in both.
    """
    width, batch, rate = trial["width"], trial["batch_tokens"], trial["learning_rate"]
    directory = state / f"w{width}-b{batch}-lr{rate:g}"
    directory.mkdir(parents=True, exist_ok=True)
    attempts = Attempts(directory)
    task = make_task(settings.trial(width, rate, batch))
    training = task.settings.training
    # the rate of "plateau" falls upon evaluations, so that a trial needs those of a cell; patience enough for its end
    evaluations = training.evaluations if training.schedule == "plateau" else 1
    module = TrainingModule(task, Evaluation(evaluations, patience=evaluations), keep_losses=True)
    # trials of one width share what is compiled
    module.precision |= choose_compilation(task, len(settings.tune.learning_rates) * module.total_steps, directory)
    identity = cell_fingerprint(task)
    checkpointing = Checkpointing(directory, identity, CHECKPOINT_SECONDS, attempts)
    first = trial["status"] == "waiting"
    until = (round(FIRST_SHARE * module.total_steps) or 1) if first else None
    try:
        fit(module, checkpointing, newest_checkpoint(directory, identity), until)
        status = "stopped" if first else "finished"
    except NonFiniteLoss:
        status = "diverged"
    attempts.note()
    known = {"status": status, "flops": module.work[1].item(), "seconds": attempts.seconds, "validation_loss": None}
    if first:
        names = ("tse", "tse_e", "tse_ema")
        known |= dict.fromkeys(names)
        if status == "stopped":
            known |= estimates(np.array(module.read_losses()), len(task.rows) / task.examples_per_step)
    elif status == "finished":
        known["validation_loss"] = module.evaluation.best_loss
    return known
