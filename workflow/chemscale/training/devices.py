"""GPUs and threads of a process: each process on a machine with several GPUs leases its own.

Snakemake counts GPUs but does not assign them: without a lease all jobs of one machine would land on device 0.
"""

import fcntl
import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from chemscale.errors import ChemscaleError
from chemscale.processes import one_thread

LOG = logging.getLogger(__name__)


def device() -> str:
    """Return where models run: "cuda", the first visible GPU, or else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def gpus(count: int, single_thread: bool = True) -> Iterator[None]:
    """Give the block `count` free GPUs of this machine and one thread; enter it before torch is imported.

    With 0 the block stays on the CPU; on a machine without GPUs it does so whatever the count. A small model on a CPU
    is fastest on one thread; `single_thread=False` leaves the threads to torch. Raises ChemscaleError if the machine
    has fewer GPUs.
    """
    if single_thread:
        one_thread()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if count == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    locks = lease_gpus(count) if count else []
    try:
        yield
    finally:
        for lock in locks:
            lock.close()
        if visible is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible


def lease_gpus(count: int) -> list[TextIO]:
    """Make `count` free GPUs of this machine the only visible ones; return their locks, which last until closed.

    Nothing is leased without GPUs, where a scheduler has already set CUDA_VISIBLE_DEVICES, and in processes started by
    `torchrun` or `srun`, whose GPUs have been chosen. A lease is a locked file, which the kernel frees even after
    kill -9. Raises ChemscaleError if the machine has fewer GPUs.
    """
    if {"CUDA_VISIBLE_DEVICES", "WORLD_SIZE"} & set(os.environ) or not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    devices = sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0
    if 0 < devices < count:
        raise ChemscaleError(f"--gpus {count}: only {devices} GPUs available; ask for at most that many")
    return lease(devices, Path(tempfile.gettempdir()) / f"chemscale-gpus-{os.getuid()}", count) if devices else []


def lease(devices: int, directory: Path, count: int = 1, seconds_between_tries: float = 15) -> list[TextIO]:
    """Lock `count` of `devices` files in `directory`, waiting while too many are locked; make these GPUs visible."""
    directory.mkdir(exist_ok=True)
    while True:
        held = {}
        for device in range(devices):
            lock = open(directory / f"gpu-{device}", "w")  # noqa: SIM115, open as long as it is leased
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            held[device] = lock
            os.set_inheritable(lock.fileno(), True)  # when the process becomes torchrun, it keeps its devices
            if len(held) == count:
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, held))
                return list(held.values())
        for lock in held.values():  # all or none: two processes that hold half each would wait for ever
            lock.close()
        LOG.info(f"{count} of {devices} GPUs requested, too many are in use; waiting")
        time.sleep(seconds_between_tries)
