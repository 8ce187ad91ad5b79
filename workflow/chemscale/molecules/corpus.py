"""Make the token store of a dataset: translate, drop duplicates, split, and write in one seeded order."""

import logging
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rdkit

from chemscale.errors import ChemscaleError, counted
from chemscale.files import atomic, fingerprint, read_json, sha256, write_json
from chemscale.molecules.audit import audit
from chemscale.molecules.encoding import readable
from chemscale.molecules.reading import Layout, Line, layout_of, read_lines
from chemscale.molecules.shards import Summary, chosen_molecules, ordered_column, summarise_shards, translate_lines
from chemscale.molecules.store import Corpus, save_checksums
from chemscale.molecules.tables import PEEKED_RECORDS
from chemscale.molecules.vocabulary import BOS, UNK, unigram_entropy, vocabulary_of, write_vocabulary

LOG = logging.getLogger(__name__)
MIN_MOLECULE_SHARE = 0.2  # with fewer molecules among the first records the file is of something else
MAX_EXAMPLES = 5  # molecules that a message shows
ROW_GROUP = 1 << 17  # molecules of molecules.parquet that are ordered at a time
TOKEN_BLOCK = 1 << 22  # tokens that are counted or renumbered at a time


def encode(directory: Path | str, workers: int = 1) -> dict:
    """Make the token store of a dataset that `fetch` made available; return its header, written last (`corpus.json`).

    The other files are `tokens.npy`, `offsets.npy`, `vocabulary.json`, `molecules.parquet` (smiles, origin; in the same
    order) and `failures.parquet` (line, smiles, reason: every refused line). Their bytes depend neither on the number
    of `workers` nor on a kill: until the store is complete, finished work is kept in `shards/`. Memory: about 140 bytes
    per molecule. Raises ChemscaleError if the raw file is not the one that was fetched or not one of molecules, if more
    than the entry's `max_failure_share` of its lines are refused, if a molecule is in two of the splits that the file
    brings, or if nothing is left to train on.
    """
    directory = Path(directory)
    (directory / "corpus.json").unlink(missing_ok=True)
    source = read_json(directory / "source.json")
    name, entry, raw = source["name"], source["entry"], directory / source["file"]
    _require_same(raw, source["sha256"])
    layout = layout_of(raw, *(entry.get(key) for key in ("format", "column", "split_column", "delimiter")))
    lines = _inspect(raw, layout, entry)

    versions = {"selfies": version("selfies"), "rdkit": rdkit.__version__}
    identity = {"source": source["sha256"], "layout": [*layout[1:4], layout.delimiter], "versions": versions}
    work, failures = directory / "shards", directory / "failures.parquet"
    shards = translate_lines(work, read_lines(raw, layout), lines, layout.form, entry["max_tokens"], identity, workers)
    found = summarise_shards(shards, lines, entry.get("splits", {}).values(), failures)
    _require_few_failures(name, found, lines, entry["max_failure_share"], failures)
    _require_disjoint(name, shards, found)

    distinct = thin_tests(entry, found.distinct, found.own_split)
    counts, order = assign_splits(name, entry, found.own_split[distinct])
    tokens, offsets, symbols = ordered_column(shards, "tokens", distinct, order)
    ends = offsets[np.cumsum(list(counts.values()))]  # of each split
    met = {
        split: _occurrences(tokens[first:last], len(symbols))
        for split, first, last in zip(counts, [0, *ends[:-1]], ends, strict=True)
    }
    vocabulary = vocabulary_of(symbol for symbol, n in zip(symbols, met["train"], strict=True) if n)
    ids = {symbol: token for token, symbol in enumerate(vocabulary)}
    final = np.array([ids.get(symbol, UNK) for symbol in symbols], tokens.dtype)
    for block in _blocks(tokens):
        block[:] = final[block]
    with atomic(directory / "tokens.npy") as temporary:
        np.save(temporary, tokens)
    del tokens, block
    with atomic(directory / "offsets.npy") as temporary:
        np.save(temporary, offsets)
    _write_molecules(directory / "molecules.parquet", shards, distinct, order)
    write_vocabulary(directory / "vocabulary.json", vocabulary)

    occurrences = {
        split: np.bincount(final, weights=of_split, minlength=len(vocabulary)).astype(np.int64)
        for split, of_split in met.items()
    }
    header = {
        "name": name,
        "entry": entry,
        "source": {"file": source["file"], "sha256": source["sha256"], "read_as": str(layout)},
        "versions": versions,
        "lines": lines,
        "duplicates": int((~found.distinct).sum()),
        **({"left_out": int((found.distinct & ~distinct).sum())} if "test_each" in entry else {}),
        "failures": {"total": sum(found.reasons.values()), "reasons": found.reasons},
        "max_tokens": entry["max_tokens"],
        **_statistics(counts, int(offsets[-1]), vocabulary, occurrences),
    }
    header["sha256"] = {file: sha256(directory / file) for file in ("tokens.npy", "offsets.npy", "vocabulary.json")}
    header["fingerprint"] = fingerprint([header["sha256"], header["molecules"]])
    corpus = Corpus(directory, header, vocabulary, np.load(directory / "tokens.npy", "r"), offsets)
    header["audit"] = audit(corpus, {name: of[distinct][order] for name, of in found.reduced.items()})
    save_checksums(directory, header["sha256"])
    write_json(directory / "corpus.json", header)
    shutil.rmtree(work)
    LOG.info(
        f"{name}: {header['molecules']['total']:,} molecules, {header['tokens']['stored']:,} tokens, "
        f"{len(vocabulary)} symbols from {lines:,} lines; {header['duplicates']:,} duplicates; "
        f"refused: {counted(found.reasons) or 'none'}. {header['audit']['statement']}"
    )
    return header


