"""No split leaks into another: one name per molecule, equal geometries, and what the audit finds."""

import ase.io
import h5py
import numpy as np
import pytest
from ase.build import molecule
from helpers.spring_molecules import ENTRY, extxyz, frames, springs, write_hdf5

from chemscale.errors import ChemscaleError
from chemscale.files import read_json
from chemscale.geometries.ingest import ingest
from chemscale.geometries.raw_arrays import Block
from chemscale.geometries.splits import audit, bond_hash
from chemscale.geometries.writing import write_store


@pytest.mark.parametrize("key", ["smiles", "name"])
def test_a_molecule_spelt_in_several_ways_is_one(tmp_path, key):
    path, own = extxyz(tmp_path / "file")
    spelt = {"CH4": ["C", "[CH4]", "[C:1]([H:2])([H:3])([H:4])[H:5]"], "H2O": ["O", "[H]O[H]", "[OH2:7]"]}
    everything = []
    for k, atoms in enumerate(frames()):
        atoms.info = {key: spelt[atoms.info["name"]][k % 3]}
        everything.append(atoms)
    ase.io.write(path, everything, format="extxyz")
    header = ingest("mine", ENTRY | own, path, tmp_path / "store")
    assert header["molecules"] == 2 and read_json(tmp_path / "store" / "groups.json") == ["C", "O"]


def test_a_formula_that_is_a_smiles_of_something_else_stays_a_formula(tmp_path):
    path, own = extxyz(tmp_path / "file")
    everything = []
    for atoms in frames():
        atoms.info = {"name": {"CH4": "CO", "H2O": "OCC"}[atoms.info["name"]]}
        everything.append(atoms)
    ase.io.write(path, everything, format="extxyz")
    ingest("mine", ENTRY | own, path, tmp_path / "store")
    assert read_json(tmp_path / "store" / "groups.json") == ["CO", "OCC"], "not canonical: other atoms"


@pytest.mark.parametrize(("key", "change", "said"), [("e", 0.01, "0.272 eV"), ("f", 0.01, "0.272 eV/Å")])
def test_equal_geometries_with_other_labels_are_refused(tmp_path, key, change, said):
    path = write_hdf5(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        for name in ("coordinates", "e", "f"):
            values = file["H2O"][name][:]
            del file["H2O"][name]
            file["H2O"][name] = np.concatenate([values, values[:5] + (change if name == key else 0)])
    with pytest.raises(ChemscaleError, match=f"mine: 5 geometries equal another one but have other labels: .*{said}"):
        ingest("mine", ENTRY, path, tmp_path / "store")


def test_the_audit_counts_molecules_that_are_near_to_others(tmp_path):
    """Two enantiomers by name, and two groups of one molecule under names that say nothing."""
    z, x, e, f = springs("CH4", 10)
    blocks = [Block(z, x + k, e, f, np.full(10, k)) for k in range(3)]
    entry = {"unseen_molecules": 1, "test": 2, "validation": 2, "seed": 0, "max_failure_share": 0}
    names = ["C[C@H](F)Cl", "C[C@@H](F)Cl", "C[C@H](F)[O-]"]
    header = write_store(tmp_path / "a", "near", entry, blocks, names, [], {})
    found = header["audit"]
    assert found["unseen_but_for_name"] == 1
    assert found["unseen_but_for_stereo"] == (header["entry"]["seed"] == 0 and found["unseen_but_for_stereo"])
    assert "no unseen molecule is in another split" in found["statement"]
    assert f"splits: {found['statement']}" in (tmp_path / "a" / "sanity.txt").read_text()


def test_the_audit_finds_a_leak():
    raw = {"group": np.array([0, 1, 0]), "digest": np.array([b"a" * 16, b"b" * 16, b"c" * 16], "V16")}
    counts = {"unseen": 1, "test": 1, "validation": 0, "train": 1}
    with pytest.raises(ChemscaleError, match="1 molecules or structures are in two splits"):
        audit("own", ["C", "O"], raw, np.arange(3), counts)
    raw |= {"group": np.array([0, 1, 1]), "digest": np.array([b"a" * 16, b"b" * 16, b"b" * 16], "V16")}
    with pytest.raises(ChemscaleError, match="1 molecules or structures are in two splits"):
        audit("own", ["C", "O"], raw, np.arange(3), counts)


def test_the_hash_of_bonds_knows_atoms_and_bonds_but_no_order_or_place():
    def hashed(name, order=None, turn=0):
        atoms = molecule(name)
        atoms.rotate(turn, (1, 2, 3))
        atoms.positions += turn
        atoms = atoms[order] if order is not None else atoms
        return bond_hash(atoms.numbers, atoms.positions.astype(np.float32))

    order = np.random.default_rng(0).permutation(9)
    assert hashed("CH3CH2OH") == hashed("CH3CH2OH", order, 40) != hashed("CH3OCH3")
    assert len({hashed(name) for name in ("C3H4_C3v", "C3H4_D2d", "C3H4_C2v")}) == 3, "propyne, allene, cyclopropene"
