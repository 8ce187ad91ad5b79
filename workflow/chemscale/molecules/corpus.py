"""The token store: molecules as token ids in one flat array, in one seeded order that every subset is a prefix of."""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import rdkit

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, fingerprint, read_json, require_unaltered, sha256, write_json
from chemscale.molecules.encoding import Encoded, Failure, encode_lines
from chemscale.molecules.reading import read_lines
from chemscale.molecules.vocabulary import (
    BOS,
    UNK,
    read_vocabulary,
    unigram_entropy,
    vocabulary_of,
    write_vocabulary,
)

SPLITS = ("test", "validation", "train")  # in the order stored
TOKENS = np.dtype(np.uint16)


@dataclass(frozen=True)
class Corpus:
    """N molecules as T tokens, each molecule from [BOS] to [EOS]."""

    directory: Path
    header: dict  # corpus.json
    vocabulary: list[str]  # a token id is a place in it
    tokens: np.ndarray  # (T,) uint16
    offsets: np.ndarray  # (N+1,) int64, the tokens of molecule n are offsets[n] … offsets[n+1]

    def rows(self, split: str, size: int | None = None) -> np.ndarray:
        """Molecules (int64) of a split, all or the first `size`; so smaller subsets are part of larger ones."""
        if split not in SPLITS:
            raise ChemscaleError(f"{self.directory}: no split {split!r}; there are {', '.join(SPLITS)}")
        counts = self.header["molecules"]
        first = sum(counts[before] for before in SPLITS[: SPLITS.index(split)])
        size = counts[split] if size is None else size
        if not 0 < size <= counts[split]:
            raise ChemscaleError(
                f"{self.directory}: {size:,} molecules asked of split {split!r}, which holds {counts[split]:,}"
            )
        return np.arange(first, first + size)

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Number of tokens (M,) of each molecule, [BOS] and [EOS] included."""
        return self.offsets[rows + 1] - self.offsets[rows]


def encode(directory: Path | str, workers: int = 1) -> dict:
    """Make the token store of a dataset that `fetch` made available; return its header, written last (`corpus.json`).

    Beside it `tokens.npy`, `offsets.npy`, `vocabulary.json`, `molecules.parquet` (smiles, origin; in the same order)
    and `failures.parquet` (line, smiles, reason: every line refused). The same bytes for any number of `workers`.
    Raises ChemscaleError if the raw file is not the one that was fetched, if more than the entry's `max_failure_share`
    of its lines are refused, or if validation and test leave nothing to train on.
    """
    directory = Path(directory)
    (directory / "corpus.json").unlink(missing_ok=True)
    source = read_json(directory / "source.json")
    name, entry, raw = source["name"], source["entry"], directory / source["file"]
    _require_same(raw, source["sha256"])
    form, column = entry.get("format", "lines"), entry.get("column")
    total = sum(1 for _ in read_lines(raw, form, column))
    encoded = encode_lines(read_lines(raw, form, column), total, entry["max_tokens"], workers)
    _keep_failures(directory / "failures.parquet", name, encoded, entry["max_failure_share"])

    counts = _split(name, entry, len(encoded.smiles))
    order = np.random.default_rng(entry["seed"]).permutation(counts["total"])
    tokens, offsets = _reordered(encoded, order)
    ends = offsets[np.cumsum([counts[split] for split in SPLITS])]
    parts = dict(zip(SPLITS, np.split(tokens, ends[:-1]), strict=True))
    vocabulary = vocabulary_of(encoded.symbols[token] for token in np.unique(parts["train"]))
    ids = {symbol: token for token, symbol in enumerate(vocabulary)}
    ids_of_encoded = np.array([ids.get(symbol, UNK) for symbol in encoded.symbols], TOKENS)
    occurrences = {split: np.bincount(ids_of_encoded[part], minlength=len(ids)) for split, part in parts.items()}

    with atomic(directory / "tokens.npy") as temporary:
        np.save(temporary, ids_of_encoded[tokens])
    with atomic(directory / "offsets.npy") as temporary:
        np.save(temporary, offsets)
    with atomic(directory / "molecules.parquet") as temporary:
        table = {"smiles": [encoded.smiles[n] for n in order], "origin": [encoded.origins[n] for n in order]}
        pd.DataFrame(table).to_parquet(temporary, index=False)
    write_vocabulary(directory / "vocabulary.json", vocabulary)
    header = _header(source, encoded, counts, vocabulary, occurrences)
    header["sha256"] = {file: sha256(directory / file) for file in ("tokens.npy", "offsets.npy", "vocabulary.json")}
    header["fingerprint"] = fingerprint([header["sha256"], counts])
    write_json(directory / "corpus.json", header)
    print(
        f"{name}: {counts['total']:,} molecules, {len(tokens):,} tokens, {len(vocabulary)} symbols out of "
        f"{encoded.lines:,} lines; {encoded.duplicates:,} duplicates; refused: {encoded.reasons() or 'none'}",
        file=sys.stderr,
    )
    return header


def open_corpus(directory: Path | str) -> Corpus:
    """Memory-map a token store; raise ChemscaleError if it is missing, unfinished or damaged."""
    directory = Path(directory)
    header = read_json(directory / "corpus.json")
    require_unaltered(directory, header["sha256"])
    vocabulary = read_vocabulary(directory / "vocabulary.json")
    # plain arrays over the maps: indexing numpy's memmap class costs several times as much
    tokens, offsets = (np.asarray(np.load(directory / file, mmap_mode="r")) for file in ("tokens.npy", "offsets.npy"))
    return Corpus(directory, header, vocabulary, tokens, offsets)


def _require_same(raw: Path, right: str) -> None:
    if not raw.is_file():
        raise ChemscaleError(f"{raw}: gone; it had sha256 {right}. Fetch the dataset again.")
    found = sha256(raw)
    if found != right:
        raise ChemscaleError(
            f"{raw}: altered since it was fetched, sha256 {found} instead of {right}. "
            "Put it back, or fetch the dataset again."
        )


def _keep_failures(path: Path, name: str, encoded: Encoded, allowed: float) -> None:
    with atomic(path) as temporary:
        pd.DataFrame(encoded.failures, columns=list(Failure._fields)).to_parquet(temporary, index=False)
    if len(encoded.failures) > allowed * encoded.lines:
        raise ChemscaleError(
            f"{name}: {len(encoded.failures):,} of {encoded.lines:,} lines refused, more than max_failure_share "
            f"{allowed:g} allows: {encoded.reasons()}; all of them are in {path}"
        )


def _split(name: str, entry: dict, total: int) -> dict[str, int]:
    counts = {"total": total, "test": entry["test"], "validation": entry["validation"]}
    counts["train"] = total - entry["test"] - entry["validation"]
    if min(counts.values()) <= 0:
        raise ChemscaleError(
            f"{name}: {total:,} distinct molecules cannot be split into test {entry['test']:,}, validation "
            f"{entry['validation']:,} and at least one to train on; every split needs one"
        )
    return counts


def _reordered(encoded: Encoded, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (T,) and offsets (N+1,) with the molecules in another order."""
    molecules = np.split(encoded.tokens, np.cumsum(encoded.lengths)[:-1])
    tokens = np.concatenate([molecules[number] for number in order])
    return tokens, np.append(0, np.cumsum(encoded.lengths[order]))


