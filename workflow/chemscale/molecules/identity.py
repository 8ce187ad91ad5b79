"""Which records are the same: the digest of a record, and the first of equal digests."""

import hashlib

import numpy as np

DIGEST_BYTES = 16  # two of ten million different molecules share a digest with a probability of 1e-25


def digest(content: bytes) -> bytes:
    """Return the 128-bit digest of `content`."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def first_occurrences(digests: np.ndarray) -> np.ndarray:
    """Return for each of `digests` (N, 2) uint64 the index (N,) int64 of the first one equal to it, maybe its own."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: equal ones keep their order
    new = np.ones(len(order), bool)  # where in `order` another digest begins
    new[1:] = (np.diff(digests[order], axis=0) != 0).any(1)
    first = np.empty(len(order), np.int64)
    first[order] = order[new][np.cumsum(new) - 1]
    return first
