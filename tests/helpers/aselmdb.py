"""Databases of ASE in LMDB, as fairchem writes them."""

import json
import zlib

import lmdb
import numpy as np
from ase.db.row import AtomsRow


def plain(value):
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else np.asarray(value).tolist()


def write_rows(path, rows: dict[str, bytes], subdir: bool = False):
    with lmdb.open(str(path), subdir=subdir, map_size=1 << 24) as environment, environment.begin(write=True) as into:
        for key, value in rows.items():
            into.put(key.encode(), value)


def packed(content) -> bytes:
    return zlib.compress(json.dumps(content).encode())


def rows_of(molecules, **data) -> dict[str, bytes]:
    """Rows as fairchem writes them: arrays as lists, labels of the calculator among them."""
    rows = {}
    for number, atoms in enumerate(molecules, 1):
        row = AtomsRow(atoms)
        own = {
            key: row[key]
            for key in ("numbers", "positions", "cell", "pbc", "unique_id", "energy", "forces")
            if key in row
        }
        own = {key: value if isinstance(value, str) else plain(value) for key, value in own.items()}
        info = {key: value if isinstance(value, str) else plain(value) for key, value in atoms.info.items()}
        rows[str(number)] = packed(own | {"data": info | data, "ctime": 25.9, "mtime": 25.9, "user": "me"})
    return rows
