"""Checkpoints of a training: when they are saved, and from which one the next attempt goes on.

They lie outside the outputs that Snakemake knows, since it deletes those at every start of a job.
"""

import logging
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chemscale.errors import ChemscaleError, Interrupted
from chemscale.training import distributed, slurm
from chemscale.training.attempts import Attempts

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from chemscale.training.loop import TrainingModule

LOG = logging.getLogger(__name__)

CHECKPOINTS_KEPT = 2  # the older one serves when the newest cannot be read
STEPS_BETWEEN_AGREEMENTS = 20  # several processes must agree to save, which costs them time at every step they ask


class Checkpointing:
    """Save the whole state every `interval` seconds, where a training pauses, and upon a signal to stop."""

    def __init__(self, directory: Path, identity: str, interval: float, attempts: Attempts):
        self.directory = directory
        self.identity = identity
        self.interval = interval
        self.attempts = attempts
        self.stop = StopSignal()

    def start(self) -> None:
        """Start the clock and take signals over from Lightning, which has set its own handlers by now."""
        self.stop.install()
        self.last = time.monotonic()

    def after_step(self, module: "TrainingModule") -> None:
        """Save if it is time to; raise Interrupted after a signal to stop."""
        trainer = module.trainer
        if trainer.should_stop or trainer.global_step >= module.total_steps:
            return  # finished: the record comes next
        pause = trainer.global_step == trainer.max_steps
        if distributed.processes() > 1 and not pause and trainer.global_step % STEPS_BETWEEN_AGREEMENTS:
            return
        stop = distributed.any_process(bool(self.stop))
        if distributed.any_process(stop or pause or time.monotonic() - self.last >= self.interval):
            module.require_finite()
            save_checkpoint(trainer, self.directory)
            self.attempts.note()
            self.last = time.monotonic()
        if stop:
            cause = "stopped by a signal" if self.stop.received else "stopped before the time limit"
            raise Interrupted(f"{cause}; state saved at step {trainer.global_step}")


class StopSignal:
    """True once SIGTERM, SIGUSR1 or SIGINT (Ctrl-C) has come, or shortly before the time limit of the Slurm job."""

    def __init__(self):
        self.received: int | None = None
        self.time: float | None = None

    def install(self) -> None:
        """Handle the signals and look up the time limit."""
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, self._handle)
        self.time = slurm.stop_time()

    def _handle(self, number: int, frame: object) -> None:
        self.received = number

    def __bool__(self) -> bool:
        return self.received is not None or (self.time is not None and time.time() > self.time)


def checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints in `directory`, newest first."""
    return sorted(directory.glob("step-*.ckpt"), key=lambda path: int(path.stem.split("-")[1]), reverse=True)


def save_checkpoint(trainer: "pl.Trainer", directory: Path) -> None:
    """Save the trainer's whole state under its step, and remove all but the newest checkpoints."""
    trainer.save_checkpoint(directory / f"step-{trainer.global_step}.ckpt")  # StateFiles writes it, in one process
    if distributed.first():
        for old in checkpoints(directory)[CHECKPOINTS_KEPT:]:
            old.unlink()


def newest_checkpoint(directory: Path, identity: str) -> Path | None:
    """Return the newest readable checkpoint of this cell, or None.

    Raises ChemscaleError for checkpoints of other settings, data or recipe: going on from them would give a model that
    no settings describe, and deleting them unasked could lose days of training.
    """
    from chemscale.training.state_file import read_state

    found = checkpoints(directory)
    for path in found:
        try:
            of = read_state(path)["identity"]
        except (ChemscaleError, OSError) as error:
            LOG.warning(f"{path}: unreadable ({error}); trying the one before")
            continue
        if of != identity:
            raise ChemscaleError(
                f"{directory}: its checkpoints belong to other settings, data or recipe\n"
                f"  (fingerprint {of[:12]}, this cell's is {identity[:12]});\n"
                f"  delete the directory to train from zero, or restore the settings to continue"
            )
        return path
    if found:
        LOG.warning(f"{directory}: no checkpoint can be read; training starts from zero")
    return None
