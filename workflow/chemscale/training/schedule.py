"""How long a cell trains, and its learning rate at each step: pure functions of settings, step and losses."""

import math

COOLDOWN = 0.2  # share of the steps
IMPROVEMENT = 1e-4  # relative; smaller gains in validation loss are none
# NFF, the code of Frey et al., halves the rate after 30 epochs of 100 without a better validation loss. Here a run has
# some 10 evaluations: 2 of them leave room for several falls, and for one to help before `patience` (4) is over
PLATEAU = 2  # evaluations without a gain
FALL = 0.5


def step_budget(examples: int, examples_per_step: float, steps: dict) -> int:
    """Optimiser steps of a cell with `examples` of training data.

    √D steps for small data, epochs for large: max(per_sqrt_example·√D, epochs·D/examples_per_step), kept within
    [minimum, maximum]. Equal steps for all D would leave the large ones under-trained, equal epochs the small ones.
    """
    budget = max(steps["per_sqrt_example"] * math.sqrt(examples), steps["epochs"] * examples / examples_per_step)
    return round(min(max(budget, steps["minimum"]), steps["maximum"]))


def rate_factor(step: int, total: int, warmup: float, schedule: str, plateaus: int = 0) -> float:
    """Learning rate at `step` of `total`, as a share of its peak: linear warm-up, then what `schedule` says.

    "cosine" to zero, "constant", or "cooldown": constant and then, over the last `COOLDOWN` of the steps, down to zero
    as 1 − √(share done) (Hägele et al., arXiv:2405.18392), or "plateau": times `FALL` after each of `plateaus`.
    """
    rising = warmup_steps(total, warmup)
    if step < rising:
        return (step + 1) / rising
    if schedule == "plateau":
        return FALL**plateaus
    if schedule == "constant":
        return 1.0
    if schedule == "cooldown":
        cooldown_steps = max(1, round(COOLDOWN * total))
        return 1 - math.sqrt(max(0, step - (total - cooldown_steps)) / cooldown_steps)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def warmup_steps(total: int, warmup: float) -> int:
    """Steps of `total` over which the rate rises."""
    return max(1, round(warmup * total))


def without_gain(losses: list[float]) -> list[int]:
    """How many evaluations in a row, each of `losses` and those before it, brought no gain over the best until then."""
    best, count, counts = math.inf, 0, []
    for loss in losses:
        count = 0 if loss < best * (1 - IMPROVEMENT) else count + 1
        best = min(best, loss)
        counts.append(count)
    return counts


def count_plateaus(losses: list[float]) -> int:
    """How often `losses` of evaluations, in order, have brought no gain for another `PLATEAU` of them."""
    return sum(count > 0 and count % PLATEAU == 0 for count in without_gain(losses))
