"""The attempts at a training, which may be killed and started again: their log."""

import logging
import socket
import time
from pathlib import Path
from typing import Any

from chemscale.errors import ChemscaleError
from chemscale.files import read_json, write_json
from chemscale.training import distributed

LOG = logging.getLogger(__name__)


class Attempts:
    """Log of all attempts, kept on disk: where and how long each trained, and at which steps its loss broke down.

    A kill loses no more than what came after the last `note`.
    """

    def __init__(self, directory: Path):
        self.path = directory / "attempts.json"
        self.log = self._read()
        self.log.append({"host": socket.gethostname(), "started": time.time(), "seconds": 0.0})
        self.start = time.monotonic()

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        try:
            return list(read_json(self.path))
        except ChemscaleError as error:  # cut off by a crash of the machine; the checkpoints may be whole
            LOG.warning(f"{error}; the log of earlier attempts is lost, their checkpoints count")
            return []

    def note(self) -> None:
        """Write down how long this attempt has run."""
        self.log[-1]["seconds"] = time.monotonic() - self.start
        if distributed.first():
            write_json(self.path, self.log)

    def note_non_finite(self, step: int) -> None:
        """Write down that the loss became non-finite at `step`; the learning rate is halved from then on."""
        self.log[-1].setdefault("non_finite_at", []).append(step)
        self.note()

    @property
    def halvings(self) -> int:
        """How often the learning rate was halved, over all attempts."""
        return len(self.non_finite_steps)

    @property
    def non_finite_steps(self) -> list[int]:
        """Steps at which the loss became non-finite, over all attempts."""
        return [step for attempt in self.log for step in attempt.get("non_finite_at", [])]

    @property
    def seconds(self) -> float:
        """Wall seconds of all attempts as last noted."""
        return sum(attempt["seconds"] for attempt in self.log)
