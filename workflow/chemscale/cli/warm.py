"""Commands without their start-up: a warm process has the libraries imported, and forks a child for every command.

A study trains many small models, and importing torch and Lightning takes seconds each time. Snakemake's main process
names a socket in CHEMSCALE_WARM (`offer`). The first command runs by itself, and so does the second, which also starts
the warm process: a cluster's job of one training has no use for it. Later commands hand over their arguments,
environment, folder and standard streams, wait for the child, pass signals on to it, and end as it ends. The warm
process ends with the Snakemake process; it computes nothing and never touches a GPU. Whatever goes wrong before a child
runs, the command runs by itself.
"""

import atexit
import contextlib
import importlib
import itertools
import json
import os
import selectors
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from chemscale.processes import one_thread

VARIABLE = "CHEMSCALE_WARM"
COMMANDS = ("train", "evaluate", "generate", "simulate", "tune")  # with `--gpus 0`, as a GPU allows no fork
IMPORTED = (
    "cli",
    "tuning.sweep",
    "training.run",
    "training.tasks.language",
    "training.tasks.potential",
    "models.chemgpt.network",
    "models.schnet.network",
    "models.painn.network",
)
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
STREAMS = 3
CHECK_SECONDS = 2.0  # between looks whether the owner lives
MAX_REQUEST = 1 << 20  # bytes; the kernel's limit on arguments and environment is of this order


def offer() -> None:
    """Name a socket for the commands that this process starts; it is private to the user."""
    folder = Path(tempfile.gettempdir()) / f"chemscale-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        for left in folder.glob("warm-*"):
            if not _alive(_owner(left)):
                left.unlink(missing_ok=True)
        os.environ[VARIABLE] = str(folder / f"warm-{os.getpid()}")


def run_warm(arguments: list[str]) -> int | None:
    """Run a command in a child of the warm process and return its exit code; None if it has to run by itself."""
    path = os.environ.get(VARIABLE)
    if not path or not _suits(arguments) or not _private(Path(path).parent):
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:  # nobody listens yet
        _start(path)
        return None
    with connection:
        return _hand_over(connection, arguments)


def _suits(arguments: list[str]) -> bool:
    on_cpu = ("--gpus", "0") in itertools.pairwise(arguments)
    alone = "WORLD_SIZE" not in os.environ and os.environ.get("OMP_NUM_THREADS", "1") == "1"
    return bool(arguments) and arguments[0] in COMMANDS and on_cpu and alone


def _private(folder: Path) -> bool:
    """Return whether only this user can put a socket there."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _start(path: str) -> None:
    """Start the warm process if this is the second command; it takes some seconds until it listens."""
    with contextlib.suppress(OSError):
        if _first(f"{path}.one") or not _first(f"{path}.two"):
            return
        subprocess.Popen(
            [sys.executable, "-m", "chemscale.cli.warm", path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def _first(mark: str) -> bool:
    """Leave a mark; return whether nobody had."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True


def _owner(path: Path) -> int:
    """Return the process that a socket or a mark belongs to."""
    return int(path.name.split("-")[1].split(".")[0])


def _hand_over(connection: socket.socket, arguments: list[str]) -> int | None:
    """Send a request, wait for the child, and end as it ends."""
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd(), "umask": _umask()}
    content = json.dumps(request).encode()
    if len(content) > MAX_REQUEST:
        return None
    child: list[int] = []
    waiting: list[int] = []

    def pass_on(number: int, _: Any) -> None:
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child[0], number)
        else:
            waiting.append(number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        socket.send_fds(connection, [len(content).to_bytes(8, "big")], list(range(STREAMS)))
        connection.sendall(content)
        with connection.makefile("rb") as replies:
            started = replies.readline()
            if not started:  # the warm process has ended: nothing has run
                return None
            child.append(int(started))
            for number in waiting:
                os.kill(child[0], number)
            ended = replies.readline()
    except OSError:
        if not child:
            return None
        ended = b""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if not ended:  # the warm process was killed, and its children with it
        return 1
    status = int(ended)
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class Warm:
    """The warm process: one child per connection, which dies with its connection."""

    def __init__(self, listener: socket.socket, owner: int):
        self.listener, self.owner = listener, owner
        self.children: dict[int, socket.socket | None] = {}
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ)
        self.woken, self.wake = socket.socketpair()  # a child that ends wakes the selector
        for end in (self.woken, self.wake):
            end.setblocking(False)
        signal.set_wakeup_fd(self.wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(self.woken, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until the owner has ended; then end all children."""
        while _alive(self.owner):
            for key, _ in self.selector.select(CHECK_SECONDS):
                if key.fileobj is self.listener:
                    self.accept()
                elif key.fileobj is self.woken:
                    with contextlib.suppress(BlockingIOError):
                        self.woken.recv(4096)
                else:
                    self.lost(key.fileobj)
            self.reap()
        for child in self.children:
            os.kill(child, signal.SIGTERM)

    def accept(self) -> None:
        """Take a request and fork."""
        connection, _ = self.listener.accept()
        try:
            header, descriptors, _, _ = socket.recv_fds(connection, 8, STREAMS)
            content = b""
            while len(content) < int.from_bytes(header, "big"):
                part = connection.recv(1 << 16)
                if not part:
                    raise ConnectionError
                content += part
            request = json.loads(content)
        except (OSError, ValueError):
            connection.close()
            return
        child = os.fork()
        if child == 0:
            self.become(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self.children[child] = connection
        self.selector.register(connection, selectors.EVENT_READ)
        with contextlib.suppress(OSError):
            connection.sendall(f"{child}\n".encode())

    def become(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """In the child: become the process that the command would have been, run it and end."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, *PASSED_ON):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            self.selector.close()
            self.listener.close()
            for connection in filter(None, self.children.values()):
                connection.close()
            for own, descriptor in enumerate(descriptors):
                os.dup2(descriptor, own)
                os.close(descriptor)
            os.chdir(request["folder"])
            os.umask(request["umask"])
            os.environ.clear()
            os.environ.update(request["environment"])
            one_thread()
            sys.argv = ["chemscale", *request["arguments"]]
            from chemscale.cli import main

            code = main(request["arguments"])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        finally:
            with contextlib.suppress(Exception):
                atexit._run_exitfuncs()
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(code)

    def reap(self) -> None:
        """Tell the commands of ended children how they ended."""
        while self.children:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            connection = self.children.pop(child)
            if connection is None:
                continue
            self.selector.unregister(connection)
            with contextlib.suppress(OSError):
                connection.sendall(f"{status}\n".encode())
            connection.close()

    def lost(self, connection: Any) -> None:
        """Kill the child of a command that was killed."""
        child = next(number for number, of_child in self.children.items() if of_child is connection)
        self.selector.unregister(connection)
        connection.close()
        self.children[child] = None
        os.kill(child, signal.SIGKILL)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def serve(path: str) -> None:
    """Listen at `path` while its owner lives, with the libraries of a training imported."""
    one_thread()
    for module in IMPORTED:
        importlib.import_module(f"chemscale.{module}")

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(64)
        Warm(listener, _owner(Path(path))).serve()
    finally:
        for left in (path, f"{path}.one", f"{path}.two"):
            with contextlib.suppress(OSError):
                os.unlink(left)


if __name__ == "__main__":
    serve(sys.argv[1])
