"""Several processes that train one model: how they are started, which one this is, and what they must agree on.

`torchrun` and `srun` start them and say so in the environment; torch's process group joins them when training begins.
Before that, and in a single process, every function here answers at once.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chemscale.files import write_json

if TYPE_CHECKING:
    from torch import Tensor


def processes() -> int:
    """Return how many processes train together."""
    # SLURM_NTASKS does not say: it is the size of an allocation, in which a single process may run
    return int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_STEP_NUM_TASKS", 1)))


def nodes() -> int:
    """Return how many machines they run on."""
    return int(os.environ.get("GROUP_WORLD_SIZE", os.environ.get("SLURM_STEP_NUM_NODES", 1)))


def rank() -> int:
    """Return the number of this process among all, over all nodes."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) if processes() > 1 else 0


def first() -> bool:
    """Return whether this is the process that writes files and reports."""
    return rank() == 0


def summed(values: "Tensor") -> "Tensor":
    """Return `values` added over all processes."""
    from torch import distributed

    if not distributed.is_initialized():
        return values
    # NCCL sums on GPUs only, Gloo on CPUs
    total = values.to("cuda" if distributed.get_backend() == "nccl" else "cpu", copy=True)
    distributed.all_reduce(total)
    return total.to(values.device)


def any_process(flag: bool) -> bool:
    """Return whether `flag` is set in at least one process; all of them have to ask."""
    import torch

    return bool(summed(torch.tensor(int(flag)))) if torch.distributed.is_initialized() else flag


def launched() -> bool:
    """Return whether `torchrun` or `srun` has already started this process as one of several."""
    return "WORLD_SIZE" in os.environ or processes() > 1


def exec_torchrun(count: int, settings: dict, state: Path, arguments: list[str]) -> None:
    """Replace this process by `count` that run `chemscale train` with `arguments`; it does not return.

    The settings go to a file in `state`, since standard input can be read once only.
    """
    path = state / "settings.json"
    write_json(path, settings)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    os.execv(sys.executable, [sys.executable, *torchrun, "-m", "chemscale.cli", "train", str(path), *arguments])
