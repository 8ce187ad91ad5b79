"""One GPU for each training on a machine with several.

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


def settle_device(gpus: int) -> object | None:
    """Hide all GPUs if `gpus` is 0, else lease one where there are any; to be called before torch is imported."""
    if gpus:
        return lease_gpu()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return None


def lease_gpu() -> object | None:
    """Make one free GPU of this machine the only visible one until the process ends; None if there is nothing to do.

    Nothing is to do without GPUs, and where a scheduler has already set CUDA_VISIBLE_DEVICES. The lease is a locked
    file, which the kernel frees even after kill -9. To be called before torch is imported; keep what it returns.
    """
    if "CUDA_VISIBLE_DEVICES" in os.environ or not shutil.which("nvidia-smi"):
        return None
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    devices = sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0
    return lease(devices, Path(tempfile.gettempdir()) / f"chemscale-gpus-{os.getuid()}") if devices else None


def lease(devices: int, directory: Path, seconds_between_tries: float = 15) -> object:
    """Lock one of `devices` files in `directory`, waiting while all are taken, and export its number."""
    directory.mkdir(exist_ok=True)
    while True:
        for device in range(devices):
            lock = open(directory / f"gpu-{device}", "w")  # noqa: SIM115, open as long as it is leased
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            os.environ["CUDA_VISIBLE_DEVICES"] = str(device)
            return lock
        print(f"all {devices} GPUs of this machine are leased; waiting for one", file=sys.stderr)
        time.sleep(seconds_between_tries)
