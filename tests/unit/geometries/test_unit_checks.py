"""Files and entries of geometries that cannot be used: each is said, with what would be right."""

import json

import ase
import ase.db
import ase.io
import h5py
import numpy as np
import pytest
from helpers.spring_molecules import ENTRY, extxyz, frames, springs, write_hdf5

from chemscale.errors import ChemscaleError
from chemscale.geometries.ingest import ingest
from chemscale.geometries.store import open_geometries


def damaged(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def element(value):
    def change(path):
        with h5py.File(path, "a") as file:
            file["H2O/atomic_numbers"][0] = value

    return change


def without(key):
    def change(path):
        with h5py.File(path, "a") as file:
            del file["H2O"][key]

    return change


def too_few(path):
    with h5py.File(path, "a") as file:
        forces = file["H2O/f"][:]
        del file["H2O/f"]
        file["H2O/f"] = forces[:-1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (damaged, r"file\.h5: not a readable HDF5 file \(.*truncated"),
        (element(0), "group H2O/atomic_numbers: 0 is not an atomic number; expected 1 to 118"),
        (element(200), "group H2O/atomic_numbers: 200 is not an atomic number"),
        (without("f"), "group H2O: no 'f'; it has atomic_numbers, coordinates, e"),
        (too_few, r"H2O/f: shape \(29, 3, 3\); expected \(30, 3, 3\)"),
        (lambda path: path.write_text("<html>challenge</html>"), "not a readable HDF5 file"),
        (lambda path: path.unlink(), "no such file"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, change, said):
    path = write_hdf5(tmp_path / "file.h5")
    change(path)
    with pytest.raises(ChemscaleError, match=said):
        ingest("mine", ENTRY, path, tmp_path / "store")


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"format": "spice"}, "group CH4: no 'conformations'; it has atomic_numbers, coordinates, e, f"),
        ({"format": "npz"}, "not a readable .npz"),
        ({"format": "extxyz"}, "frame 1: not extended XYZ"),
        ({"format": "asedb"}, "not a readable database of ASE"),
        ({"energy": "f"}, r"CH4/f: shape \(30, 5, 3\); expected \(30,\)"),
    ],
)
def test_a_file_read_as_what_it_is_not(tmp_path, own, said):
    with pytest.raises(ChemscaleError, match=said):
        ingest("mine", ENTRY | own, write_hdf5(tmp_path / "file.h5"), tmp_path / "store")


def test_frames_without_labels_and_crystals(tmp_path):
    atoms = next(frames())
    own = extxyz(tmp_path / "file")[1]
    path = tmp_path / "bad.xyz"
    ase.io.write(path, ase.Atoms(atoms.numbers, atoms.positions), format="extxyz")
    with pytest.raises(ChemscaleError, match=r"frame 1: no 'energy' and 'forces', nor .* other frame; it has numbers"):
        ingest("mine", ENTRY | own, path, tmp_path / "store")
    atoms.pbc, atoms.cell = True, np.eye(3) * 5
    ase.io.write(path, atoms, format="extxyz")
    with pytest.raises(ChemscaleError, match="frame 1: periodic structure"):
        ingest("mine", ENTRY | own, path, tmp_path / "store")


def test_a_damaged_or_incomplete_archive(tmp_path):
    z, x, e, f = springs("CH4", 30)
    entry = ENTRY | {"format": "npz", "energy": "E", "forces": "F"}
    path = tmp_path / "a.npz"
    np.savez(path, z=z, R=x, E=e)
    with pytest.raises(ChemscaleError, match=r"a\.npz: no 'F'; it has z, R, E"):
        ingest("md", entry, path, tmp_path / "store")
    np.savez(path, z=z, R=x, E=e, F=f[:-1])
    with pytest.raises(ChemscaleError, match=r"a\.npz/F: shape \(29, 5, 3\); expected \(30, 5, 3\)"):
        ingest("md", entry, path, tmp_path / "store")
    np.savez(path, z=z, R=x, E=e, F=f)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ChemscaleError, match=r"a\.npz: damaged \(BadZipFile: Bad CRC-32"):
        ingest("md", entry, path, tmp_path / "store")


def test_a_store_of_another_file_is_not_taken_for_this_ones(tmp_path):
    """`fetch` after a change of the entry writes a new source.json, beside the store of the old one."""
    store = tmp_path / "store"
    header = ingest("mine", ENTRY, write_hdf5(tmp_path / "file.h5"), store)
    source = {"name": "mine", "entry": ENTRY, "sha256": header["source_sha256"]}
    (store / "source.json").write_text(json.dumps(source))
    assert len(open_geometries(store).energy) == 60
    for change, said in (
        ({"name": "other"}, "made from the dataset mine, but source.json names other"),
        ({"sha256": "0" * 64}, "made from the file with the SHA-256"),
        ({"entry": ENTRY | {"seed": 1}}, "made from the entry"),
    ):
        (store / "source.json").write_text(json.dumps(source | change))
        with pytest.raises(ChemscaleError, match=said):
            open_geometries(store)
    with pytest.raises(ChemscaleError, match="changed since it was fetched"):
        ingest("mine", ENTRY, tmp_path / "file.h5", store, "0" * 64)
