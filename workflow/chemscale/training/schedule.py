"""The learning rate at each step: pure functions of settings, step and losses."""

import math

from chemscale.config.study_models import PLATEAU_EVALUATIONS

COOLDOWN_SHARE = 0.2  # of the steps
MIN_GAIN = 1e-4  # relative; a smaller gain in validation loss counts as none
PLATEAU_FACTOR = 0.5  # of the learning rate, after each plateau


def lr_factor(step: int, total: int, warmup: float, schedule: str, plateaus: int = 0) -> float:
    """Return the learning rate at `step` of `total` as a share of its peak: linear warm-up, then the `schedule`.

    "cosine" falls to zero. "constant" stays. "cooldown" stays and then falls to zero over the last `COOLDOWN_SHARE` of
    the steps as 1 − √(share done) (Hägele et al., arXiv:2405.18392). "plateau" falls by `PLATEAU_FACTOR` after each of
    `plateaus`.
    """
    rising = warmup_steps(total, warmup)
    if step < rising:
        return (step + 1) / rising
    if schedule == "plateau":
        return PLATEAU_FACTOR**plateaus
    if schedule == "constant":
        return 1.0
    if schedule == "cooldown":
        cooldown_steps = max(1, round(COOLDOWN_SHARE * total))
        return 1 - math.sqrt(max(0, step - (total - cooldown_steps)) / cooldown_steps)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def warmup_steps(total: int, warmup: float) -> int:
    """Return the steps of `total` over which the rate rises."""
    return max(1, round(warmup * total))


def evaluations_without_gain(losses: list[float]) -> list[int]:
    """Return for each of `losses` how many evaluations in a row, up to it, brought no gain over the best before."""
    best, count, counts = math.inf, 0, []
    for loss in losses:
        count = 0 if loss < best * (1 - MIN_GAIN) else count + 1
        best = min(best, loss)
        counts.append(count)
    return counts


def count_plateaus(losses: list[float]) -> int:
    """Return how often `losses` of evaluations, in order, brought no gain for another `PLATEAU_EVALUATIONS` of them."""
    return sum(count > 0 and count % PLATEAU_EVALUATIONS == 0 for count in evaluations_without_gain(losses))
