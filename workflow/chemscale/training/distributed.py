"""Several processes that train one model: who this one is, and what they must agree on.

`torchrun` and `srun` start them and say so in the environment; torch's process group joins them when training begins.
Before that, and in a single process, every function here answers at once.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def processes() -> int:
    """How many processes train together."""
    # SLURM_NTASKS is no sign of them: it is what an allocation was asked for, in which one process may well be alone
    return int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_STEP_NUM_TASKS", 1)))


def nodes() -> int:
    """On how many machines they are."""
    return int(os.environ.get("GROUP_WORLD_SIZE", os.environ.get("SLURM_STEP_NUM_NODES", 1)))


def rank() -> int:
    """Number of this process among all, over all nodes; the first one writes."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) if processes() > 1 else 0


def first() -> bool:
    """Whether this is the process that writes files and speaks."""
    return rank() == 0


def summed(values: "Tensor") -> "Tensor":
    """`values` added over all processes."""
    from torch import distributed

    if not distributed.is_initialized():
        return values
    # NCCL sums on GPUs only, Gloo on CPUs
    total = values.to("cuda" if distributed.get_backend() == "nccl" else "cpu", copy=True)
    distributed.all_reduce(total)
    return total.to(values.device)


def any_process(flag: bool) -> bool:
    """Whether `flag` is set in at least one process; all of them have to ask."""
    import torch

    return bool(summed(torch.tensor(int(flag)))) if torch.distributed.is_initialized() else flag
