"""The token store: molecules as token ids in one flat array, in one seeded order that every subset is a prefix of."""

import logging
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import rdkit

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, fingerprint, read_json, sha256, write_json
from chemscale.molecules.columns import SAMPLE
from chemscale.molecules.encoding import readable
from chemscale.molecules.integrity import remember, require_whole
from chemscale.molecules.reading import Layout, layout_of, read_lines
from chemscale.molecules.shards import translate_lines
from chemscale.molecules.shuffle import TOKENS, deal, gather
from chemscale.molecules.splits import arrange
from chemscale.molecules.survey import Survey, survey
from chemscale.molecules.vocabulary import BOS, UNK, unigram_entropy, vocabulary_of, write_vocabulary

LOG = logging.getLogger(__name__)

FEW = 0.2  # share of the first lines that are molecules, below which a file is none of molecules


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
        splits, counts = self.header["splits"], self.header["molecules"]
        if split not in splits:
            raise ChemscaleError(f"{self.directory}: no split {split!r}; there are {', '.join(splits)}")
        first = sum(counts[before] for before in splits[: splits.index(split)])
        size = counts[split] if size is None else size
        if not 0 < size <= counts[split]:
            raise ChemscaleError(
                f"{self.directory}: {size:,} molecules asked of split {split!r}, which holds {counts[split]:,}"
            )
        return np.arange(first, first + size)

    @property
    def final_splits(self) -> tuple[str, ...]:
        """The splits that choose nothing: `test`, and further ones the file brings."""
        return tuple(split for split in self.header["splits"] if split not in ("validation", "train"))

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Number of tokens (M,) of each molecule, [BOS] and [EOS] included."""
        return self.offsets[rows + 1] - self.offsets[rows]


def encode(directory: Path | str, workers: int = 1) -> dict:
    """Make the token store of a dataset that `fetch` made available; return its header, written last (`corpus.json`).

    Beside it `tokens.npy`, `offsets.npy`, `vocabulary.json`, `molecules.parquet` (smiles, origin; in the same order)
    and `failures.parquet` (line, smiles, reason: every line refused). The same bytes for any number of `workers`, and
    after a kill: until the store is whole, finished work is kept in `shards/`. Memory: about 65 bytes a molecule.
    Raises ChemscaleError if the raw file is not the one that was fetched or none of molecules, if more than the
    entry's `max_failure_share` of its lines are refused, if a molecule is in two of the splits the file brings, or if
    nothing is left to train on.
    """
    directory = Path(directory)
    (directory / "corpus.json").unlink(missing_ok=True)
    source = read_json(directory / "source.json")
    name, entry, raw = source["name"], source["entry"], directory / source["file"]
    _require_same(raw, source["sha256"])
    layout = layout_of(raw, entry.get("format"), entry.get("column"), entry.get("split_column"))
    lines = _inspect(raw, layout, entry)

    versions = {"selfies": version("selfies"), "rdkit": rdkit.__version__}
    identity = {"source": source["sha256"], "layout": list(layout[1:4]), "versions": versions}
    work = directory / "shards"
    shards = translate_lines(work, read_lines(raw, layout), lines, layout.form, entry["max_tokens"], identity, workers)
    found = survey(name, shards, lines, entry.get("splits"), directory / "failures.parquet")
    _require_few_failures(name, found, lines, entry["max_failure_share"], directory / "failures.parquet")

    counts, order = arrange(name, entry, found.own_split[found.distinct])
    offsets = np.append(0, np.cumsum(found.lengths[found.distinct][order], dtype=np.int64))
    buckets, symbols, met = deal(shards, found.distinct, order, np.cumsum(list(counts.values())), work / "buckets")
    train = list(counts).index("train")
    vocabulary = vocabulary_of(symbol for symbol, n in zip(symbols, met[train], strict=True) if n)
    ids = {symbol: token for token, symbol in enumerate(vocabulary)}
    final = np.array([ids.get(symbol, UNK) for symbol in symbols], TOKENS)
    gather(buckets, final, int(offsets[-1]), directory / "tokens.npy", directory / "molecules.parquet")
    with atomic(directory / "offsets.npy") as temporary:
        np.save(temporary, offsets)
    write_vocabulary(directory / "vocabulary.json", vocabulary)

    occurrences = {
        split: np.bincount(final, weights=of_split, minlength=len(vocabulary)).astype(np.int64)
        for split, of_split in zip(counts, met, strict=True)
    }
    header = {
        "name": name,
        "entry": entry,
        "source": {"file": source["file"], "sha256": source["sha256"], "read_as": _described(layout)},
        "versions": versions,
        "lines": lines,
        "duplicates": int((~found.distinct).sum()),
        "failures": {"total": sum(found.reasons.values()), "reasons": found.reasons},
        "max_tokens": entry["max_tokens"],
        **_counted(counts, int(offsets[-1]), vocabulary, occurrences),
    }
    header["sha256"] = {file: sha256(directory / file) for file in ("tokens.npy", "offsets.npy", "vocabulary.json")}
    header["fingerprint"] = fingerprint([header["sha256"], header["molecules"]])
    remember(directory, header["sha256"])
    write_json(directory / "corpus.json", header)
    shutil.rmtree(work)
    LOG.info(
        f"{name}: {header['molecules']['total']:,} molecules, {header['tokens']['stored']:,} tokens, "
        f"{len(vocabulary)} symbols out of {lines:,} lines; {header['duplicates']:,} duplicates; "
        f"refused: {found.reasons or 'none'}"
    )
    return header


def open_corpus(directory: Path | str) -> Corpus:
    """Memory-map a token store; raise ChemscaleError if it is missing, unfinished, damaged or of another selfies."""
    directory = Path(directory)
    header = read_json(directory / "corpus.json")
    vocabulary = require_whole(directory, header)
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


def _inspect(raw: Path, layout: Layout, entry: dict) -> int:
    """Number of records; raise ChemscaleError, before all work, if the file is damaged, empty or something else."""
    known = set(entry["splits"].values()) if "splits" in entry else {""}
    first, lines = [], 0
    for line in read_lines(raw, layout):
        lines += 1
        if line.split not in known:
            raise ChemscaleError(
                f"{raw}, line {line.number:,}: split {line.split!r} is not among the entry's `splits`, "
                f"which names {', '.join(sorted(known))}"
            )
        if len(first) < SAMPLE and line.text:
            first.append(line)
    if not first:
        raise ChemscaleError(f"{raw}: empty; one molecule a line or row is right")
    good = sum(readable(line.text, sdf=layout.form == "sdf") for line in first)
    if good < FEW * len(first):
        shown = first[0].text.strip().split("\n")[0][:60]
        raise ChemscaleError(
            f"{raw}: read as {_described(layout)}, nearly nothing of its first lines is a molecule ({good} of "
            f"{len(first)}; line {first[0].number} has {shown!r}). Is it a file of SMILES? `format` and `column` say "
            "how it should be read"
        )
    return lines


def _described(layout: Layout) -> str:
    if layout.column is None:
        return layout.form
    which = repr(layout.names[layout.column]) if layout.header else f"{layout.column + 1}, without a header"
    return f"{layout.form}, column {which}"


def _require_few_failures(name: str, found: Survey, lines: int, allowed: float, kept: Path) -> None:
    refused = sum(found.reasons.values())
    if refused > allowed * lines:
        raise ChemscaleError(
            f"{name}: {refused:,} of {lines:,} lines refused, more than max_failure_share {allowed:g} allows: "
            f"{found.reasons}; all of them are in {kept}"
        )


def _counted(counts: dict[str, int], stored: int, vocabulary: list[str], occurrences: dict[str, np.ndarray]) -> dict:
    """What the header says of molecules and tokens; `occurrences` of each symbol (V,) by split."""
    total = sum(counts.values())
    symbols = stored - 2 * total
    predicted = {
        split: np.where(np.arange(len(vocabulary)) == BOS, 0, of_split) for split, of_split in occurrences.items()
    }
    return {
        "molecules": {"total": total, **counts},
        "splits": list(counts),  # in the order stored
        # stored with [BOS] and [EOS], symbols without
        "tokens": {"stored": stored, "symbols": symbols},
        "tokens_per_molecule": {"stored": stored / total, "symbols": symbols / total},
        "vocabulary": {"size": len(vocabulary), "sha256": fingerprint(vocabulary)},
        "unknown": {split: int(n[UNK]) for split, n in occurrences.items() if split != "train"},
        # nats per predicted token of validation
        "unigram_entropy": unigram_entropy(predicted["train"], predicted["validation"]),
    }
