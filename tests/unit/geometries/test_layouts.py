"""Layouts that people have: names, nesting, padding and containers. All hold the same 60 structures of springs."""

import ase
import ase.io
import ase.units as units
import h5py
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from helpers.spring_molecules import ENTRY, MOLECULES, extxyz, frames, springs, stored, write_hdf5

from chemscale.errors import ChemscaleError
from chemscale.files import read_json
from chemscale.geometries.ingest import ingest

EV = {"energy_unit": "eV", "forces_unit": "eV/angstrom"}


def padded(order="C"):
    """Arrays of both molecules in one, the smaller one padded with empty places; the molecules take turns."""
    z, x, e, f = (np.zeros((60, 5), int), np.zeros((60, 5, 3)), np.zeros(60), np.zeros((60, 5, 3)))
    for k, name in enumerate(MOLECULES):
        own, positions, energy, forces = springs(name, 30)
        rows = slice(k, None, 2)
        z[rows, : len(own)], x[rows, : len(own)], e[rows], f[rows, : len(own)] = own, positions, energy, forces
    return {"z": z, "R": np.array(x, order=order), "E": e, "F": np.array(f, order=order), "name": list(MOLECULES) * 30}


def npz_padded(path):
    np.savez(path / "a.npz", **padded())
    return path / "a.npz", {"format": "npz", "energy": "E", "forces": "F", "molecule": "name"}


def npz_in_fortran_order_with_column_of_energies(path):
    arrays = padded("F")
    np.savez_compressed(path / "a.npz", **arrays | {"E": arrays["E"][:, None]})
    return path / "a.npz", {"format": "npz", "energy": "E", "forces": "F", "molecule": "name"}


def folder_of_npz(path):
    for name in MOLECULES:
        z, x, e, f = springs(name, 30)
        symbols = np.array([ase.data.chemical_symbols[a] for a in z])
        (path / "sub").mkdir(exist_ok=True)
        np.savez(path / "sub" / f"{name}.npz", symbols=symbols, xyz=x.reshape(30, -1), E=e, F=f.reshape(30, -1))
    return path / "sub", {"format": "npz", "energy": "E", "forces": "F"}


def folder_of_npy(path):
    (path / "arrays").mkdir()
    for key, array in padded().items():
        np.save(path / "arrays" / f"{key}.npy", array)
    return path / "arrays", {"format": "npz", "energy": "E", "forces": "F", "molecule": "name"}


def hdf5_without_groups(path):
    with h5py.File(path / "a.h5", "w") as file:
        for key, array in padded().items():
            file["xyz_in_angstrom" if key == "R" else key] = array
    keys = {"energy": "E", "forces": "F", "molecule": "name", "positions": "xyz_in_angstrom"}
    return path / "a.h5", {"format": "hdf5", **keys}


def hdf5_of_single_geometries(path):
    """As QM7-X: a molecule holds a group per conformation, whose arrays have no axis of geometries."""
    with h5py.File(path / "a.h5", "w") as file:
        for name in MOLECULES:
            z, x, e, f = springs(name, 30)
            for k in range(30):
                group = file.create_group(f"{name}/Geom-{k}")
                group["atNUM"], group["atXYZ"], group["E"], group["F"] = z, x[k], [e[k]], f[k]
    return path / "a.h5", {"format": "hdf5", "energy": "E", "forces": "F", "positions": "atXYZ", "numbers": "atNUM"}


def hdf5_with_numbers_in_the_parent(path):
    with h5py.File(path / "a.h5", "w") as file:
        for name in MOLECULES:
            z, x, e, f = springs(name, 30)
            file[f"{name}/atomic_numbers"] = z
            group = file.create_group(f"{name}/reaction")
            group["positions"], group["E"], group["F"] = x, e, f
    return path / "a.h5", {"format": "hdf5", "energy": "E", "forces": "F"}


def deepmd(path):
    for name in MOLECULES:
        z, x, e, f = springs(name, 30)
        system = path / "data" / name
        for k in range(2):
            (system / f"set.00{k}").mkdir(parents=True)
            rows = slice(15 * k, 15 * k + 15)
            np.save(system / f"set.00{k}" / "coord.npy", x[rows].reshape(15, -1))
            np.save(system / f"set.00{k}" / "energy.npy", e[rows])
            np.save(system / f"set.00{k}" / "force.npy", f[rows].reshape(15, -1))
        (system / "nopbc").touch()
        (system / "type_map.raw").write_text("H\nC\nO\n")
        (system / "type.raw").write_text("\n".join({1: "0", 6: "1", 8: "2"}[a] for a in z))
    return path / "data", {"format": "deepmd", "energy": "energy", "forces": "force"}


