"""Databases of ASE in LMDB: read like those in SQLite; pickled objects are refused, not run."""

import pickle
import zlib

import numpy as np
import pytest
from helpers.aselmdb import packed, rows_of, write_rows
from helpers.spring_molecules import ENTRY, asedb, frames, stored

from chemscale.errors import ChemscaleError
from chemscale.geometries.ingest import ingest

OWN = ENTRY | {"format": "aselmdb"}


@pytest.mark.parametrize("subdir", [False, True])
def test_the_same_store_as_from_a_database_in_sqlite(tmp_path, subdir):
    path, own = asedb(tmp_path / "file")
    expected = ingest("mine", ENTRY | own, path, tmp_path / "expected")
    write_rows(tmp_path / "a.aselmdb", rows_of(frames()) | {"nextid": packed(61), "deleted_ids": packed([])}, subdir)
    entry = OWN | {key: own[key] for key in ("energy", "forces", "energy_unit", "forces_unit") if key in own}
    header = ingest("mine", entry | {"molecule": "name"}, tmp_path / "a.aselmdb", tmp_path / "store")
    assert header["structures"] == expected["structures"] and header["elements"] == expected["elements"]
    for found, right in zip(stored(tmp_path / "store"), stored(tmp_path / "expected"), strict=True):
        np.testing.assert_allclose(found, right, atol=1e-6)


def test_charges_in_the_data_are_not_taken_for_neutral(tmp_path):
    write_rows(tmp_path / "a.aselmdb", rows_of(frames(), charge=1, spin=1))
    with pytest.raises(ChemscaleError, match=r"row 1: .*charge"):
        ingest("mine", OWN | LABELS, tmp_path / "a.aselmdb", tmp_path / "store")


class Run:
    """A pickle of this would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickled_objects_are_refused_and_not_run(tmp_path):
    write_rows(tmp_path / "data.lmdb", {"0": pickle.dumps(Run(str(tmp_path / "was here")))})
    with pytest.raises(
        ChemscaleError, match=r"row 0: a pickled object, which runs code .* convert the file to .aselmdb"
    ):
        ingest("mine", OWN | LABELS, tmp_path / "data.lmdb", tmp_path / "store")
    assert not (tmp_path / "was here").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"no zlib", "row 2: .*not a database of ASE in LMDB"),
        (zlib.compress(b"{"), "row 2: .*not a database of ASE in LMDB"),
        (packed([1, 2]), "row 2: list; not a database"),
        (packed({"numbers": [1]}), "row 2: .*not a database of ASE in LMDB"),
        (zlib.compress(b"[" * 100_000), "row 2: .*not a database of ASE in LMDB"),
    ],
)
def test_damaged_rows_are_named(tmp_path, value, message):
    write_rows(tmp_path / "a.aselmdb", rows_of(frames()) | {"2": value})
    with pytest.raises(ChemscaleError, match=message):
        ingest("mine", OWN | LABELS, tmp_path / "a.aselmdb", tmp_path / "store")


def test_a_truncated_file_and_another_file_are_refused(tmp_path):
    write_rows(tmp_path / "a.aselmdb", rows_of(frames()))
    whole = (tmp_path / "a.aselmdb").read_bytes()
    for name, content in {"half": whole[: len(whole) // 2], "text": b"C\n" * 9000, "none": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ChemscaleError, match=name):
            ingest("mine", OWN | LABELS, tmp_path / name, tmp_path / "store")


LABELS = {"energy": "energy", "forces": "forces", "energy_unit": "eV", "forces_unit": "eV/angstrom"}
