"""The exceptions that a user is meant to read."""


class ChemscaleError(Exception):
    """Report a mistake that its reader can correct: what is wrong, where, and how to fix it.

    The command line prints the message without a traceback and exits with 2.
    """


class NotFittable(ChemscaleError):
    """Report that a table cannot support a law; callers that fit many laws record the reason and go on."""
