"""One training on several GPUs of a machine: torchrun, started by the verb itself."""

import os
import sys
from pathlib import Path

from chemscale.files import write_json
from chemscale.training import distributed


def launched() -> bool:
    """Whether `torchrun` or `srun` has already started this process as one of several."""
    return "WORLD_SIZE" in os.environ or distributed.processes() > 1


def become_torchrun(processes: int, settings: dict, state: Path, arguments: list[str]) -> None:
    """Replace this process by `processes` that run `chemscale train` with `arguments`; it does not return.

    The settings go to a file in `state`, since standard input can be read once only.
    """
    path = state / "settings.json"
    write_json(path, settings)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    os.execv(sys.executable, [sys.executable, *torchrun, "-m", "chemscale.cli", "train", str(path), *arguments])
