"""How long a cell trains, and its learning rate at each step: pure functions of settings and step."""

import math

COOLDOWN = 0.2  # share of the steps


def step_budget(examples: int, examples_per_step: float, steps: dict) -> int:
    """Optimiser steps of a cell with `examples` of training data.

    √D steps for small data, epochs for large: max(per_sqrt_example·√D, epochs·D/examples_per_step), kept within
    [minimum, maximum]. Equal steps for all D would leave the large ones under-trained, equal epochs the small ones.
    """
    budget = max(steps["per_sqrt_example"] * math.sqrt(examples), steps["epochs"] * examples / examples_per_step)
    return round(min(max(budget, steps["minimum"]), steps["maximum"]))


def rate_factor(step: int, total: int, warmup: float, schedule: str) -> float:
    """Learning rate at `step` of `total`, as a share of its peak: linear warm-up, then what `schedule` says.

    "cosine" to zero, "constant", or "cooldown": constant and then, over the last `COOLDOWN` of the steps, down to zero
    as 1 − √(share done) (Hägele et al., arXiv:2405.18392).
    """
    warmup_steps = max(1, round(warmup * total))
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    if schedule == "cooldown":
        cooldown_steps = max(1, round(COOLDOWN * total))
        return 1 - math.sqrt(max(0, step - (total - cooldown_steps)) / cooldown_steps)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, total - warmup_steps)))


def rule_rate(rule: dict, width: int, batch_tokens: int | None) -> float:
    """Peak learning rate that a tuned rule gives: exp(intercept)·width^slope·batch^batch_slope."""
    batch = rule["batch_slope"] * math.log(batch_tokens or 1)
    return math.exp(rule["intercept"] + rule["slope"] * math.log(width) + batch)