def assign_splits(name: str, entry: dict, own: np.ndarray) -> tuple[dict[str, int], np.ndarray]:
    """Return the number of molecules of each split, in the order stored, and the order (N,) of all molecules.

    `own` (N,) is the index of each distinct molecule's split among the entry's `splits`; all 0 where it names none.
    Without `splits`, test, validation and train are cut from one permutation by the entry's seed. With them, the file's
    splits are kept, each permuted; validation, if not among them, is drawn from the file's train. Either way a prefix
    of train is a fair sample of it and part of every longer one. Raises ChemscaleError if a split would be empty.
    """
    generator = np.random.default_rng(entry["seed"])
    if "splits" in entry:
        members = {split: generator.permutation(np.flatnonzero(own == n)) for n, split in enumerate(entry["splits"])}
        train = members.pop("train")
        if "validation" in members:
            validation = members.pop("validation")
        else:
            validation, train = np.split(train, [entry["validation"]])
    else:
        cuts = np.cumsum([entry["test"], entry["validation"]])
        test, validation, train = np.split(generator.permutation(len(own)), cuts)
        members = {"test": test}
    members |= {"validation": validation, "train": train}
    counts = {split: len(rows) for split, rows in members.items()}
    if min(counts.values()) == 0:
        requested = {split: entry.get(split, count) for split, count in counts.items() if split != "train"}
        held_out = ", ".join(f"{split} {count:,}" for split, count in requested.items())
        raise ChemscaleError(
            f"{name}: {len(own):,} distinct molecules are too few for {held_out} and at least one to train on; lower "
            "`validation` and `test`, but leave each split at least one molecule"
        )
    return counts, np.concatenate(list(members.values()))


