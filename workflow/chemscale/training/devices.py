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
def gpus(count: int | None, single_thread: bool = True) -> Iterator[None]:
    """Give the block `count` free GPUs of this machine and one thread; enter it before torch is imported.

    With 0 the block stays on the CPU; None is one GPU where there is one. A small model on a CPU is fastest on one
    thread; `single_thread=False` leaves the threads to torch. Raises ChemscaleError if the machine, or the job of a
    scheduler, has fewer GPUs. Without a scheduler a machine without GPUs serves as well, which is said: there, no time
    limit counts on them.
    """
    if single_thread:
        one_thread()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if count == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif count is not None:
        _require_gpus(count)
    locks = lease_gpus(1 if count is None else count) if count != 0 else []
    try:
        yield
    finally:
        for lock in locks:
            lock.close()
        if visible is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible


def _require_gpus(count: int) -> None:
    """Raise ChemscaleError in a job of Slurm that asked for GPUs and has none; elsewhere say so."""
    if _installed_gpus() or Path("/dev/kfd").exists():  # of NVIDIA, of AMD
        return
    if "SLURM_JOB_ID" in os.environ:
        raise ChemscaleError(
            f"--gpus {count}: this job has no GPU, and its time limit counts on one; check that its partition has GPUs "
            "(profiles/slurm/README.md), or ask for --gpus 0"
        )
    LOG.warning(f"--gpus {count}: this machine has no GPU; going on with the CPU, which takes longer")


def _installed_gpus() -> list[str]:
    """Return the numbers of this machine's GPUs that the driver lists."""
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(lines))] if listed.returncode == 0 else []


def lease_gpus(count: int) -> list[TextIO]:
    """Make `count` free GPUs of this machine the only visible ones; return their locks, which last until closed.

    Where CUDA_VISIBLE_DEVICES names more GPUs, they are leased among those; where it names `count`, a scheduler has
    chosen, and nothing is leased. Neither is it in processes started by `torchrun` or `srun`, whose GPUs have been
    chosen, nor without GPUs. A lease is a locked file, which the kernel frees even after kill -9. Raises ChemscaleError
    if fewer GPUs are there.
    """
    preset = os.environ.get("CUDA_VISIBLE_DEVICES")
    if "WORLD_SIZE" in os.environ or not (shutil.which("nvidia-smi") or Path("/dev/kfd").exists()):
        return []
    devices = _installed_gpus() if preset is None else [name.strip() for name in preset.split(",") if name.strip()]
    if 0 < len(devices) < count:
        where = "" if preset is None else f" in CUDA_VISIBLE_DEVICES = {preset}"
        raise ChemscaleError(f"--gpus {count}: only {len(devices)} GPUs available{where}; ask for at most that many")
    if not devices or (preset is not None and len(devices) == count):
        return []
    # jobs of a scheduler may number their GPUs from 0 each
    owner = f"{os.getuid()}-{os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else str(os.getuid())
    return lease(devices, Path(tempfile.gettempdir()) / f"chemscale-gpus-{owner}", count)


def lease(devices: list[str], directory: Path, count: int = 1, seconds_between_tries: float = 15) -> list[TextIO]:
    """Lock files of `count` of `devices` in `directory`, waiting while too many are locked; make these GPUs visible."""
    directory.mkdir(exist_ok=True)
    while True:
        held = {}
        for device in devices:
            name = "".join(character if character.isalnum() else "-" for character in device)
            lock = open(directory / f"gpu-{name}", "w")  # noqa: SIM115, open as long as it is leased
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            held[device] = lock
            os.set_inheritable(lock.fileno(), True)  # when the process becomes torchrun, it keeps its devices
            if len(held) == count:
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held)
                return list(held.values())
        for lock in held.values():  # all or none: two processes that hold half each would wait for ever
            lock.close()
        LOG.info(f"{count} of {len(devices)} GPUs requested, too many are in use; waiting")
        time.sleep(seconds_between_tries)
