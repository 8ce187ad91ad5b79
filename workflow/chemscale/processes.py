"""What this process and those it starts are given: threads, the search path of commands, an end with their parent."""

import multiprocessing
import os
import sys
import threading
from pathlib import Path


def one_thread() -> None:
    """Keep this process to one thread; to be called before torch is imported.

    Tiny models lose by threads: two of them on shared cores wait for each other, and Snakemake fills the cores with
    jobs anyway. Snakemake exports OMP_NUM_THREADS itself, so the values are set and not defaulted.
    """
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0")


def end_with_parent() -> None:
    """Without this, workers of a killed process wait for ever, or write into the directory of its successor."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def put_verbs_on_path() -> None:
    """Let `chemscale`, `papermill` and `snakemake` be found beside the Python that runs, activated or not."""
    beside = str(Path(sys.executable).parent)
    if beside not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = beside + os.pathsep + os.environ["PATH"]
