"""Lines to molecules in shards: files of a fixed number of lines, translated by several processes, each kept when done.

A shard is an Arrow file with a row per line. Which lines it has follows from their number alone, so what a run that
was killed has finished is good for the next one, and neither it nor the number of processes shows in the result.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather

from chemscale.files import atomic, resumable_folder
from chemscale.molecules.encoding import translate
from chemscale.molecules.reading import Line
from chemscale.molecules.tokenise import tokenise
from chemscale.processes import spawn_map
from chemscale.progress import progress

SHARD_LINES = 5_000
SCHEMA = pa.schema(
    [
        ("line", pa.int64()),
        ("origin", pa.string()),
        ("split", pa.string()),  # as the file calls it
        ("smiles", pa.string()),  # canonical; as it was read where the line is refused
        ("reason", pa.string()),  # why the line is refused, else null
        ("digest", pa.binary(16)),  # of the canonical SMILES
        ("tokens", pa.list_(pa.uint16())),  # [BOS] … [EOS]; an id is a place among the shard's own symbols
    ]
)


def translate_lines(
    directory: Path, lines: Iterable[Line], total: int, form: str, max_tokens: int, identity: dict, workers: int
) -> list[Path]:
    """Translate `total` lines into shards in `directory`; return these, in the order of the file.

    Shards there with the same `identity` (whatever else decides their content) are kept, others removed. The lines are
    read here, once, a few shards ahead of the `workers`.
    """
    identity = identity | {"form": form, "max_tokens": max_tokens, "shard_lines": SHARD_LINES}
    resumable_folder(directory, identity)
    lines = iter(lines)
    paths = []
    with progress(total, "encode", "lines") as tick:

        def waiting() -> Iterator[tuple[Path, list[Line], str, int]]:
            """Shards yet to be made."""
            for number in count():
                part = list(islice(lines, SHARD_LINES))
                if not part:
                    return
                paths.append(directory / f"{number:06d}.arrow")
                if paths[-1].exists():
                    tick(len(part))
                else:
                    yield paths[-1], part, form, max_tokens

        for done in spawn_map(translate_shard, waiting(), min(workers, -(-total // SHARD_LINES))):
            tick(done)
    return paths


def read_shard(path: Path, columns: list[str]) -> pa.Table:
    """Columns of a shard."""
    return feather.read_table(path, columns=columns, memory_map=False)


def symbols_of_shard(table: pa.Table) -> list[str]:
    """The symbols its token ids stand for."""
    return table.schema.metadata[b"symbols"].decode().split()


def translate_shard(path: Path, lines: list[Line], form: str, max_tokens: int) -> int:
    """Write the shard of `lines`; return how many there are."""
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
        [_digest(row.smiles) if row.reason is None else None for row in translated],
        pa.ListArray.from_arrays(pa.array(offsets[before], pa.int32()), pa.array(ids)),
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    table = pa.table(arrays, schema=SCHEMA.with_metadata({"symbols": " ".join(symbols)}))
    with atomic(path) as temporary:
        feather.write_feather(table, temporary, compression="lz4")
    return len(lines)


def _digest(smiles: str) -> bytes:
    return hashlib.blake2b(smiles.encode(), digest_size=16).digest()
