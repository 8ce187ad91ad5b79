"""Reader of ASE databases in LMDB (.aselmdb), as fairchem ships them.

A file maps the number of each row, as text, to zlib-compressed JSON of what ASE's database keeps of it; `metadata`,
`nextid` and `deleted_ids` are the other keys. Older files (data.lmdb) hold pickled objects, which are never read.
"""

import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from ase.db.row import AtomsRow

from chemscale.errors import ChemscaleError
from chemscale.files import UNPACKED_UNASKED
from chemscale.geometries.formats.block import Labelled, damaged
from chemscale.geometries.formats.frames import Frame, blocks, frame_of, metadata_units

PICKLE = b"\x80"  # first byte of a pickle; zlib's is another
READ_ALL = """
import os, sys, lmdb
with lmdb.open(sys.argv[1], subdir=os.path.isdir(sys.argv[1]), readonly=True, lock=False, create=False) as environment:
    with environment.begin() as transaction:
        for key, value in transaction.cursor():
            hash(value)
"""
NO_DATABASE = "not a database of ASE in LMDB"


def read_aselmdb(path: Path, entry: dict) -> Iterator[Labelled]:
    """Yield the blocks of an LMDB database of ASE, as `read_asedb`.

    Raises ChemscaleError for what `read_asedb` refuses, and for pickled objects.
    """
    stored = _stored(path)
    metadata = next(stored)
    frames = (_frame(path, number, packed) for number, packed in stored)
    yield from blocks(path, "row", frames, entry, metadata_units(path, metadata, entry))


def _stored(path: Path) -> Iterator[Any]:
    """Yield the metadata of a database, then number and value of each row."""
    _require_readable(path)
    try:
        with (
            lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, create=False) as environment,
            environment.begin() as transaction,
        ):
            metadata = transaction.get(b"metadata")
            yield _content(f"{path}: metadata", metadata) if metadata else {}
            for number in sorted(int(key) for key in transaction.cursor().iternext(values=False) if key.isdigit()):
                yield number, transaction.get(str(number).encode(), b"")
    except (lmdb.Error, OSError) as error:
        raise damaged(str(path), error, NO_DATABASE) from None


def _require_readable(path: Path) -> None:
    """Raise ChemscaleError if reading all values fails: in a process of its own, since a damaged file crashes LMDB."""
    done = subprocess.run([sys.executable, "-c", READ_ALL, str(path)], capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] if done.returncode > 0 else ["its pages are not in order"]
        raise ChemscaleError(f"{path}: {NO_DATABASE}, or damaged ({' '.join(said)}); fetch it again")


def _content(where: str, packed: bytes) -> dict[str, Any]:
    """Return the mapping that a value holds."""
    if packed.startswith(PICKLE):
        raise ChemscaleError(
            f"{where}: a pickled object, which runs code when it is read; convert the file to .aselmdb with fairchem, "
            "or to extended XYZ"
        )
    unpack = zlib.decompressobj()
    try:
        text = unpack.decompress(packed, UNPACKED_UNASKED)
        content = json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        raise damaged(where, error, NO_DATABASE) from None
    if not isinstance(content, dict):
        raise ChemscaleError(f"{where}: {type(content).__name__}; {NO_DATABASE}")
    return content


def _frame(path: Path, number: int, packed: bytes) -> Frame:
    where = f"{path}: row {number}"
    content = _content(where, packed)
    content.pop("constraints", None)  # of dynamics; they say nothing about the labels
    try:
        arrays = {key: np.asarray(value) for key, value in content.items() if isinstance(value, list)}
        return frame_of(AtomsRow(content | arrays | {"id": number}))
    except Exception as error:  # ASE's, depending on what is missing
        raise damaged(where, error, NO_DATABASE) from None
