"""Many SELFIES to their symbols at once, in compiled code."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def tokenise(selfies: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Ids (T,) uint16 of all symbols, offsets (N+1,) int64 of the N strings in them, and the symbols the ids stand for.

    The symbols are those of `selfies.split_selfies`, numbered as they are met; `.` is one of them. Strings may not be
    empty. Splitting with Arrow takes a fifth of the time of a loop over the strings (tests/benchmarks).
    """
    spaced = pc.replace_substring(pa.array(selfies, pa.string()), "][", "] [")
    split = pc.split_pattern(pc.replace_substring(spaced, ".", " . "), " ")
    encoded = split.values.dictionary_encode()
    ids = encoded.indices.to_numpy().astype(np.uint16)
    return ids, split.offsets.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()
