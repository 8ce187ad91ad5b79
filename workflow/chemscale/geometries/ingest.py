"""Geometries of others, in the HDF5 layout of ANI-1x."""

from pathlib import Path

import ase.units as units
import h5py
import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.files import sha256
from chemscale.geometries.store import Block, flatten, write_store
from chemscale.progress import progress

# eV, and eV/Å, in one of each unit
ENERGY_UNITS = {"eV": 1.0, "hartree": units.Hartree, "kcal/mol": units.kcal / units.mol}
FORCE_UNITS = {
    "eV/angstrom": 1.0,
    "hartree/angstrom": units.Hartree,
    "hartree/bohr": units.Hartree / units.Bohr,
    "kcal/mol/angstrom": units.kcal / units.mol,
}


def ingest(name: str, entry: dict, path: Path | str, directory: Path | str) -> dict:
    """Make the dataset of a registry entry with `source: ani1x` from the HDF5 file at `path`; return its header.

    The layout (Smith et al., Sci. Data 7, 134 (2020)): a group per formula with `atomic_numbers` (A,), `coordinates`
    (K, A, 3) in Å, and energies (K,) and forces (K, A, 3) under the names in the entry's `energy` and `forces`, in its
    `energy_unit` and `forces_unit`. A NaN label was not computed there; such geometries are left out and counted. A
    dataset `smiles` (K,), where there is one, tells molecules of one formula apart.
    """
    path = Path(path)
    to_ev = _unit(name, entry, "energy_unit", ENERGY_UNITS)
    to_ev_per_angstrom = _unit(name, entry, "forces_unit", FORCE_UNITS)
    blocks, molecules, unlabelled = [], {}, 0
    try:
        file = h5py.File(path)
    except FileNotFoundError:
        raise ChemscaleError(f"{name}: no file {path}") from None
    except OSError as error:
        raise ChemscaleError(f"{name}: {path} is no readable HDF5 file ({error}); fetch it again") from None
    with file, progress(len(file), f"ingest {name}", "formulas") as tick:
        for formula, group in file.items():
            z, positions, energy, forces = _read(path, formula, group, entry)
            done = np.isfinite(energy) & np.isfinite(forces).all((1, 2))
            unlabelled += int((~done).sum())
            names = group["smiles"].asstr()[:] if "smiles" in group else np.full(len(energy), formula)
            numbers = np.array([molecules.setdefault(molecule, len(molecules)) for molecule in names[done]], int)
            blocks.append(Block(z, positions[done], energy[done] * to_ev, forces[done] * to_ev_per_angstrom, numbers))
            tick()
    if not molecules:
        raise ChemscaleError(f"{name}: {path} has no geometry with {entry['energy']} and {entry['forces']}")
    facts = {
        "source": path.name,
        "source_sha256": sha256(path),
        "method": entry["method"],
        "not_computed": unlabelled,
    }
    return write_store(directory, name, entry, flatten(blocks), list(molecules), [], facts)


def _read(path: Path, formula: str, group: h5py.Group, entry: dict) -> tuple[np.ndarray, ...]:
    """Atomic numbers, positions, energies and forces of one formula, their shapes checked."""
    keys = ("atomic_numbers", "coordinates", entry["energy"], entry["forces"])
    for key in keys:
        if key not in group:
            raise ChemscaleError(f"{path}: group {formula} has no dataset {key!r}; it has {', '.join(group)}")
    z, positions, energy, forces = (group[key][:] for key in keys)
    shapes = ((len(z),), (len(energy), len(z), 3), (len(energy),), (len(energy), len(z), 3))
    for key, array, shape in zip(keys, (z, positions, energy, forces), shapes, strict=True):
        if array.shape != shape:
            raise ChemscaleError(f"{path}: {formula}/{key} has shape {array.shape}, expected {shape}")
    return z, positions, energy, forces


def _unit(name: str, entry: dict, key: str, known: dict[str, float]) -> float:
    if entry[key] not in known:
        raise ChemscaleError(f"{name}: {key} {entry[key]!r} is not known; it may be {', '.join(known)}")
    return known[entry[key]]
