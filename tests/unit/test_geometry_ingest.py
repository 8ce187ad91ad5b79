"""Files of geometries in every format, and what may be wrong with them."""

import json
import tarfile

import ase
import ase.db
import ase.io
import ase.units as units
import h5py
import numpy as np
import pandas as pd
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from chemscale.errors import ChemscaleError
from chemscale.geometries.consistency import TOTAL
from chemscale.geometries.formats import READERS
from chemscale.geometries.ingest import ingest
from chemscale.geometries.store import open_geometries

ENTRY = {
    "format": "ani1x",
    "method": "springs",
    "energy": "e",
    "forces": "f",
    "energy_unit": "hartree",
    "forces_unit": "hartree/angstrom",
    "unseen_molecules": 1,
    "test": 4,
    "validation": 4,
    "seed": 0,
    "max_failure_share": 0.05,
}
# Å
METHANE = np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * [[1.09 / 3**0.5]]
WATER = np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
MOLECULES = {"CH4": ([6, 1, 1, 1, 1], METHANE), "H2O": ([8, 1, 1], WATER)}


def springs(name, count, seed=0):
    """Molecules of springs: z (A,), and of `count` geometries positions in Å, energies in eV and forces in eV/Å."""
    z, minimum = MOLECULES[name]
    x = minimum + np.random.default_rng(seed).normal(size=(count, len(z), 3)) * 0.04
    k = {6: 31.0, 8: 49.0}[z[0]]
    bonds = x[:, 1:] - x[:, :1]
    length = np.linalg.norm(bonds, axis=-1)
    stretch = length - np.linalg.norm(minimum[1])
    pull = -k * stretch[..., None] * bonds / length[..., None]
    energy = sum(TOTAL[a] for a in z) * units.Hartree + 0.5 * k * (stretch**2).sum(1)
    return np.array(z), x, energy, np.concatenate([-pull.sum(1, keepdims=True), pull], 1)


def write_hdf5(path, length=1.0, energy=units.Hartree, force=units.Hartree, prefix="", names=None, symbols=False):
    names = {"z": "atomic_numbers", "x": "coordinates"} | (names or {})
    with h5py.File(path, "w") as file:
        for name in MOLECULES:
            z, x, e, f = springs(name, 30)
            group = file.create_group(prefix + name)
            group[names["z"]] = np.array([{1: b"H", 6: b"C", 8: b"O"}[a] for a in z]) if symbols else z.astype(np.uint8)
            group[names["x"]], group["e"], group["f"] = x / length, e / energy, f / force
    return path


def write_ani2x(path):
    """Two molecules of equal size in one group, in turns."""
    z, x, e, f = springs("H2O", 40)
    other = np.where(np.arange(40)[:, None] % 2, z, z[[1, 0, 2]])
    x, f = (np.where(np.arange(40)[:, None, None] % 2, a, a[:, [1, 0, 2]]) for a in (x, f))
    with h5py.File(path, "w") as file:
        group = file.create_group("003")
        group["species"], group["coordinates"], group["e"], group["f"] = other, x, e / units.Hartree, f / units.Hartree
    return path


def frames():
    for name in MOLECULES:
        for z, x, e, f in zip(*(v if len(v) == 30 else [v] * 30 for v in springs(name, 30)), strict=True):
            atoms = ase.Atoms(z, x, info={"name": name})
            atoms.calc = SinglePointCalculator(atoms, energy=e, forces=f)
            yield atoms


def stored(directory):
    """Energies and forces of the structures of a store, in an order that its seed does not decide."""
    geometries = open_geometries(directory)
    order = np.argsort(geometries.energy)
    return geometries.energy[order], geometries.forces[geometries.atoms(order)]


@pytest.fixture
def right(tmp_path):
    """Energies and forces as they should be stored."""
    made = [springs(name, 30) for name in MOLECULES]
    energy = np.concatenate([e for _, _, e, _ in made])
    forces = [f for _, _, _, forces in made for f in forces]
    order = np.argsort(energy)
    return energy[order], np.concatenate([forces[k] for k in order])


def ani(path):
    return write_hdf5(path), {}


def comp6(path):
    write_hdf5(path, force=-units.Hartree, prefix="set/inner/", names={"z": "species"}, symbols=True)
    return path, {"format": "comp6", "forces_are": "gradient"}


