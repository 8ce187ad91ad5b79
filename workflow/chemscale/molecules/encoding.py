"""Lines of text to distinct molecules as token ids, the same whatever the number of processes."""

import itertools
import multiprocessing
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from chemscale.molecules.reading import Line
from chemscale.molecules.selfies import Refused, translate
from chemscale.molecules.vocabulary import BOS, EOS, SPECIAL
from chemscale.progress import progress

CHUNK = 500  # lines handed to a process at a time


class Failure(NamedTuple):
    """A line that gave no molecule."""

    line: int
    smiles: str  # as it was read
    reason: str


class Encoded(NamedTuple):
    """N distinct molecules in the order of the file, T tokens, and what became of the other lines."""

    smiles: list[str]  # canonical, isomeric
    origins: list[str]
    tokens: np.ndarray  # (T,) uint16, each molecule from [BOS] to [EOS]
    lengths: np.ndarray  # (N,) int64
    symbols: list[str]  # a token id is a place in it: special ones first, then in the order they were met
    lines: int
    duplicates: int  # lines whose molecule came before
    failures: list[Failure]

    def reasons(self) -> dict[str, int]:
        """How many lines failed for which reason, most frequent first."""
        return dict(Counter(failure.reason for failure in self.failures).most_common())


class _Translated(NamedTuple):
    line: Line
    smiles: str | None
    symbols: str  # separated by spaces: one string crosses between processes faster than a list
    reason: str | None


def encode_lines(lines: Iterable[Line], total: int, max_tokens: int, workers: int) -> Encoded:
    """Canonicalise and translate `total` lines, drop duplicates, keep refused lines with their reason."""
    places = itertools.count()
    ids = defaultdict(places.__next__)
    for symbol in SPECIAL:
        ids[symbol]
    tokens, lengths, origins, failures = array("H"), array("q"), [], []
    molecules: dict[str, None] = {}  # a set that keeps its order
    count = duplicates = 0
    with progress(total, "encode", "lines") as tick:
        for chunk in _translated(lines, max_tokens, workers):
            for line, smiles, symbols, reason in chunk:
                if reason:
                    failures.append(Failure(line.number, line.smiles, reason))
                elif smiles in molecules:
                    duplicates += 1
                else:
                    molecules[smiles] = None
                    origins.append(line.origin)
                    before = len(tokens)
                    tokens.extend((BOS, *(ids[symbol] for symbol in symbols.split()), EOS))
                    lengths.append(len(tokens) - before)
            count += len(chunk)
            tick(len(chunk))
    return Encoded(
        list(molecules),
        origins,
        np.frombuffer(tokens, np.uint16),
        np.frombuffer(lengths, np.int64),
        list(ids),
        count,
        duplicates,
        failures,
    )


def _translated(lines: Iterable[Line], max_tokens: int, workers: int) -> Iterator[list[_Translated]]:
    lines = iter(lines)
    chunks = iter(lambda: list(itertools.islice(lines, CHUNK)), [])
    work = partial(_translate_chunk, max_tokens=max_tokens)
    if workers == 1:
        yield from map(work, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(work, chunks)


def _translate_chunk(lines: list[Line], max_tokens: int) -> list[_Translated]:
    return [_translate_line(line, max_tokens) for line in lines]


def _translate_line(line: Line, max_tokens: int) -> _Translated:
    try:
        smiles, symbols = translate(line.smiles, max_tokens)
    except Refused as refusal:
        return _Translated(line, None, "", str(refusal))
    return _Translated(line, smiles, " ".join(symbols), None)
