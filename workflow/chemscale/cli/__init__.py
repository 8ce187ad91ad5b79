"""The command line: one file per group of commands, one function per command.

A command imports the libraries it needs itself, after the cheap checks, so that help and refusals appear at once.
"""

from chemscale.cli import data, training, models, laws, studies  # noqa: F401, I001 in the order of the help
from chemscale.cli.app import app, main

__all__ = ["app", "main"]