def thin_tests(entry: dict, distinct: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return `distinct` (M,) bool without what the file's test splits hold beyond `test_each` molecules of each.

    `own` (M,) is the index of each molecule's split among the entry's `splits`.
    """
    kept = distinct.copy()
    generator = np.random.default_rng((entry["seed"], 1))  # not the stream of `assign_splits`
    for n, split in enumerate(entry.get("splits", ())):
        if "test_each" in entry and split not in ("train", "validation"):
            rows = generator.permutation(np.flatnonzero(distinct & (own == n)))
            kept[rows[entry["test_each"] :]] = False
    return kept


def _require_same(raw: Path, expected: str) -> None:
    if not raw.is_file():
        raise ChemscaleError(f"{raw}: no such file; its sha256 was {expected}; fetch the dataset again")
    found = sha256(raw)
    if found != expected:
        raise ChemscaleError(
            f"{raw}: changed since it was fetched (sha256 {found} instead of {expected}); restore it, or fetch the "
            "dataset again"
        )


def _inspect(raw: Path, layout: Layout, entry: dict) -> int:
    """Return the number of records; raise ChemscaleError early if the file is damaged, empty or of something else."""
    known = set(entry["splits"].values()) if "splits" in entry else {""}
    first: list[Line] = []
    lines = 0
    for line in read_lines(raw, layout):
        lines += 1
        if line.split not in known:
            raise ChemscaleError(
                f"{raw}, line {line.number:,}: split {line.split!r} is not among the entry's `splits`, "
                f"which names {', '.join(sorted(known))}; add it to `splits`, or correct the line"
            )
        if len(first) < PEEKED_RECORDS and line.text:
            first.append(line)
    if not first:
        raise ChemscaleError(f"{raw}: the file is empty; expected one molecule per line")
    good = sum(readable(line.text, sdf=layout.form == "sdf") for line in first)
    if good < MIN_MOLECULE_SHARE * len(first):
        shown = first[0].text.strip().split("\n")[0][:60]
        place = f"{'record' if layout.form in ('parquet', 'sdf') else 'line'} {first[0].number:,}"
        raise ChemscaleError(
            f"{raw}: read as {layout}, only {good} of the first {len(first)} records are molecules "
            f"({place} has {shown!r}); if the file holds SMILES, say how to read it with "
            "`format`, `column` and `delimiter`"
        )
    return lines


def _require_few_failures(name: str, found: Summary, lines: int, allowed: float, kept: Path) -> None:
    refused = sum(found.reasons.values())
    if refused > allowed * lines:
        raise ChemscaleError(
            f"{name}.max_failure_share = {allowed:g}: {refused:,} of {lines:,} lines were refused: "
            f"{counted(found.reasons)}; see {kept}, or raise the share"
        )


def _require_disjoint(name: str, shards: list[Path], found: Summary) -> None:
    """Raise ChemscaleError if a molecule is in two of the splits that the file brings."""
    twice = np.flatnonzero(found.own_split[found.first] != found.own_split)
    if not len(twice):
        return
    shown = np.zeros(len(found.first), bool)
    shown[twice[:MAX_EXAMPLES]] = shown[found.first[twice[:MAX_EXAMPLES]]] = True
    tables = chosen_molecules(shards, shown, ["line", "split", "smiles"])
    rows = dict(zip(np.flatnonzero(shown), pa.concat_tables(tables).to_pylist(), strict=True))
    examples = []
    for later in twice[:MAX_EXAMPLES]:
        one, other = rows[found.first[later]], rows[later]
        examples.append(
            f"{one['smiles']} (line {one['line']:,} {one['split']}, line {other['line']:,} {other['split']})"
        )
    raise ChemscaleError(
        f"{name}: {len(twice):,} lines hold a molecule that is also in another split of the file, so that a validation "
        f"or test molecule would be in train: {'; '.join(examples)}; remove it from one of them, or leave `splits` out"
    )


def _blocks(tokens: np.ndarray) -> Iterator[np.ndarray]:
    """Yield consecutive views of `tokens`, small enough to be converted to 64-bit indices."""
    return (tokens[first : first + TOKEN_BLOCK] for first in range(0, len(tokens), TOKEN_BLOCK))


def _occurrences(tokens: np.ndarray, symbols: int) -> np.ndarray:
    """Return how often each symbol (symbols,) occurs among `tokens`."""
    return sum((np.bincount(block, minlength=symbols) for block in _blocks(tokens)), np.zeros(symbols, np.int64))


def _write_molecules(path: Path, shards: list[Path], distinct: np.ndarray, order: np.ndarray) -> None:
    """Write SMILES and origin of the distinct molecules in their `order` (N,) to a Parquet file."""
    schema = pa.schema([("smiles", pa.string()), ("origin", pa.string())])
    columns = []
    for name in schema.names:
        values, offsets, _ = ordered_column(shards, name, distinct, order)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(values)]
        columns.append(pa.Array.from_buffers(pa.large_string(), len(order), buffers))
    molecules = pa.table(columns, schema.names)
    with atomic(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for first in range(0, len(order), ROW_GROUP):
            writer.write_table(molecules.slice(first, ROW_GROUP).cast(schema))


def _statistics(counts: dict[str, int], stored: int, vocabulary: list[str], occurrences: dict[str, np.ndarray]) -> dict:
    """Return what the header states of molecules and tokens; `occurrences` of each symbol (V,) by split."""
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
