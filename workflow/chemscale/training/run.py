"""Train one cell from its settings to its record, whatever happens in between."""

import logging
import shutil
import time
from importlib import import_module
from pathlib import Path

import torch

from chemscale.files import fingerprint, read_json
from chemscale.training import distributed
from chemscale.training.callbacks import Checkpointing, Evaluation, NonFiniteLoss
from chemscale.training.checkpoints import Ledger, newest_checkpoint, one_writer
from chemscale.training.loop import Cell, fit
from chemscale.training.precision import device, settle_precision
from chemscale.training.record import finished, write_record
from chemscale.tuning.learning_rate_rule import rule_rate

LOG = logging.getLogger(__name__)

HALVINGS = 2  # of the learning rate after a non-finite loss, before the cell is given up
TASKS = {"language": "LanguageTask", "potential": "PotentialTask"}
WHERE = ("dataset", "tuning")  # settings that say where things lie, not what is trained


def make_task(settings: dict):
    """Task of the settings' arm, its weights drawn from the settings' seed."""
    torch.manual_seed(settings["seed"])
    module = import_module(f"chemscale.training.tasks.{settings['arm']}")
    return getattr(module, TASKS[settings["arm"]])(settings)


def resolve_learning_rate(settings: dict) -> dict:
    """Settings with a number for the learning rate, taken from the tuning file where they say "tuned"."""
    if settings["learning_rate"] != "tuned":
        return settings
    rule, batch_tokens = read_json(settings["tuning"])["rule"], settings["training"].get("batch_tokens")
    return settings | {"learning_rate": rule_rate(rule, settings["width"], batch_tokens)}


def train_cell(settings: dict, out: Path, checkpoints: Path, checkpoint_seconds: float = 60) -> dict:
    """Train the cell described by `settings`, write its record to `out`, and return its metrics.

    State goes to `checkpoints` every `checkpoint_seconds` and upon SIGTERM or SIGUSR1 (then raises Interrupted); the
    next call goes on from there. A non-finite loss goes back to the last checkpoint with half the learning rate, twice;
    after that the record says "failed", so that one lost cell never holds up the others.
    Raises ChemscaleError for unusable settings or data and for checkpoints of another cell.
    """
    settings = resolve_learning_rate(settings)
    startup = time.process_time()
    with one_writer(checkpoints):
        task = make_task(settings)
        identity = fingerprint({
            **{key: value for key, value in settings.items() if key not in WHERE},
            "data_identity": task.data_identity,
        })  # fmt: skip
        if finished(out, identity):
            LOG.info(f"{out}: already trained with these settings")
            return read_json(out / "metrics.json")
        ledger = Ledger(checkpoints)
        cell, evaluation, reason = _train(settings, task, checkpoints, identity, checkpoint_seconds, ledger)
        measured = {
            "status": "failed" if reason else "finished",
            "reason": reason,
            "halvings": ledger.halvings,
            "fingerprint": identity,
            "attempts": len(ledger.attempts),
        }
        if not reason:
            model = cell.task.model.to(device())
            model.load_state_dict(evaluation.best_weights)
            for split in cell.task.final_splits:
                measured |= {f"{split}_{name}": value for name, value in cell.task.evaluate(split).items()}
        ledger.note()
        measured |= {
            "wall_seconds": ledger.seconds,
            "device_seconds": ledger.seconds * distributed.processes(),
            "startup_cpu_seconds": startup,  # Python and imports
            "cpu_seconds": time.process_time(),  # of this attempt, start-up included
        }
        metrics = write_record(out, settings, cell, evaluation, measured)
        if distributed.first():
            shutil.rmtree(checkpoints)
    return metrics


def _train(settings: dict, task, checkpoints: Path, identity: str, checkpoint_seconds: float, ledger: Ledger):
    """Train to the end; return cell, evaluation and, if it could not be saved from non-finite losses, the reason."""
    training = settings["training"]
    while True:
        cell = Cell(task, ledger.halvings)
        cell.precision = settle_precision(task, cell.total_steps, checkpoints)
        evaluation = Evaluation(training["evaluations"], training["patience"], training.get("ema", 0.0))
        if ledger.halvings > HALVINGS:  # an earlier attempt had given up, but was killed before it could say so
            return cell, evaluation, _reason(ledger)
        checkpointing = Checkpointing(checkpoints, identity, checkpoint_seconds, ledger)
        resume = newest_checkpoint(checkpoints, identity)
        if resume:
            LOG.info(f"going on from {resume}")
        try:
            fit(cell, evaluation, checkpointing, resume)
            return cell, evaluation, None
        except NonFiniteLoss as error:
            ledger.non_finite(error.step)
            if ledger.halvings > HALVINGS:
                return cell, evaluation, _reason(ledger)
            LOG.warning(f"{error}; learning rate halved, back to the last checkpoint")
            task = make_task(settings)  # fresh weights, in case there is no checkpoint to go back to


def _reason(ledger: Ledger) -> str:
    steps = ", ".join(f"{step:,}" for step in ledger.non_finite_steps)
    return f"loss not finite at steps {steps}, the learning rate being halved between the tries"
