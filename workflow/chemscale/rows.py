"""Rows of a store: the subset that a training reads, and the places of what belongs to rows of unequal length."""

import numpy as np


def subset(count: int, size: int, repetition: int = 0) -> np.ndarray:
    """Return the places (size,) int64, in 0 … count − 1, of a subset of a split: the smaller are part of the larger.

    A store keeps its split in a random order, so repetition 0 takes the first places; every other shuffles them.
    """
    if repetition == 0:
        return np.arange(size)
    return np.random.default_rng(repetition).permutation(count)[:size]


def flat_index(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the concatenation of the ranges starts[k] … starts[k] + lengths[k]."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())
