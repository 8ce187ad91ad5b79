"""The exceptions that a user is meant to read."""

from collections.abc import Mapping


class ChemscaleError(Exception):
    """Report a mistake that its reader can correct: what is wrong, where, and how to fix it.

    The command line prints the message without a traceback and exits with 2.
    """


class Interrupted(Exception):
    """Report that a training was told to stop; its state is saved, and the same command goes on from it."""


class NotFittable(ChemscaleError):
    """Report that a table cannot support a law; callers that fit many laws record the reason and go on."""


def counted(reasons: Mapping[str, int]) -> str:
    """Return the number of records refused for each reason, as in `2 × unreadable SMILES, 1 × empty`."""
    return ", ".join(f"{count:,} × {reason}" for reason, count in reasons.items())
