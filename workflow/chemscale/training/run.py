"""Train one cell from its settings to its record, whatever happens in between."""

import logging
import shutil
import time
from pathlib import Path
from typing import Any

from chemscale.config.cell_settings import CellSettings
from chemscale.files import fingerprint, read_json, require_writable
from chemscale.training import CHECKPOINT_SECONDS, distributed
from chemscale.training.attempts import Attempts
from chemscale.training.checkpoints import Checkpointing, newest_checkpoint
from chemscale.training.compilation import choose_compilation
from chemscale.training.devices import device
from chemscale.training.evaluation import Evaluation, NonFiniteLoss
from chemscale.training.lock import one_writer
from chemscale.training.loop import TrainingModule, fit
from chemscale.training.precision import choose_precision
from chemscale.training.record import finished, write_record
from chemscale.training.tasks import Task, make_task

LOG = logging.getLogger(__name__)

MAX_HALVINGS = 2  # of the learning rate after non-finite losses, before the cell is given up
PATHS = ("dataset", "tuning")  # settings that say where things lie, not what is trained


def cell_fingerprint(task: Task) -> str:
    """Return the hash of all that decides the result of a training: settings, data and recipe."""
    settings = {key: value for key, value in task.settings.to_json().items() if key not in PATHS}
    return fingerprint(settings | {"data_identity": task.data_identity})


def train_cell(
    settings: CellSettings, out: Path, checkpoints: Path, checkpoint_seconds: float = CHECKPOINT_SECONDS
) -> dict:
    """Train the cell described by `settings`, write its record to `out`, and return its metrics.

    The learning rate must be a number (`chemscale.tuning.learning_rate_rule.resolve_learning_rate` looks up "tuned").
    State goes to `checkpoints` every `checkpoint_seconds` and upon SIGTERM or SIGUSR1 (then raises Interrupted); the
    next call goes on from there. A non-finite loss goes back to the last checkpoint with half the learning rate, twice;
    after that the record says "failed", so that one lost cell never holds up the others.
    Raises ChemscaleError for unusable settings or data and for checkpoints of another cell.
    """
    startup = time.process_time()
    for directory in (out, checkpoints) if distributed.first() else ():
        require_writable(directory)
    with one_writer(checkpoints):
        task = make_task(settings)
        identity = cell_fingerprint(task)
        if finished(out, identity):
            LOG.info(f"{out}: already trained with these settings")
            return read_json(out / "metrics.json")
        attempts = Attempts(checkpoints)
        module, reason = _train(task, checkpoints, identity, checkpoint_seconds, attempts)
        measured: dict[str, Any] = {
            "status": "failed" if reason else "finished",
            "reason": reason,
            "halvings": attempts.halvings,
            "fingerprint": identity,
            "attempts": len(attempts.log),
        }
        if not reason:
            model = module.task.model.to(device())
            model.load_state_dict(module.evaluation.best_weights)
            for split in module.task.final_splits:
                measured |= {f"{split}_{name}": value for name, value in module.task.evaluate(split).items()}
        attempts.note()
        measured |= {
            "wall_seconds": attempts.seconds,
            "device_seconds": attempts.seconds * distributed.processes(),
            "startup_cpu_seconds": startup,  # Python and imports
            "cpu_seconds": time.process_time(),  # of this attempt, start-up included
        }
        metrics = write_record(out, module, measured)
        if distributed.first():
            shutil.rmtree(checkpoints, ignore_errors=True)  # a file in use, or a mount point, costs no finished cell
    return metrics


def _train(
    task: Task, checkpoints: Path, identity: str, checkpoint_seconds: float, attempts: Attempts
) -> tuple[TrainingModule, str | None]:
    """Train to the end; return the module and, if its losses stayed non-finite, the reason why it failed."""
    training = task.settings.training
    while True:
        evaluation = Evaluation(training.evaluations, training.patience, training.ema)
        module = TrainingModule(task, evaluation, attempts.halvings)
        module.precision = choose_precision(task, module.total_steps, checkpoints)
        module.precision |= choose_compilation(task, module.total_steps, checkpoints)
        if attempts.halvings > MAX_HALVINGS:  # an earlier attempt had given up, but was killed before it could say so
            break
        checkpointing = Checkpointing(checkpoints, identity, checkpoint_seconds, attempts)
        resume = newest_checkpoint(checkpoints, identity)
        if resume:
            LOG.info(f"going on from {resume}")
        try:
            fit(module, checkpointing, resume)
            return module, None
        except NonFiniteLoss as error:
            attempts.note_non_finite(error.step)
            if attempts.halvings > MAX_HALVINGS:
                break
            LOG.warning(f"{error}; learning rate halved, back to the last checkpoint")
            task = make_task(task.settings)  # fresh weights, in case there is no checkpoint to go back to
    steps = ", ".join(f"{step:,}" for step in attempts.non_finite_steps)
    return module, f"loss not finite at steps {steps}, the learning rate being halved between the tries"