def traj(path):
    ase.io.write(path / "a.traj", list(frames()))
    return path / "a.traj", {"format": "traj", "energy": "energy", "forces": "forces"}


def several_extxyz_in_a_box(path):
    for k, atoms in enumerate(frames()):
        atoms.cell = np.eye(3) * 20
        atoms.calc.name = None
        ase.io.write(path / f"{k % 3}.xyz", atoms, format="extxyz", append=True)
        text = (path / f"{k % 3}.xyz").read_text().replace('pbc="F F F"', "")
        (path / f"{k % 3}.xyz").write_text(text)
    return path, {"format": "extxyz", "energy": "energy", "forces": "forces", "ignore_cell": True}


LAYOUTS = [
    npz_padded, npz_in_fortran_order_with_column_of_energies, folder_of_npz, folder_of_npy, hdf5_without_groups,
    hdf5_of_single_geometries, hdf5_with_numbers_in_the_parent, deepmd, traj, several_extxyz_in_a_box,
]  # fmt: skip


@pytest.mark.parametrize("write", LAYOUTS)
def test_one_store_from_every_layout(write, tmp_path):
    path, own = write(tmp_path)
    header = ingest("mine", ENTRY | EV | own, path, tmp_path / "store")
    assert header["structures"] == {"total": 60, "unseen": 30, "test": 4, "validation": 4, "train": 22}
    assert header["molecules"] == 2 and header["not_computed"] == 0 and header["elements"] == ["H", "C", "O"]
    energy, forces = stored(tmp_path / "store")
    made = [springs(name, 30) for name in MOLECULES]
    right = np.concatenate([e for _, _, e, _ in made])
    np.testing.assert_allclose(energy, np.sort(right), rtol=0, atol=1e-5)
    right = np.concatenate([[f for _, _, _, forces in made for f in forces][k] for k in np.argsort(right)])
    np.testing.assert_allclose(forces, right, atol=1e-5)


def test_atomic_numbers_that_are_equal_in_every_frame(tmp_path):
    z, x, e, f = springs("CH4", 30)
    np.savez(tmp_path / "a.npz", Z=np.tile(z, (30, 1)), R=x, E=e, F=f)
    entry = ENTRY | EV | {"format": "npz", "energy": "E", "forces": "F", "unseen_molecules": 0}
    assert ingest("mine", entry, tmp_path / "a.npz", tmp_path / "store")["structures"]["total"] == 30


def test_molecules_of_a_dataset_are_kept_apart_by_their_names(tmp_path):
    """As AIMNet2 and others: one group of many molecules of one formula, told apart by a dataset."""
    z, x, e, f = springs("CH4", 30)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("005")
        group["coord"], group["numbers"], group["energy"], group["forces"] = x, np.tile(z, (30, 1)), e, f
        group["mol_id"] = np.repeat([7, 8, 9], 10)
        group["letters"] = np.array([list(f"m{k}") for k in np.repeat([7, 8, 9], 10)], "S1")
    entry = ENTRY | EV | {"format": "hdf5", "energy": "energy", "forces": "forces", "test": 2, "validation": 2}
    for key, names in (("mol_id", ["7", "8", "9"]), ("letters", ["m7", "m8", "m9"])):
        ingest("mine", entry | {"molecule": key}, tmp_path / "a.h5", tmp_path / "store")
        assert read_json(tmp_path / "store" / "groups.json") == names
    with pytest.raises(ChemscaleError, match="molecule = 'id': not found; choose one of coord, energy, forces"):
        ingest("mine", entry | {"molecule": "id"}, tmp_path / "a.h5", tmp_path / "store")