def spice(path):
    write_hdf5(path, units.Bohr, units.Hartree, -units.Hartree / units.Bohr, names={"x": "conformations"})
    with h5py.File(path, "a") as file:
        for name, smiles in (("CH4", "[C:1]([H:2])([H:3])([H:4])[H:5]"), ("H2O", "[O:1]([H:2])[H:3]")):
            file[name]["smiles"] = [smiles]
            file[name]["conformations"].attrs["units"] = "bohr"
    return path, {
        "format": "spice",
        "length_unit": "bohr",
        "forces_unit": "hartree/bohr",
        "forces_are": "gradient",
    }


def extxyz(path):
    path = path.with_suffix(".xyz")
    ase.io.write(path, list(frames()), format="extxyz")
    return path, {
        "format": "extxyz",
        "energy": "energy",
        "forces": "forces",
        "energy_unit": "eV",
        "forces_unit": "eV/angstrom",
    }


def asedb(path):
    path = path.with_suffix(".db")
    with ase.db.connect(path) as database:
        for atoms in frames():
            database.write(atoms, smiles=atoms.info["name"])
    return path, extxyz(path)[1] | {"format": "asedb"}


@pytest.mark.parametrize("write", [ani, comp6, spice, extxyz, asedb])
def test_one_store_from_every_format(write, tmp_path, right):
    path, own = write(tmp_path / "file")
    header = ingest("mine", ENTRY | own, path, tmp_path / "store")
    assert header["structures"] == {"total": 60, "unseen": 30, "test": 4, "validation": 4, "train": 22}
    assert header["duplicates"] == header["not_computed"] == 0 and header["elements"] == ["H", "C", "O"]
    energy, forces = stored(tmp_path / "store")
    np.testing.assert_allclose(energy, right[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(forces, right[1], atol=1e-5)
    names = json.loads((tmp_path / "store" / "groups.json").read_text())
    assert names == (
        {"spice": ["C", "O"], "comp6": ["set/inner/CH4", "set/inner/H2O"]}.get(own.get("format"), ["CH4", "H2O"])
    )


@pytest.mark.parametrize("column", [True, False])
def test_a_trajectory_in_an_archive_or_in_a_tar(tmp_path, column):
    z, x, e, f = springs("CH4", 30)
    e = e[:, None] if column else e  # as MD17 has it
    np.savez(tmp_path / "methane.npz", z=z, R=x, E=e / (units.kcal / units.mol), F=f / (units.kcal / units.mol))
    with tarfile.open(tmp_path / "all.tar.bz2", "w:bz2") as tar:
        tar.add(tmp_path / "methane.npz", "data/methane.npz")
    entry = ENTRY | {"format": "npz", "energy": "E", "forces": "F", "unseen_molecules": 0}
    entry |= {"energy_unit": "kcal/mol", "forces_unit": "kcal/mol/angstrom"}
    made = [ingest("md", entry, tmp_path / file, tmp_path / "store") for file in ("methane.npz", "all.tar.bz2")]
    assert made[0]["fingerprint"] == made[1]["fingerprint"] and made[0]["structures"]["train"] == 22
    np.testing.assert_allclose(stored(tmp_path / "store")[0], np.sort(e.ravel()), atol=1e-6)


def test_groups_of_one_size_hold_molecules_by_formula(tmp_path):
    entry = ENTRY | {"format": "ani2x", "unseen_molecules": 0}
    header = ingest("sizes", entry, write_ani2x(tmp_path / "ani2x.h5"), tmp_path / "store")
    assert header["structures"]["total"] == 40 and header["molecules"] == 1
    assert json.loads((tmp_path / "store" / "groups.json").read_text()) == ["H2O1"]
    geometries = open_geometries(tmp_path / "store")
    oxygen = geometries.z.reshape(40, 3).argmax(1)
    assert sorted(set(oxygen)) == [0, 1]  # every structure keeps its own order of atoms
    forces = geometries.forces.reshape(40, 3, 3)[np.arange(40), oxygen]
    assert np.abs(forces.std() - springs("H2O", 40)[3][:, 0].std()) < 1e-6


def test_blocks_of_bounded_size_make_the_same_store(tmp_path, monkeypatch):
    path, own = comp6(tmp_path / "file")
    whole = ingest("mine", ENTRY | own, path, tmp_path / "whole")
    monkeypatch.setattr("chemscale.geometries.formats.block.BLOCK_ATOMS", 12)
    assert max(len(block.energy) for block in READERS["comp6"](path, ENTRY | own)) == 4
    assert ingest("mine", ENTRY | own, path, tmp_path / "parts")["fingerprint"] == whole["fingerprint"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"forces_are": "gradient"}, "work -.*right may be forces_are: forces\\."),
        ({"forces_unit": "hartree/bohr"}, "work 0.5.*right may be forces_unit: hartree/angstrom\\."),
        ({"forces_unit": "eV/angstrom"}, "work 27.*right may be forces_unit: hartree/angstrom\\."),
        ({"length_unit": "bohr"}, "distance 0.5.*right may be length_unit: angstrom\\."),
        ({"energy_unit": "kcal/mol"}, "work 0.00.*total 0.00.*right may be energy_unit: hartree\\."),
        (
            {"energy_unit": "eV", "forces_unit": "eV/angstrom"},
            "stiffness 0.03.*right may be energy_unit: hartree with forces_unit: hartree/angstrom\\.",
        ),
    ],
)
def test_flags_that_cannot_be_are_refused_with_those_that_can(tmp_path, flags, said):
    path, _ = ani(tmp_path / "ani.h5")
    with pytest.raises(ChemscaleError, match=f"mine: .*ani.h5: .* cannot be: .*{said}"):
        ingest("mine", ENTRY | flags, path, tmp_path / "store")
    assert not (tmp_path / "store" / "geometries.json").exists() and not (tmp_path / "store" / "parts").exists()
    assert json.loads((tmp_path / "store" / "sanity.json").read_text())["structures"] == 60


