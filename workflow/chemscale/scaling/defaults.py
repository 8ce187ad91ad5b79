"""Defaults and limits of every interval, stated once for the library, the configuration and the command line."""

from chemscale.errors import ChemscaleError

DEFAULT_CONFIDENCE = 0.9
DEFAULT_DRAWS = 500  # bootstrap draws
MIN_DRAWS = 20  # fewer have no quantiles


def require_level(confidence: float, draws: int) -> None:
    """Raise ChemscaleError for a confidence level or a number of draws that gives no interval."""
    if not 0 < confidence < 1:
        advice = f"write {confidence / 100:g}" if 1 < confidence < 100 else "choose a share such as 0.9"
        raise ChemscaleError(f"confidence = {confidence:g}: must lie between 0 and 1; {advice}")
    if draws < MIN_DRAWS:
        raise ChemscaleError(f"draws = {draws}: too few for an interval; draw {DEFAULT_DRAWS}, or at least {MIN_DRAWS}")
