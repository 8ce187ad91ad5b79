"""What all shards of a file hold together, as a few bytes a molecule; and the refused lines, copied to one file."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chemscale.errors import ChemscaleError
from chemscale.files import atomic
from chemscale.molecules.distinct import first_occurrences
from chemscale.molecules.shards import read_shard

FAILURES = pa.schema([("line", pa.int64()), ("smiles", pa.string()), ("reason", pa.string())])
SHOWN = 5  # molecules a message names


class Survey(NamedTuple):
    """Of M molecules, duplicates included, in the order of the file."""

    distinct: np.ndarray  # (M,) bool, whether it is the first of its kind
    lengths: np.ndarray  # (M,) int32, tokens with [BOS] and [EOS]
    own_split: np.ndarray  # (M,) uint8, place among the splits the entry names; 0 if it names none
    reasons: dict[str, int]  # how many lines were refused for which reason, most frequent first


def survey(name: str, shards: list[Path], total: int, splits: dict[str, str] | None, failures: Path) -> Survey:
    """Read all shards once; write every refused line to the Parquet file `failures` (line, smiles, reason).

    `splits` are the file's own, ours: theirs. Raises ChemscaleError if a molecule is in two of them.
    """
    theirs = pa.array(splits.values() if splits else [""])
    digests = np.empty((total, 2), np.uint64)
    lengths, own_split = np.empty(total, np.int32), np.empty(total, np.uint8)
    ends = [0]  # of the shards' molecules
    reasons = Counter()
    with atomic(failures) as temporary, pq.ParquetWriter(temporary, FAILURES) as writer:
        for shard in shards:
            table = read_shard(shard, ["line", "split", "smiles", "reason", "digest", "tokens"])
            refused = table.filter(pc.is_valid(table["reason"])).select(FAILURES.names)
            if refused.num_rows:
                writer.write_table(refused.replace_schema_metadata())
                reasons.update(refused["reason"].to_pylist())
            molecules = molecules_of(table)
            part = slice(ends[-1], ends[-1] + molecules.num_rows)
            digests[part] = np.frombuffer(b"".join(molecules["digest"].to_pylist()), np.uint64).reshape(-1, 2)
            lengths[part] = pc.list_value_length(molecules["tokens"])
            own_split[part] = pc.index_in(molecules["split"], theirs)
            ends.append(part.stop)
    first = first_occurrences(digests[: ends[-1]])
    if splits:
        _require_disjoint(name, shards, ends, first, own_split[: ends[-1]])
    distinct = first == np.arange(ends[-1])
    return Survey(distinct, lengths[: ends[-1]], own_split[: ends[-1]], dict(reasons.most_common()))


def molecules_of(table: pa.Table) -> pa.Table:
    """The rows of a shard that are molecules."""
    return table.filter(pc.is_null(table["reason"])).combine_chunks()


def _require_disjoint(name: str, shards: list[Path], ends: list[int], first: np.ndarray, own_split: np.ndarray) -> None:
    twice = np.flatnonzero(own_split[first] != own_split)
    if not len(twice):
        return
    examples = []
    for later in twice[:SHOWN].tolist():
        one, other = (_row(shards, ends, place) for place in (int(first[later]), later))
        examples.append(
            f"{one['smiles']} (line {one['line']:,} {one['split']}, line {other['line']:,} {other['split']})"
        )
    raise ChemscaleError(
        f"{name}: {len(twice):,} lines hold a molecule that is in another split of the file too, so that a validation "
        f"or test molecule would be inside train: {'; '.join(examples)}. Take them out of one, or leave `splits` out"
    )


def _row(shards: list[Path], ends: list[int], place: int) -> dict:
    """Line, split and SMILES of one molecule."""
    shard = int(np.searchsorted(ends, place, side="right")) - 1
    table = molecules_of(read_shard(shards[shard], ["line", "split", "smiles", "reason"]))
    return table.slice(place - ends[shard], 1).to_pylist()[0]
