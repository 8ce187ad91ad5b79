"""Progress of long work: a bar on a terminal, one clean line per interval in a log."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOG = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 15


@contextmanager
def progress(total: int, what: str, unit: str = "") -> Iterator:
    """Yield `tick(n=1, note="")`, to be called after each `n` pieces of work out of `total`.

    `what` names the work ("labels"), `unit` its pieces ("geometries"); `note` shows at the end of the line.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=what, unit=f" {unit}", file=sys.stderr) as bar:

            def tick(n: int = 1, note: str = "") -> None:
                bar.set_postfix_str(note, refresh=False)
                bar.update(n)

            yield tick
        return

    start = last = time.monotonic()
    done = 0

    def line(note: str) -> None:
        seconds = time.monotonic() - start
        LOG.info(f"{what}: {done:,}/{total:,} {unit} in {seconds:.0f} s {note}".rstrip())

    def tick(n: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += n
        if done >= total or time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            line(note)

    yield tick
