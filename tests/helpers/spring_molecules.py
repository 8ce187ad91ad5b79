"""Molecules of springs, whose energies and forces are known, and files of them in the formats of others."""

import ase
import ase.db
import ase.io
import ase.units as units
import h5py
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

from chemscale.geometries.store import open_geometries
from chemscale.geometries.unit_ratios import ATOM_ENERGIES

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
    energy = sum(ATOM_ENERGIES[a] for a in z) * units.Hartree + 0.5 * k * (stretch**2).sum(1)
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
