"""Translate lines to molecules in shards: files of a fixed number of lines, translated by several processes.

A shard is an Arrow file with one row per line. Its lines follow from its number alone, so the shards that a killed run
has finished serve the next one, and the result depends neither on the kill nor on the number of processes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import feather

from chemscale.files import atomic, resumable_folder
from chemscale.molecules.encoding import tokenise, translate
from chemscale.molecules.identity import DIGEST_BYTES, digest, first_occurrences, without_charge, without_stereo
from chemscale.molecules.reading import Line
from chemscale.processes import spawn_map
from chemscale.progress import progress

SHARD_LINES = 5_000
SCHEMA = pa.schema(
    [
        ("line", pa.int64()),
        ("origin", pa.string()),
        ("split", pa.string()),  # as the file calls it
        ("smiles", pa.string()),  # canonical; as read if the line is refused
        ("reason", pa.string()),  # why the line is refused, else null
        ("digest", pa.binary(DIGEST_BYTES)),  # of the canonical SMILES
        ("without_stereo", pa.uint64()),  # digest of the SMILES without stereochemistry and isotopes
        ("without_charge", pa.uint64()),  # digest of the SMILES without charges
        ("tokens", pa.list_(pa.uint16())),  # [BOS] … [EOS]; an id is an index into the shard's own symbols
    ]
)
REDUCED = {"without_stereo": without_stereo, "without_charge": without_charge}
FAILURES = pa.schema([SCHEMA.field(name) for name in ("line", "smiles", "reason")])


class Summary(NamedTuple):
    """Content of the shards: M molecules, including duplicates, in the order of the file."""

    first: np.ndarray  # (M,) int64, index of the first molecule equal to it
    own_split: np.ndarray  # (M,) uint8, index into the splits that the entry names; 0 if it names none
    reduced: dict[str, np.ndarray]  # (M,) uint64 each, digests of the SMILES without something, see REDUCED
    reasons: dict[str, int]  # number of lines refused for each reason, most frequent first

    @property
    def distinct(self) -> np.ndarray:
        """Whether each molecule (M,) is the first of its kind."""
        return self.first == np.arange(len(self.first))


def translate_lines(
    directory: Path, lines: Iterable[Line], total: int, form: str, max_tokens: int, identity: dict, workers: int
) -> list[Path]:
    """Translate `total` lines into shards in `directory`; return the shards in the order of the file.

    Existing shards with the same `identity` (all else that decides their content) are kept, others removed. The lines
    are read here, once, a few shards ahead of the `workers`.
    """
    identity = identity | {"form": form, "max_tokens": max_tokens, "shard_lines": SHARD_LINES, "columns": SCHEMA.names}
    resumable_folder(directory, identity)
    lines = iter(lines)
    paths = []
    with progress(total, "encode", "lines") as tick:

        def missing() -> Iterator[tuple[Path, list[Line], str, int]]:
            """Yield the shards that remain to be made."""
            for number in count():
                part = list(islice(lines, SHARD_LINES))
                if not part:
                    return
                paths.append(directory / f"{number:06d}.arrow")
                if paths[-1].exists():
                    tick(len(part))
                else:
                    yield paths[-1], part, form, max_tokens

        for done in spawn_map(translate_shard, missing(), min(workers, -(-total // SHARD_LINES))):
            tick(done)
    return paths


def translate_shard(path: Path, lines: list[Line], form: str, max_tokens: int) -> int:
    """Write the shard of `lines`; return their number."""
    translated = translate([line.text for line in lines], max_tokens, sdf=form == "sdf")
    good = np.array([row.reason is None for row in translated])
    ids, offsets, symbols = tokenise([f"[BOS]{row.selfies}[EOS]" for row in translated if row.reason is None])
    before = np.append(0, np.cumsum(good))  # molecules before each line
    columns = [
        [line.number for line in lines],
        [line.origin for line in lines],
        [line.split for line in lines],
        [row.smiles for row in translated],
        [row.reason for row in translated],
        [None if row.reason else digest(row.smiles.encode()) for row in translated],
        *(
            [None if row.reason else int.from_bytes(digest(reduce(row.smiles).encode())[:8]) for row in translated]
            for reduce in REDUCED.values()
        ),
        pa.ListArray.from_arrays(pa.array(offsets[before], pa.int32()), pa.array(ids)),
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    table = pa.table(arrays, schema=SCHEMA.with_metadata({"symbols": " ".join(symbols)}))
    with atomic(path) as temporary:
        feather.write_feather(table, temporary, compression="lz4")
    return len(lines)


def summarise_shards(shards: list[Path], total: int, splits: Iterable[str], failures: Path) -> Summary:
    """Read all shards of `total` lines; write every refused line to the Parquet file `failures`.

    `splits` are those that the file names; none where the file's splits are not kept.
    """
    own = pa.array(splits or [""])
    digests = np.empty((total, 2), np.uint64)
    own_split = np.empty(total, np.uint8)
    reduced = {name: np.empty(total, np.uint64) for name in REDUCED}
    end = 0
    reasons: Counter = Counter()
    with atomic(failures) as temporary, pq.ParquetWriter(temporary, FAILURES) as writer:
        for shard in shards:
            table = feather.read_table(shard, ["line", "split", "smiles", "reason", "digest", *REDUCED])
            refused = table.filter(pc.is_valid(table["reason"])).select(FAILURES.names)
            if refused.num_rows:
                writer.write_table(refused.replace_schema_metadata())
                reasons.update(refused["reason"].to_pylist())
            molecules = table.filter(pc.is_null(table["reason"])).combine_chunks()
            part = slice(end, end + molecules.num_rows)
            digests[part] = np.frombuffer(b"".join(molecules["digest"].to_pylist()), np.uint64).reshape(-1, 2)
            own_split[part] = pc.index_in(molecules["split"], own)
            for name, digests_of in reduced.items():
                digests_of[part] = molecules[name].to_numpy()
            end = part.stop
    first = first_occurrences(digests[:end])
    reduced = {name: digests_of[:end] for name, digests_of in reduced.items()}
    return Summary(first, own_split[:end], reduced, dict(reasons.most_common()))


def chosen_molecules(shards: list[Path], chosen: np.ndarray, columns: list[str]) -> Iterator[pa.Table]:
    """Yield from each shard the `columns` of its `chosen` molecules; `chosen` (M,) bool counts those of all shards."""
    end = 0
    for shard in shards:
        table = feather.read_table(shard, ["reason", *columns])
        table = table.filter(pc.is_null(table["reason"])).select(columns)
        end += table.num_rows
        yield table.filter(pa.array(chosen[end - table.num_rows : end])).combine_chunks()


def ordered_column(
    shards: list[Path], column: str, distinct: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return a column of the `distinct` molecules in their final `order` (N,): values (T,) and offsets (N+1,) int64.

    Molecule n has the values offsets[n] to offsets[n+1]. The values of texts are their bytes; those of `tokens` are
    indices into the symbols that are returned too, numbered as they are met. No column is in memory twice.
    """
    lengths = np.concatenate([part[1] for part in _parts(shards, column, distinct)])  # (N,)
    offsets = np.append(0, np.cumsum(lengths[order], dtype=np.int64))
    starts = np.empty(len(order), np.int64)  # in the final order, of the molecules in the order of the file
    starts[order] = offsets[:-1]
    values = np.empty(offsets[-1], np.uint16 if column == "tokens" else np.uint8)
    ids: dict[str, int] = {}
    done = 0
    with progress(len(order), f"order {column}", "molecules") as tick:
        for part, lengths, symbols in _parts(shards, column, distinct):
            if symbols:
                part = np.array([ids.setdefault(symbol, len(ids)) for symbol in symbols], values.dtype)[part]
            shift = starts[done : done + len(lengths)] - (np.cumsum(lengths) - lengths)  # (n,)
            values[np.repeat(shift, lengths) + np.arange(len(part))] = part
            done += len(lengths)
            tick(len(lengths))
    return values, offsets, list(ids)


def _parts(shards: list[Path], column: str, distinct: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, list[str]]]:
    """Yield from each shard the values (t,) of its distinct molecules, their lengths (n,), and symbols for tokens."""
    for table in chosen_molecules(shards, distinct, [column]):
        array = table[column].combine_chunks()
        if column == "tokens":
            symbols = table.schema.metadata[b"symbols"].decode().split()
            yield array.flatten().to_numpy(), np.diff(array.offsets.to_numpy()), symbols
        elif len(array):
            _, offsets, data = array.buffers()
            offsets = np.frombuffer(offsets, np.int32)[array.offset :][: len(array) + 1]
            yield np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]], np.diff(offsets), []
