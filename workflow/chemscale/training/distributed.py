"""Several processes that train one model: who this one is, and what they must agree on.

`torchrun` and `srun` start them and say so in the environment; torch's process group joins them when training begins.
Before that, and in a single process, every function here answers at once.
"""

import os

import torch
from torch import Tensor, distributed


def rank() -> int:
    """Number of this process among all, over all nodes; the first one writes."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) if processes() > 1 else 0


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_NTASKS", 1)))


def first() -> bool:
    """Whether this is the process that writes files and speaks."""
    return rank() == 0


def summed(values: Tensor) -> Tensor:
    """`values` added over all processes."""
    if not distributed.is_initialized():
        return values
    # NCCL sums on GPUs only, Gloo on CPUs
    total = values.to("cuda" if distributed.get_backend() == "nccl" else "cpu", copy=True)
    distributed.all_reduce(total)
    return total.to(values.device)


def any_process(flag: bool) -> bool:
    """Whether `flag` is set in at least one process; all of them have to ask."""
    return bool(summed(torch.tensor(int(flag)))) if distributed.is_initialized() else flag
