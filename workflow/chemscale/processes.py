"""Threads, environment and worker processes: what a process sets up for itself and for those it starts.

Nothing here imports a heavy library, since the Snakefile and every command start with it.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")


def one_thread() -> None:
    """Restrict numerical libraries of this process to one thread; call it before torch is imported.

    Tiny models lose by threads: two of them on shared cores wait for each other, and Snakemake fills the cores with
    jobs anyway. Snakemake exports OMP_NUM_THREADS itself, so the values are set and not defaulted.
    """
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0")


def spawn_map(function: Callable[..., Result], tasks: Iterable[tuple], workers: int) -> Iterator[Result]:
    """Yield `function(*task)` for each task, in order, computed by up to `workers` processes.

    One worker is this process itself. Tasks are taken from their iterable a few ahead of the results, so that a lazy
    one never lies in memory as a whole. `function` and the tasks must be picklable.
    """
    if workers <= 1:
        yield from (function(*task) for task in tasks)
        return
    from concurrent.futures import Future, ProcessPoolExecutor
    from multiprocessing import get_context

    running: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=end_with_parent) as pool:
        for task in tasks:
            running.append(pool.submit(function, *task))
            if len(running) > 2 * workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def end_with_parent() -> None:
    """End this worker process when its parent ends.

    Otherwise the workers of a killed process would wait for ever, or write into the directory of its successor.
    """
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def put_commands_on_path() -> None:
    """Let shells find `chemscale`, `papermill` and `snakemake` of the running Python, activated or not."""
    commands = str(Path(sys.executable).parent)
    if commands not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = commands + os.pathsep + os.environ["PATH"]
