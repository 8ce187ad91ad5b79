"""Token ids: five fixed symbols, then the SELFIES symbols of the training molecules in alphabetical order."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.files import fingerprint, read_json, write_json

SPECIAL = ["[PAD]", "[BOS]", "[EOS]", "[UNK]", "."]  # `.` separates the components of a mixture
PAD, BOS, EOS, UNK, DOT = range(len(SPECIAL))


def vocabulary_of(symbols: Iterable[str]) -> list[str]:
    """Return the vocabulary for the `symbols` of a training split; an id is an index into it."""
    return SPECIAL + sorted(set(symbols) - set(SPECIAL))


def symbols_of(tokens: Iterable[int], vocabulary: list[str]) -> list[str]:
    """Return the SELFIES symbols of one molecule's token ids, up to the first [EOS], without [BOS] and [PAD]."""
    symbols = []
    for token in tokens:
        if token == EOS:
            break
        if token not in (BOS, PAD):
            symbols.append(vocabulary[token])
    return symbols


def unigram_entropy(train: np.ndarray, other: np.ndarray) -> float:
    """Return the cross-entropy in nats per token of the counts `other` (V,) under the frequencies of `train` (V,).

    It is the loss of a model that knows how frequent symbols are and nothing else: the baseline of the loss. One is
    added to every count of `train`, so that a symbol it lacks costs much, but not infinitely much.
    """
    log_frequency = np.log(train + 1) - np.log((train + 1).sum())  # (V,)
    return float(-(other @ log_frequency) / other.sum())


def write_vocabulary(path: Path, vocabulary: list[str]) -> str:
    """Write the vocabulary with its hash; return the hash."""
    write_json(path, {"symbols": vocabulary, "sha256": fingerprint(vocabulary)})
    return fingerprint(vocabulary)


def read_vocabulary(path: Path) -> list[str]:
    """Read a vocabulary; raise ChemscaleError if it is missing or does not have the hash it states."""
    content = read_json(path)
    if fingerprint(content["symbols"]) != content["sha256"]:
        raise ChemscaleError(
            f"{path}: its symbols do not have the sha256 {content['sha256']} that it states; encode the dataset again"
        )
    return content["symbols"]
