"""What survives a kill: checkpoints, the ledger of attempts, and the lock that keeps one writer a cell.

All of it lives in one directory outside the outputs Snakemake knows, which it deletes at every start of a job.
"""

import fcntl
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, read_json, write_json
from chemscale.training import distributed

LOG = logging.getLogger(__name__)

KEPT = 2  # checkpoints; the older one serves when the newest cannot be read


class Interrupted(Exception):
    """The scheduler asked to stop; the state is saved and the next attempt goes on from it."""


def checkpoints(directory: Path) -> list[Path]:
    """Checkpoints in `directory`, newest first."""
    return sorted(directory.glob("step-*.ckpt"), key=lambda path: int(path.stem.split("-")[1]), reverse=True)


def save_checkpoint(trainer, directory: Path, identity: str) -> None:
    """Save the trainer's whole state under its step, atomically, and drop all but the newest."""
    path = directory / f"step-{trainer.global_step}.ckpt"
    if not distributed.first():
        trainer.save_checkpoint(path)  # writes nothing here, and waits for the process that does
        return
    write_json(directory / "identity.json", {"identity": identity})
    with atomic(path) as temporary:
        trainer.save_checkpoint(temporary)
    for old in checkpoints(directory)[KEPT:]:
        old.unlink()


def newest_checkpoint(directory: Path, identity: str) -> Path | None:
    """The newest readable checkpoint of this very cell, or None.

    Raises ChemscaleError for checkpoints of other settings, data or recipe: continuing from them would give a model
    that no settings describe, deleting them unasked could lose days of training.
    """
    import torch

    for path in checkpoints(directory):
        found = read_json(directory / "identity.json")["identity"]
        if found != identity:
            raise ChemscaleError(
                f"{directory}: its checkpoints belong to other settings, data or recipe\n"
                f"  (theirs {found[:12]}, this cell's {identity[:12]}).\n"
                f"  Delete the directory to train anew, or restore the settings to continue."
            )
        try:
            torch.load(path, map_location="cpu", weights_only=False)
        except Exception as error:  # a damaged file can fail in any of pickle's, zipfile's and torch's ways
            LOG.warning(f"{path}: unreadable ({error}); trying the one before")
            continue
        return path
    return None


@contextmanager
def one_writer(directory: Path) -> Iterator[None]:
    """Hold the lock of a cell's state; wait while another process has it. The kernel frees it even after kill -9.

    The lock lies beside `directory`, which is deleted at the end: a lock within it would no longer lock anyone out.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not distributed.first():  # the first process holds it for all
        yield
        return
    with open(directory.with_name(f"{directory.name}.lock"), "a+") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                lock.seek(0)
                LOG.info(f"{directory}: another process trains this cell ({lock.read()}); waiting")
                time.sleep(5)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


class Ledger:
    """Seconds of training over all attempts, kept on disk so that a kill loses no more than the last interval."""

    def __init__(self, directory: Path):
        self.path = directory / "attempts.json"
        self.attempts = read_json(self.path) if self.path.exists() else []
        self.attempts.append({"host": socket.gethostname(), "started": time.time(), "seconds": 0.0})
        self.start = time.monotonic()

    def note(self) -> None:
        """Write down how long this attempt has run."""
        self.attempts[-1]["seconds"] = time.monotonic() - self.start
        if distributed.first():
            write_json(self.path, self.attempts)

    def non_finite(self, step: int) -> None:
        """Write down that the loss became non-finite at `step`: the next try halves the learning rate."""
        self.attempts[-1].setdefault("non_finite_at", []).append(step)
        self.note()

    @property
    def halvings(self) -> int:
        """How often the learning rate was halved, over all attempts."""
        return len(self.non_finite_steps)

    @property
    def non_finite_steps(self) -> list[int]:
        """Steps at which the loss became non-finite, over all attempts."""
        return [step for attempt in self.attempts for step in attempt.get("non_finite_at", [])]

    @property
    def seconds(self) -> float:
        """Wall seconds of all attempts as last noted."""
        return sum(attempt["seconds"] for attempt in self.attempts)


class StopSignal:
    """True once SIGTERM or SIGUSR1 has come: what Slurm sends before a time limit or a preemption."""

    def __init__(self):
        self.received: int | None = None

    def install(self) -> None:
        """Take the two signals over; to be called after Lightning has set its own handlers."""
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame) -> None:
        self.received = number

    def __bool__(self) -> bool:
        return self.received is not None
