"""Molecules from the order of the file to that of the store, through buckets on disk: one bucket in memory at a time.

A bucket takes the molecules of one stretch of the final order. First every shard is dealt out to the buckets, then each
bucket is put in order and appended to the store.
"""

import shutil
from collections import defaultdict
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chemscale.files import atomic
from chemscale.molecules.shards import read_shard, symbols_of_shard
from chemscale.molecules.survey import molecules_of
from chemscale.progress import progress

BUCKET = 1 << 17  # molecules
TOKENS = np.dtype(np.uint16)
SCHEMA = pa.schema(
    [("place", pa.int64()), ("tokens", pa.list_(pa.uint16())), ("smiles", pa.string()), ("origin", pa.string())]
)


def deal(
    shards: list[Path], distinct: np.ndarray, order: np.ndarray, ends: np.ndarray, directory: Path
) -> tuple[list[Path], list[str], np.ndarray]:
    """Deal the distinct molecules of all shards out to buckets in `directory`, which is emptied.

    `distinct` (M,) tells which of the shards' molecules are stored; `order` (N,) which of the distinct ones comes
    where; `ends` (S,) where each split ends. Returns the buckets, the symbols met, and how often each is met in each
    split (S, symbols).
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    places = np.empty(len(order), np.int64)  # of the distinct molecules in the final order
    places[order] = np.arange(len(order))
    buckets = [directory / f"{number:05d}.arrow" for number in range(-(-len(order) // BUCKET))]
    ids = defaultdict(lambda: len(ids))
    counts = np.zeros((len(ends), np.iinfo(TOKENS).max + 1), np.int64)
    molecule = row = 0
    with ExitStack() as stack, progress(len(order), "shuffle", "molecules") as tick:
        writers = [stack.enter_context(pa.ipc.new_file(bucket, SCHEMA)) for bucket in buckets]
        for shard in shards:
            table = molecules_of(read_shard(shard, ["reason", "tokens", "smiles", "origin"]))
            stored = distinct[molecule : molecule + table.num_rows]
            molecule += table.num_rows
            table = table.filter(pa.array(stored))
            here = places[row : row + table.num_rows]
            row += table.num_rows
            if not len(here):
                continue
            of_shard = np.array([ids[symbol] for symbol in symbols_of_shard(table)], TOKENS)
            table = _in_order(table, here, of_shard)
            here = np.sort(here)
            _count(counts, table["tokens"].chunk(0), np.searchsorted(ends, here, side="right"))
            cuts = np.searchsorted(here, np.arange(len(buckets) + 1) * BUCKET)
            table = table.add_column(0, "place", pa.array(here)).select(SCHEMA.names).replace_schema_metadata()
            for writer, (first, last) in zip(writers, pairwise(cuts.tolist()), strict=True):
                if last > first:
                    writer.write_table(table.slice(first, last - first))
            tick(len(here))
    return buckets, list(ids), counts[:, : len(ids)]


def gather(buckets: list[Path], ids: np.ndarray, total: int, tokens: Path, molecules: Path) -> None:
    """Put each bucket in order and write `tokens` (total,), an .npy file, and `molecules`, Parquet (smiles, origin).

    `ids` translates the buckets' token ids to final ones.
    """
    header = {"descr": TOKENS.str, "fortran_order": False, "shape": (total,)}
    columns = pa.schema([SCHEMA.field("smiles"), SCHEMA.field("origin")])
    with (
        atomic(tokens) as tokens_part,
        atomic(molecules) as molecules_part,
        open(tokens_part, "wb") as file,
        pq.ParquetWriter(molecules_part, columns) as writer,
        progress(len(buckets), "write", f"parts of {BUCKET:,} molecules") as tick,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for bucket in buckets:
            table = pa.ipc.open_file(bucket).read_all().combine_chunks()
            table = _in_order(table, table["place"].to_numpy(), ids)
            file.write(_values(table["tokens"].chunk(0)).data)
            writer.write_table(table.select(columns.names))
            tick()


def _in_order(table: pa.Table, places: np.ndarray, ids: np.ndarray) -> pa.Table:
    """Rows sorted by `places`, token t become ids[t]."""
    table = table.take(pa.array(np.argsort(places))).combine_chunks()
    lists = table["tokens"].chunk(0)
    lists = pa.ListArray.from_arrays(lists.offsets, pa.array(ids[lists.values.to_numpy()]))
    return table.set_column(table.schema.get_field_index("tokens"), SCHEMA.field("tokens"), lists)


def _values(lists: pa.ListArray) -> np.ndarray:
    """Tokens (T,) of all molecules of a list array."""
    return lists.values.to_numpy()[lists.offsets[0].as_py() : lists.offsets[-1].as_py()]


def _count(counts: np.ndarray, lists: pa.ListArray, splits: np.ndarray) -> None:
    """Add to `counts` (S, V) the tokens of molecules (N,) whose split is `splits` (N,)."""
    split = np.repeat(splits, np.diff(lists.offsets.to_numpy()))
    values = _values(lists)
    for number in range(len(counts)):
        counts[number] += np.bincount(values[split == number], minlength=counts.shape[1])
