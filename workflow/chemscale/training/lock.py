"""One process at a time trains a cell: a lock that also works where the file system has none of its own."""

import errno
import fcntl
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chemscale.training import distributed

LOG = logging.getLogger(__name__)

SECONDS_BETWEEN_TRIES = 5.0
NO_FLOCK = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # such as Lustre mounted without it
SECONDS_BETWEEN_SIGNS = 30.0  # of life, where a file stands for the lock
SECONDS_WITHOUT_SIGN = 300.0  # after which its owner is taken for dead


@contextmanager
def one_writer(directory: Path) -> Iterator[None]:
    """Hold the lock of a cell's state; wait while another process has it. The kernel frees it even after kill -9.

    The lock lies beside `directory`, which is deleted at the end: a lock within it would no longer lock anyone out.
    On a file system without locks a file stands for it, which its owner touches every half minute.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not distributed.first():  # the first process holds it for all
        yield
        return
    path = directory.with_name(f"{directory.name}.lock")
    with open(path, "a+") as lock:
        locked = _flock(lock, directory)
        if locked:
            lock.truncate(0)
            lock.write(_myself())
            lock.flush()
            yield
    if not locked:
        with _held_file(path.with_name(f"{path.name}.held"), directory):
            yield


def _flock(lock, directory: Path) -> bool:
    """Lock an open file, waiting for it; return False where the file system has no locks."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            lock.seek(0)
            _wait(directory, lock.read())
        except OSError as error:
            if error.errno not in NO_FLOCK:
                raise
            return False


@contextmanager
def _held_file(path: Path, directory: Path) -> Iterator[None]:
    """Hold a lock that is the existence of a file, with signs of life from a thread of this process."""
    while True:
        try:
            with open(path, "x") as held:
                held.write(_myself())
            break
        except FileExistsError:
            with suppress(FileNotFoundError):  # freed meanwhile
                owner = path.read_text()
                if _dead(path, owner):
                    LOG.info(f"{directory}: {owner or 'another process'} held this cell and gives no sign of life")
                    path.unlink()
                else:
                    _wait(directory, owner)
    over = threading.Event()

    def give_signs() -> None:
        while not over.wait(SECONDS_BETWEEN_SIGNS):
            with suppress(OSError):
                os.utime(path)

    signs = threading.Thread(target=give_signs, daemon=True)
    signs.start()
    try:
        yield
    finally:
        over.set()
        signs.join()
        path.unlink(missing_ok=True)


def _dead(path: Path, owner: str) -> bool:
    """Return whether the owner of a lock file has ended: its process, if it ran here, or else its signs of life."""
    words = owner.split()
    if len(words) == 4 and words[3] == socket.gethostname():
        return not Path(f"/proc/{words[1]}").exists()
    return time.time() - path.stat().st_mtime > SECONDS_WITHOUT_SIGN


def _myself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _wait(directory: Path, owner: str) -> None:
    LOG.info(f"{directory}: another process trains this cell ({owner}); waiting")
    time.sleep(SECONDS_BETWEEN_TRIES)