def test_frames_without_forces_and_isolated_atoms_are_counted(tmp_path, caplog):
    path, own = extxyz(tmp_path / "file")
    extra = [ase.Atoms("H", info={"energy": -13.6, "config_type": "IsolatedAtom"})]
    for k, atoms in enumerate(frames()):
        if k < 3:
            bare = ase.Atoms(atoms.numbers, atoms.positions + 0.01)
            bare.calc = SinglePointCalculator(bare, energy=atoms.calc.results["energy"])
            extra.append(bare)
    ase.io.write(path, extra, format="extxyz", append=True)
    header = ingest("mine", ENTRY | own, path, tmp_path / "store")
    assert header["structures"]["total"] == 60 and header["not_computed"] == 3
    assert header["dropped"] == {"isolated atoms": 1}
    assert "mine: left out: 3 not computed, 1 isolated atoms" in caplog.text
    assert "1 × isolated atoms" in (tmp_path / "store" / "sanity.txt").read_text()


def test_energies_as_texts_with_their_unit(tmp_path):
    path, own = extxyz(tmp_path / "file")
    hartree = 1 / units.Hartree
    for k, atoms in enumerate(frames()):
        results = atoms.calc.results
        atoms.info["e"] = f"{results['energy'] * hartree:.10f} Ha"
        atoms.calc = SinglePointCalculator(atoms, forces=results["forces"])
        ase.io.write(path, atoms, format="extxyz", append=k > 0)
    own |= {"energy": "e", "energy_unit": "hartree"}
    ingest("mine", ENTRY | own, path, tmp_path / "store")
    energy, _ = stored(tmp_path / "store")
    np.testing.assert_allclose(energy, np.sort(np.concatenate([springs(n, 30)[2] for n in MOLECULES])), atol=1e-5)
    with pytest.raises(ChemscaleError, match="energy_unit = eV: the file states hartree"):
        ingest("mine", ENTRY | own | {"energy_unit": "eV"}, path, tmp_path / "store")


def object_symbols(path):
    _, x, e, f = springs("CH4", 30)
    np.savez(path / "a.npz", z=np.array(["C", "H", "H", "H", "H"], object), R=x, E=e, F=f)
    return path / "a.npz"


def lone_array(path):
    np.save(path / "R.npy", springs("CH4", 30)[1])
    return path / "R.npy"


def zeros_within(path):
    z, x, e, f = springs("CH4", 30)
    z = np.tile(z, (30, 1))
    z[3, 2] = 0
    np.savez(path / "a.npz", z=z, R=x, E=e, F=f)
    return path / "a.npz"


def atoms_lost_at_the_end(path):
    z, x, e, f = springs("CH4", 30)
    z = np.tile(z, (30, 1))
    z[3, 4] = 0
    np.savez(path / "a.npz", z=z, R=x, E=e, F=f)
    return path / "a.npz"


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (object_symbols, r"a\.npz/z: an array of Python objects, .* save texts as np\.array\(values, dtype=str\)"),
        (lone_array, r"R\.npy: a single array; expected an archive of all arrays \(np\.savez\)"),
        (zeros_within, "0 is not an atomic number; only empty places at the end may be padded with it"),
        (atoms_lost_at_the_end, "0 is not an atomic number; only empty places at the end"),
    ],
)
def test_archives_that_cannot_be_read_say_what_would_do(write, said, tmp_path):
    entry = ENTRY | EV | {"format": "npz", "energy": "E", "forces": "F", "unseen_molecules": 0}
    with pytest.raises(ChemscaleError, match=said):
        ingest("mine", entry, write(tmp_path), tmp_path / "store")


def test_names_that_the_format_does_not_know_are_asked_for(tmp_path):
    path = write_hdf5(tmp_path / "a.h5", names={"x": "where"})
    entry = ENTRY | {"format": "hdf5"}
    with pytest.raises(ChemscaleError, match=r"no 'coordinates' or .*; it has atomic_numbers, e, f, where; name"):
        ingest("mine", entry, path, tmp_path / "store")
    assert ingest("mine", entry | {"positions": "where"}, path, tmp_path / "store")["structures"]["total"] == 60


def test_a_box_is_refused_unless_the_entry_ignores_it(tmp_path):
    path, own = several_extxyz_in_a_box(tmp_path)
    with pytest.raises(ChemscaleError, match=r"0\.xyz: frame 1: periodic structure; .* set `ignore_cell: true`"):
        ingest("mine", ENTRY | EV | own | {"ignore_cell": False}, path, tmp_path / "store")