def test_labels_that_do_not_belong_to_the_geometries(tmp_path):
    path, _ = ani(tmp_path / "ani.h5")
    with h5py.File(path, "a") as file:
        for name in MOLECULES:
            file[name]["f"][:] = np.abs(file[name]["f"][:]) * np.sign(file[name]["coordinates"][:])
    with pytest.raises(ChemscaleError, match="no other units or sign would put that right"):
        ingest("mine", ENTRY, path, tmp_path / "store")


def test_a_unit_the_file_states_itself(tmp_path):
    path, own = spice(tmp_path / "spice.h5")
    message = "CH4: the file says conformations is in bohr, the entry's length_unit is angstrom"
    with pytest.raises(ChemscaleError, match=message):
        ingest("mine", ENTRY | own | {"length_unit": "angstrom"}, path, tmp_path / "store")


def test_what_was_not_computed_is_left_out_and_counted(tmp_path):
    path, _ = ani(tmp_path / "ani.h5")
    with h5py.File(path, "a") as file:
        file["CH4/e"][1] = np.nan
        file["CH4/f"][2, 0, 0] = np.nan
        file["H2O"]["smiles"] = np.array([b"O"] * 10 + [b"[OH2]"] * 20)
    header = ingest("mine", ENTRY, path, tmp_path / "store")
    assert header["structures"]["total"] == 58 and header["not_computed"] == 2 and header["molecules"] == 3
    text = (tmp_path / "store" / "sanity.txt").read_text()
    assert "58 structures of 3 molecules" in text and "not computed 2, duplicates dropped 0" in text


def test_overlapping_atoms_and_lost_positions_are_refused_and_kept_with_the_reason(tmp_path):
    path, _ = ani(tmp_path / "ani.h5")
    with h5py.File(path, "a") as file:
        file["CH4/coordinates"][3, 1] = file["CH4/coordinates"][3, 2] + [0.2, 0.2, 0.2]
        file["H2O/coordinates"][7, 0, 0] = np.nan
    header = ingest("mine", ENTRY, path, tmp_path / "store")
    assert header["structures"]["total"] == 58 and header["failures"] == {"geometries": 2, "share": 2 / 60}
    rows = pd.read_parquet(tmp_path / "store" / "failures.parquet").to_dict("records")
    assert [(row["smiles"], row["geometry"], row["reason"]) for row in rows] == [
        ("CH4", 3, "atoms closer than 0.4 Å"),
        ("H2O", 7, "positions not finite"),
    ]
    with pytest.raises(ChemscaleError, match=r"2 of 60 geometries failed, more than max_failure_share 0.01"):
        ingest("mine", ENTRY | {"max_failure_share": 0.01}, path, tmp_path / "store")


