"""How long a cell trains, and its learning rate at each step: pure functions of settings and step."""

import math


def step_budget(examples: int, examples_per_step: float, steps: dict) -> int:
    """Optimiser steps of a cell with `examples` of training data.

    √D steps for small data, epochs for large: max(per_sqrt_example·√D, epochs·D/examples_per_step), kept within
    [minimum, maximum]. Equal steps for all D would leave the large ones under-trained, equal epochs the small ones.
    """
    budget = max(steps["per_sqrt_example"] * math.sqrt(examples), steps["epochs"] * examples / examples_per_step)
    return round(min(max(budget, steps["minimum"]), steps["maximum"]))


def rate_factor(step: int, total: int, warmup: float, schedule: str) -> float:
    """Learning rate at `step` of `total`, as a share of its peak: linear warm-up, then cosine to zero or constant."""
    warmup_steps = max(1, round(warmup * total))
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, total - warmup_steps)))


def rule_rate(rule: dict, width: int) -> float:
    """Peak learning rate that a tuned rule gives for a width: exp(intercept)·width^slope."""
    return math.exp(rule["intercept"] + rule["slope"] * math.log(width))
