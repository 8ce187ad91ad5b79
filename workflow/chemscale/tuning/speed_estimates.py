"""Training speed estimates: how fast losses fall, from the log of a run's first steps.

Ru et al., "Speedy Performance Estimation for Neural Architecture Search", NeurIPS 34 (2021), as Frey et al. 2023 use
them. Sums run over epochs and divide by B, the steps of an epoch: TSE is a sum of epoch means. Epochs may be whole
numbers, as a logger writes them, or fractions of one (step / B), so that a log may end within an epoch.
"""

import math

import numpy as np


def tse(losses: np.ndarray, epochs: np.ndarray, until: float, steps_per_epoch: float | None = None) -> float:
    """Return TSE: the sum of `losses` over the epochs before `until`, divided by B.

    `losses` and `epochs` are (steps,); B is `steps_per_epoch`, or else the number of steps logged in epoch `until`.
    """
    return float(losses[epochs < until].sum() / (steps_per_epoch or _steps_in(epochs, until)))


def tse_e(
    losses: np.ndarray, epochs: np.ndarray, until: float, last: int = 1, steps_per_epoch: float | None = None
) -> float:
    """Return TSE-E: the sum of `losses` over the `last` epochs up to and with `until`, divided by B."""
    inside = (epochs >= until - last + 1) & (epochs < until + 1)
    return float(losses[inside].sum() / (steps_per_epoch or _steps_in(epochs, until)))


def tse_ema(
    losses: np.ndarray, epochs: np.ndarray, until: int, gamma: float = 0.999, steps_per_epoch: float | None = None
) -> float:
    """Return TSE-EMA: the sum over epochs t ≤ `until` of γ^(until − t) times the epoch's sum of losses, over B."""
    inside = epochs < until + 1
    weights = gamma ** (until - np.floor(epochs[inside]))
    return float((weights * losses[inside]).sum() / (steps_per_epoch or _steps_in(epochs, until)))


def estimates(losses: np.ndarray, steps_per_epoch: float) -> dict[str, float]:
    """Return all three at the end of a log, which may lie within an epoch: `losses` (steps,) from the first step on.

    A log of T whole epochs gives the three above at T (TSE) and at T − 1, its last epoch (TSE-E, TSE-EMA).
    """
    epochs = np.arange(len(losses)) / steps_per_epoch
    end = len(losses) / steps_per_epoch
    return {
        "tse": tse(losses, epochs, end, steps_per_epoch),
        "tse_e": tse_e(losses, epochs, end - 1, steps_per_epoch=steps_per_epoch),
        "tse_ema": tse_ema(losses, epochs, math.ceil(end) - 1, steps_per_epoch=steps_per_epoch),
    }


def _steps_in(epochs: np.ndarray, epoch: float) -> int:
    return int(np.sum(np.floor(epochs) == epoch))