def test_equal_geometries_are_kept_once(tmp_path):
    path, _ = ani(tmp_path / "ani.h5")
    before = ingest("mine", ENTRY, path, tmp_path / "before")
    with h5py.File(path, "a") as file:
        for key in ("coordinates", "e", "f"):
            values = file["H2O"][key][:]
            del file["H2O"][key]
            file["H2O"][key] = np.concatenate([values, values[:5]])
    after = ingest("mine", ENTRY, path, tmp_path / "after")
    assert after["duplicates"] == 5 and after["structures"]["total"] == 60
    assert after["fingerprint"] == before["fingerprint"]


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
        (damaged, r"file\.h5 is no readable HDF5 file \(.*truncated"),
        (element(0), "group H2O: 0 is no atomic number; right would be 1 to 118"),
        (element(200), "group H2O: 200 is no atomic number"),
        (without("f"), "group H2O has no dataset 'f'; it has atomic_numbers, coordinates, e"),
        (too_few, r"H2O/f has shape \(29, 3, 3\), expected \(30, 3, 3\)"),
        (lambda path: path.write_text("<html>challenge</html>"), "no readable HDF5 file"),
        (lambda path: path.unlink(), "no file"),
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
        ({"format": "spice"}, "group CH4 has no dataset 'conformations'; it has atomic_numbers, coordinates, e, f"),
        ({"format": "npz"}, "is no readable .npz"),
        ({"format": "extxyz"}, "frame 0 is no extended XYZ"),
        ({"format": "asedb"}, "no readable database of ASE"),
        ({"format": "pdb"}, "format 'pdb' is not known; it may be ani1x, ani2x, comp6, spice, npz, extxyz, asedb"),
        ({"forces_unit": "hartree/furlong"}, "forces_unit 'hartree/furlong' is not known; it may be eV/angstrom"),
        ({"energy": "f"}, r"CH4/f has shape \(30, 5, 3\), expected \(30,\)"),
    ],
)
def test_a_file_read_as_what_it_is_not(tmp_path, own, said):
    with pytest.raises(ChemscaleError, match=said):
        ingest("mine", ENTRY | own, write_hdf5(tmp_path / "file.h5"), tmp_path / "store")


def test_an_entry_that_says_too_little(tmp_path):
    entry = {key: value for key, value in ENTRY.items() if key not in ("format", "energy_unit")}
    with pytest.raises(ChemscaleError, match="mine: the entry lacks format, energy_unit"):
        ingest("mine", entry, write_hdf5(tmp_path / "file.h5"), tmp_path / "store")


def test_frames_without_labels_and_crystals(tmp_path):
    atoms = next(frames())
    own = extxyz(tmp_path / "file")[1]
    path = tmp_path / "bad.xyz"
    ase.io.write(path, ase.Atoms(atoms.numbers, atoms.positions), format="extxyz")
    with pytest.raises(ChemscaleError, match="frame 0 has no 'energy'; it has numbers, positions"):
        ingest("mine", ENTRY | own, path, tmp_path / "store")
    atoms.pbc, atoms.cell = True, np.eye(3) * 5
    ase.io.write(path, atoms, format="extxyz")
    with pytest.raises(ChemscaleError, match="frame 0: periodic in space"):
        ingest("mine", ENTRY | own, path, tmp_path / "store")


def test_a_damaged_or_incomplete_archive(tmp_path):
    z, x, e, f = springs("CH4", 30)
    entry = ENTRY | {"format": "npz", "energy": "E", "forces": "F"}
    path = tmp_path / "a.npz"
    np.savez(path, z=z, R=x, E=e)
    with pytest.raises(ChemscaleError, match=r"a\.npz has no array 'F'; it has z, R, E"):
        ingest("md", entry, path, tmp_path / "store")
    np.savez(path, z=z, R=x, E=e, F=f[:-1])
    with pytest.raises(ChemscaleError, match=r"a\.npz/F has shape \(29, 5, 3\), expected \(30, 5, 3\)"):
        ingest("md", entry, path, tmp_path / "store")
    np.savez(path, z=z, R=x, E=e, F=f)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ChemscaleError, match=r"a\.npz: damaged \(Bad CRC-32"):
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
    with pytest.raises(ChemscaleError, match="not the file that was fetched"):
        ingest("mine", ENTRY, tmp_path / "file.h5", store, "0" * 64)
