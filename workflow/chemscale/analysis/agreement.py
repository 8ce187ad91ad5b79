"""Test whether estimates from different studies agree, from their values and intervals alone.

The estimates are taken as independent. Studies that share training subsets or seeds err in the same direction, so their
difference is narrower than said here: what differs then differs all the more.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2, norm, t

from chemscale.errors import ChemscaleError


def difference(
    first: tuple[float, Sequence[float | None]], second: tuple[float, Sequence[float | None]]
) -> dict[str, Any]:
    """Return second minus first, each (value, interval), with an interval of the same level, as content for JSON.

    The limits are recovered from those of the two, which need not be symmetric (Zou and Donner 2008, Stat. Med. 27,
    1693). An end is None where an interval has no limit there. `excludes_0` says whether the two differ.
    """
    (a, (a_low, a_high)), (b, (b_low, b_high)) = first, second
    found = b - a
    low = None if b_low is None or a_high is None else found - float(np.hypot(b - b_low, a_high - a))
    high = None if b_high is None or a_low is None else found + float(np.hypot(b_high - b, a - a_low))
    excluded = (low is not None and low > 0) or (high is not None and high < 0)
    return {"difference": found, "interval": [low, high], "excludes_0": excluded}


def agreement(values: Sequence[float], intervals: Sequence[Sequence[float]], confidence: float) -> dict[str, Any]:
    """Return whether two or more estimates of one quantity agree, as content for JSON.

    * `mean` with `interval`: over the estimates, all equal, by Student's t with their own spread; it holds what makes
      studies differ beyond the intervals of each
    * `spread`, `expected_spread`: standard deviation of the estimates, and what their intervals let expect
    * `chi_square`, `degrees`, `p`, `agree`: Cochran's test (1954, Biometrics 10, 101), by standard errors from half the
      width of each interval; they agree unless p falls below 1 − confidence

    Raises ChemscaleError for fewer than two estimates or an interval without a width.
    """
    value, ends = np.asarray(values, float), np.asarray(intervals, float)
    if len(value) < 2 or ends.shape != (len(value), 2):
        raise ChemscaleError(f"agreement: {len(value)} estimates, {len(ends)} intervals; give two or more of both")
    errors = (ends[:, 1] - ends[:, 0]) / 2 / norm.ppf((1 + confidence) / 2)  # (estimates,)
    if not (np.isfinite(errors) & (errors > 0)).all():
        shown = ", ".join(f"{low:.3g} to {high:.3g}" for low, high in ends)
        raise ChemscaleError(f"agreement: intervals {shown}: one has no width or no limit; leave its estimate out")
    degrees = len(value) - 1
    chi_square = float((((value - np.average(value, weights=errors**-2)) / errors) ** 2).sum())
    p, spread = float(chi2.sf(chi_square, degrees)), float(value.std(ddof=1))
    reach = float(t.ppf((1 + confidence) / 2, degrees)) * spread / len(value) ** 0.5
    mean = float(value.mean())
    return {
        "mean": mean,
        "interval": [mean - reach, mean + reach],
        "spread": spread,
        "expected_spread": float(np.sqrt((errors**2).mean())),
        "chi_square": chi_square,
        "degrees": degrees,
        "p": p,
        "agree": p >= 1 - confidence,
    }


def loss_ratio(first: np.ndarray, second: np.ndarray, confidence: float) -> dict[str, Any]:
    """Return second over first for losses of the same cells, both (cells,), as content for JSON.

    `ratio` is the geometric mean, `interval` that of Student's t on the logarithms (None for a single cell), and
    `rms_percent` the root mean square of the logarithms in percent.
    """
    logs = np.log(second) - np.log(first)
    mean, cells = float(logs.mean()), len(logs)
    interval = None
    if cells > 1:
        reach = float(t.ppf((1 + confidence) / 2, cells - 1) * logs.std(ddof=1)) / cells**0.5
        interval = [float(np.exp(mean - reach)), float(np.exp(mean + reach))]
    rms = 100 * float(np.sqrt((logs**2).mean()))
    return {"cells": cells, "ratio": float(np.exp(mean)), "interval": interval, "rms_percent": rms}
