"""The token store: molecules as token ids in one flat array, in one seeded order of which every subset is a prefix."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chemscale.errors import ChemscaleError
from chemscale.files import fingerprint, read_json, require_unaltered, write_json
from chemscale.molecules.vocabulary import read_vocabulary
from chemscale.rows import subset

# Hashing takes a second per gigabyte: little when a store is made, much at the start of each of a thousand trainings.
# A larger file is therefore hashed only if its size or modification time differs from when it was last verified.
# Whatever writes to a file or replaces it changes one of the two; silent corruption of the disk goes unnoticed.
ALWAYS_HASHED = 32 << 20  # bytes
CHECKED = "checked.json"


@dataclass(frozen=True)
class Corpus:
    """N molecules as T tokens, each molecule from [BOS] to [EOS]."""

    directory: Path
    header: dict  # corpus.json
    vocabulary: list[str]  # a token id is an index into it
    tokens: np.ndarray  # (T,) uint16
    offsets: np.ndarray  # (N+1,) int64; molecule n has the tokens offsets[n] to offsets[n+1]

    def rows(self, split: str, size: int | None = None, repetition: int = 0) -> np.ndarray:
        """Return the molecules (int64) of a split, all or `size` of them: smaller subsets are part of larger ones.

        Every `repetition` of a study has subsets of its own; those of number 0 are the first molecules of the split.
        """
        splits, counts = self.header["splits"], self.header["molecules"]
        if split not in splits:
            raise ChemscaleError(f"{self.directory}: no split {split!r}; choose one of {', '.join(splits)}")
        first = sum(counts[before] for before in splits[: splits.index(split)])
        size = counts[split] if size is None else size
        if not 0 < size <= counts[split]:
            raise ChemscaleError(
                f"{self.directory}: {size:,} molecules requested from split {split!r}, which holds {counts[split]:,}; "
                f"ask for at most {counts[split]:,}"
            )
        return first + subset(counts[split], size, repetition)

    @property
    def final_splits(self) -> tuple[str, ...]:
        """The splits that choose nothing: `test`, and any further ones that the file brings."""
        return tuple(split for split in self.header["splits"] if split not in ("validation", "train"))

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of tokens (M,) of each molecule, including [BOS] and [EOS]."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def smiles(self, rows: np.ndarray) -> Iterator[pa.Array]:
        """Yield the canonical SMILES of the molecules `rows` in the order of the store, some thousands at a time."""
        wanted = np.zeros(len(self.offsets) - 1, bool)
        wanted[rows] = True
        first, last = 0, rows.max()
        for part in pq.ParquetFile(self.directory / "molecules.parquet").iter_batches(columns=["smiles"]):
            yield part.column(0).filter(pa.array(wanted[first : first + len(part)])).cast(pa.string())
            first += len(part)
            if first > last:
                return

    def seen(self, rows: np.ndarray, smiles: Iterable[str]) -> set[str]:
        """Return those of the canonical `smiles` that are among the molecules `rows`."""
        asked = pa.array(sorted(set(smiles)), pa.string())
        found: set[str] = set()
        for part in self.smiles(rows):
            found.update(part.filter(pc.is_in(part, asked)).to_pylist())
        return found


def open_corpus(directory: Path | str) -> Corpus:
    """Memory-map a token store.

    Raises ChemscaleError if it is missing, unfinished, damaged or made with another version of selfies.
    """
    directory = Path(directory)
    header = read_json(directory / "corpus.json")
    vocabulary = _verify(directory, header)
    # plain arrays over the maps: indexing numpy's memmap class costs several times as much
    tokens, offsets = (np.asarray(np.load(directory / file, mmap_mode="r")) for file in ("tokens.npy", "offsets.npy"))
    return Corpus(directory, header, vocabulary, tokens, offsets)


def save_checksums(directory: Path, hashes: dict[str, str]) -> None:
    """Record that the files of a store have these `hashes` (name to SHA-256), so that opening it need not hash them."""
    write_json(directory / CHECKED, _states(directory, hashes))


def _verify(directory: Path, header: dict) -> list[str]:
    """Return a store's vocabulary; raise ChemscaleError if a file differs from what the header states."""
    made, here = header["versions"]["selfies"], version("selfies")
    if made.split(".")[:2] != here.split(".")[:2]:
        raise ChemscaleError(
            f"{directory}: made with selfies {made}, but {here} is installed and may spell molecules differently; "
            f"encode the dataset again, or install selfies {made}"
        )
    vocabulary = read_vocabulary(directory / "vocabulary.json")
    if fingerprint(vocabulary) != header["vocabulary"]["sha256"]:
        raise ChemscaleError(
            f"{directory / 'vocabulary.json'}: not the vocabulary that the tokens were made with, whose sha256 is "
            f"{header['vocabulary']['sha256']}; encode the dataset again"
        )
    checked = read_json(directory / CHECKED) if (directory / CHECKED).exists() else {}
    states = _states(directory, header["sha256"])
    unchanged = [name for name, state in states.items() if state == checked.get(name)]
    require_unaltered(directory, {name: right for name, right in header["sha256"].items() if name not in unchanged})
    if states != checked:
        with suppress(OSError):  # a store that cannot be written to is hashed each time
            write_json(directory / CHECKED, states)
    return vocabulary


def _states(directory: Path, hashes: dict[str, str]) -> dict[str, list]:
    """Return the expected hash, size and modification time of each large file that exists."""
    found = {name: (directory / name).stat() for name in hashes if (directory / name).exists()}
    return {
        name: [hashes[name], state.st_size, state.st_mtime_ns]
        for name, state in found.items()
        if state.st_size > ALWAYS_HASHED
    }
