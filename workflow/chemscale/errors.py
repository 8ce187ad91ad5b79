"""The one exception a user is meant to read."""


class ChemscaleError(Exception):
    """A mistake its reader can mend: says what is wrong, where, and what would be right.

    The command line prints the message without a traceback and exits with 2.
    """
