"""Which molecules came before: told by 128-bit digests, so that a molecule takes a few bytes and not its text."""

import numpy as np


def first_occurrences(digests: np.ndarray) -> np.ndarray:
    """Place (N,) int64 of the first molecule with the same digest; of a molecule that is the first, its own.

    `digests` (N, 2) uint64. That two of ten million different molecules share one has a chance of 1e-25.
    """
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: equal ones stay in the order of the file
    new = np.zeros(len(order), bool)  # where in `order` another digest begins
    new[:1] = True
    for half in digests.T:
        ordered = half[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    first = np.empty(len(order), np.int64)
    first[order] = order[new][np.cumsum(new) - 1]
    return first
