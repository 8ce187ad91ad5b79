"""GPUs of its own for each training on a machine with several.

Snakemake counts GPUs but hands none out: without a lease all jobs of one machine would land on device 0.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chemscale.errors import ChemscaleError


def settle_device(gpus: int) -> object | None:
    """Hide all GPUs if `gpus` is 0, else lease as many where there are any; to be called before torch is imported."""
    if gpus:
        return lease_gpus(gpus)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return None


def lease_gpus(count: int) -> object | None:
    """Make `count` free GPUs of this machine the only visible ones until the process ends; None if there is no need.

    There is none without GPUs, where a scheduler has already set CUDA_VISIBLE_DEVICES, and in the processes of
    `torchrun` or `srun`, for whom it is done by then. The leases are locked files, which the kernel frees even after
    kill -9. To be called before torch is imported; keep what it returns. ChemscaleError if the machine has fewer.
    """
    if {"CUDA_VISIBLE_DEVICES", "WORLD_SIZE"} & set(os.environ) or not shutil.which("nvidia-smi"):
        return None
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    devices = sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0
    if 0 < devices < count:
        raise ChemscaleError(f"--gpus {count}: this machine has {devices}; right would be at most that")
    return lease(devices, Path(tempfile.gettempdir()) / f"chemscale-gpus-{os.getuid()}", count) if devices else None


def lease(devices: int, directory: Path, count: int = 1, seconds_between_tries: float = 15) -> list:
    """Lock `count` of `devices` files in `directory`, waiting while too many are taken, and export their numbers."""
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
        for lock in held.values():  # all or none: two that hold a half each would wait for ever
            lock.close()
        print(f"{count} of {devices} GPUs asked for, too many are leased; waiting", file=sys.stderr)
        time.sleep(seconds_between_tries)
