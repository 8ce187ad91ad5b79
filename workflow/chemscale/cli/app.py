"""Parts that all commands share: the application, its exit codes and messages, and the options of several commands."""

import errno
import json
import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer import Argument, Option

from chemscale import __version__
from chemscale.cli.warm import run_warm
from chemscale.errors import ChemscaleError, Interrupted
from chemscale.files import read_json
from chemscale.training.slurm import requeue

EX_TEMPFAIL = 75  # of an interrupted training: the same command goes on from the saved state
FAILURES_OF_MACHINE = {
    errno.ENOSPC: "free some space and call again: what was saved is kept",
    errno.EDQUOT: "free some of your quota and call again: what was saved is kept",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "change the permissions, or choose another folder",
    errno.EPERM: "change the permissions, or choose another folder",
    errno.EIO: "the disk or the network file system failed; call again when it is back",
    errno.ESTALE: "the network file system lost the file; call again",
}  # what to do
FAILURES_OF_LIBRARIES = {
    "No space left on device": "free some space and call again: what was saved is kept",
    "Disk quota exceeded": "free some of your quota and call again: what was saved is kept",
    "Read-only file system": "choose a folder that can be written",
    "CUDA out of memory": "raise training.accumulate, which cuts batches into smaller parts, or take a larger GPU",
}  # words of the message → what to do
LOG = logging.getLogger(__name__)

Settings = Annotated[str, Argument(metavar="SETTINGS.json", help="JSON file of settings; - reads standard input.")]
Dataset = Annotated[Path, Argument(help="Folder of the dataset.")]
Model = Annotated[Path, Argument(help="Record of a training run, or its model.safetensors.")]
Workers = Annotated[int, Option(min=1, help="Number of processes that share the work.")]
Gpus = Annotated[int | None, Option(min=0, help="Number of GPUs; 0 stays on the CPU; default: one if there is one.")]
Seed = Annotated[int, Option(help="Seed of the random numbers.")]
OutFolder = Annotated[Path, Option("--out", help="Folder to write.")]
OutJson = Annotated[Path, Option("--out", help="JSON file to write.")]
OutParquet = Annotated[Path, Option("--out", help="Parquet file to write.")]
Summary = Annotated[Path | None, Option(help="JSON file for the summary; default: OUT with the suffix .json.")]

app = typer.Typer(
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 2 for a mistake that the message explains, 75 if interrupted."""
    if arguments is None and (code := run_warm(sys.argv[1:])) is not None:
        return code
    try:
        return app(arguments, prog_name="chemscale", standalone_mode=False) or 0
    except typer.TyperException as mistake:  # in the arguments
        context = getattr(mistake, "ctx", None)
        name, message = context.command_path if context else "chemscale", mistake.format_message()
        if message.strip():  # else the help has been shown
            print(f"{name}: {message.rstrip('.')}; see {name} --help", file=sys.stderr)
        return 2


def command(panel: str) -> Callable[[Callable], Callable]:
    """Make a function a command, in this panel of the help; errors that it expects end it without a traceback."""

    def register(function: Callable) -> Callable:
        @wraps(function)
        def run(**options: object) -> None:
            try:
                function(**options)
            except OSError as error:
                if error.errno not in FAILURES_OF_MACHINE:
                    raise
                _end(function.__name__, _failure(error), 2)
            except (ChemscaleError, Interrupted) as error:
                if isinstance(error, Interrupted):
                    _say(function.__name__, f"{error}; call again to go on")
                    requeue()
                    raise typer.Exit(EX_TEMPFAIL) from None
                _end(function.__name__, str(error), 2)
            except Exception as error:
                # libraries report a full disk or a full GPU in exceptions of their own
                known = next((advice for words, advice in FAILURES_OF_LIBRARIES.items() if words in str(error)), None)
                if known is None:
                    raise
                _end(function.__name__, f"{str(error).splitlines()[0]}; {known}", 2)

        app.command(rich_help_panel=panel)(run)
        return function

    return register


def _failure(error: OSError) -> str:
    """Return a failure of the machine as a message."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{os.strerror(error.errno or 0).lower()}; {FAILURES_OF_MACHINE[error.errno or 0]}"


def _end(name: str, message: str, code: int) -> NoReturn:
    _say(name, message)
    raise typer.Exit(code) from None


def _say(name: str, message: str) -> None:
    print(f"chemscale {name}: {message}", file=sys.stderr)
    LOG.debug("raised here:", exc_info=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback(help="Measure how deep chemical models improve with model size, data and compute.")
def set_up_logging(
    verbose: Annotated[bool, Option("--verbose", "-v", help="Show times, modules and the origin of errors.")] = False,
    version: Annotated[
        bool, Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Write what the package logs to stderr as plain messages, with the level before warnings and errors."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Format("%(asctime)s %(name)s: %(message)s" if verbose else "%(message)s"))
    log = logging.getLogger("chemscale")
    log.handlers[:] = [handler]
    log.setLevel(logging.DEBUG if verbose else logging.INFO)


class _Format(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"{record.levelname.lower()}: {text}" if record.levelno >= logging.WARNING else text


def read_settings(source: str) -> dict:
    """Return the settings in the JSON file `source`, or on standard input if it is -."""
    try:
        return json.load(sys.stdin) if source == "-" else read_json(source)
    except json.JSONDecodeError as error:
        raise ChemscaleError(f"standard input: not JSON ({error})") from None
