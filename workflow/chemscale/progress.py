"""Show the progress of long work: a bar on a terminal, one line per interval in a log."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOG = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 15


@contextmanager
def progress(total: int, what: str, unit: str = "") -> Iterator[Callable[..., None]]:
    """Yield `tick(n=1, note="")`, to be called after every `n` pieces of work out of `total`.

    `what` names the work ("labels") and `unit` its pieces ("geometries"); `note` is shown at the end of the line.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=what, unit=f" {unit}", file=sys.stderr) as bar:

            def advance(n: int = 1, note: str = "") -> None:
                bar.set_postfix_str(note, refresh=False)
                bar.update(n)

            yield advance
        return

    start = last = time.monotonic()
    done = 0

    def tick(n: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if done >= total or now - last >= SECONDS_BETWEEN_LINES:
            last = now
            LOG.info(f"{what}: {done:,}/{total:,} {unit} in {now - start:.0f} s {note}".rstrip())

    yield tick