def _header(
    source: dict, encoded: Encoded, counts: dict[str, int], vocabulary: list[str], occurrences: dict[str, np.ndarray]
) -> dict:
    """What `corpus.json` says, but for the hashes; `occurrences` of each symbol (V,) by split."""
    stored = len(encoded.tokens)
    symbols = stored - 2 * counts["total"]
    predicted = {
        split: np.where(np.arange(len(vocabulary)) == BOS, 0, of_split) for split, of_split in occurrences.items()
    }
    return {
        "name": source["name"],
        "entry": source["entry"],
        "source": {"file": source["file"], "sha256": source["sha256"]},
        "versions": {"selfies": version("selfies"), "rdkit": rdkit.__version__},
        "lines": encoded.lines,
        "duplicates": encoded.duplicates,
        "failures": {"total": len(encoded.failures), "reasons": encoded.reasons()},
        "molecules": counts,
        "max_tokens": source["entry"]["max_tokens"],
        # stored with [BOS] and [EOS], symbols without
        "tokens": {"stored": stored, "symbols": symbols},
        "tokens_per_molecule": {"stored": stored / counts["total"], "symbols": symbols / counts["total"]},
        "vocabulary": {"size": len(vocabulary), "sha256": fingerprint(vocabulary)},
        "unknown": {split: int(occurrences[split][UNK]) for split in ("test", "validation")},
        # nats per predicted token of validation
        "unigram_entropy": unigram_entropy(predicted["train"], predicted["validation"]),
    }
