"""Frames one after the other: extended XYZ and databases of ASE."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import ase.db
import ase.io
import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.geometries.charge_spin import named
from chemscale.geometries.formats.block import BLOCK_ATOMS, Labelled, elements, formula

HALF = 0.5  # elementary charges; what is less is the rounding of a neutral molecule


class Frame(NamedTuple):
    """One geometry and everything the file says of it."""

    atoms: ase.Atoms
    properties: dict
    where: str


def read_extxyz(path: Path, entry: dict) -> Iterator[Labelled]:
    """Blocks of an extended XYZ file. Molecules go by `smiles` or `name` of the comment line, else by formula.

    The entry says what `energy` is called in the comment line and `forces` among the columns. ChemscaleError for what
    cannot be read, lacks either, or is periodic.
    """
    return _blocks(_extxyz(path), entry)


def read_asedb(path: Path, entry: dict) -> Iterator[Labelled]:
    """Blocks of a database of ASE. Molecules go by `smiles` or `name` of the key-value pairs, else by formula.

    The entry says what `energy` and `forces` are called, among ASE's own, the key-value pairs or the data.
    """
    return _blocks(_asedb(path), entry)


def _extxyz(path: Path) -> Iterator[Frame]:
    frames = ase.io.iread(path, index=":", format="extxyz")
    number = 0
    while True:
        where = f"{path}: frame {number}"
        try:
            atoms = next(frames, None)
        except Exception as error:  # ASE's parser raises whatever Python does at the place
            raise ChemscaleError(f"{where} is no extended XYZ ({type(error).__name__}: {error})") from None
        if atoms is None:
            return
        labels = atoms.calc.results if atoms.calc else {}
        yield Frame(atoms, {**atoms.arrays, **atoms.info, **labels}, where)
        number += 1


def _asedb(path: Path) -> Iterator[Frame]:
    try:
        for row in ase.db.connect(path, type="json" if path.suffix == ".json" else "db").select():
            atoms = row.toatoms()
            labels = atoms.calc.results if atoms.calc else {}
            properties = {"charge": row.charge, **row.key_value_pairs, **row.data, **labels}
            yield Frame(atoms, properties, f"{path}: row {row.id}")
    except ChemscaleError:
        raise
    except Exception as error:  # of sqlite, JSON or ASE, by what is damaged
        raise ChemscaleError(f"{path} is no readable database of ASE ({type(error).__name__}: {error})") from None


def _blocks(frames: Iterable[Frame], entry: dict) -> Iterator[Labelled]:
    """Consecutive frames of the same atoms, together."""
    rows, z, where = [], None, ""
    for frame in frames:
        own = elements(frame.where, frame.atoms.numbers)
        if rows and (not np.array_equal(own, z) or (len(rows) + 1) * len(z) > BLOCK_ATOMS):
            yield _block(z, rows, where)
            rows = []
        if not rows:
            z, where = own, frame.where
        rows.append(_row(frame, own, entry))
    if rows:
        yield _block(z, rows, where)


def _block(z: np.ndarray, rows: list[tuple], where: str) -> Labelled:
    positions, energy, forces, molecules, electrons = zip(*rows, strict=True)
    electrons = {key: np.concatenate([each[key] for each in electrons]) for key in electrons[0]}
    return Labelled(z, np.array(positions), np.array(energy), np.array(forces), list(molecules), where, electrons)


def _row(frame: Frame, z: np.ndarray, entry: dict) -> tuple[np.ndarray, float, np.ndarray, str, dict]:
    atoms, properties, where = frame
    if atoms.pbc.any():
        raise ChemscaleError(f"{where}: periodic in space; only molecules can be taken")
    for key in (entry["energy"], entry["forces"]):
        if key not in properties:
            raise ChemscaleError(f"{where} has no {key!r}; it has {', '.join(map(str, properties))}")
    energy = np.asarray(properties[entry["energy"]], float)
    forces = np.asarray(properties[entry["forces"]], float)
    if energy.size != 1 or forces.shape != (len(atoms), 3):
        raise ChemscaleError(
            f"{where}: {entry['energy']} and {entry['forces']} have shapes {energy.shape} and {forces.shape}, "
            f"expected () and ({len(atoms)}, 3)"
        )
    said = properties.get("charge")
    if "charge" not in entry and isinstance(said, (int, float, np.number)) and abs(said) > HALF:
        raise ChemscaleError(
            f"{where} has a charge of {said:g}, and the entry would make it neutral; right would be charge: charge"
        )
    name = properties.get("smiles", properties.get("name"))
    name = str(name) if name is not None else formula(z)
    return atoms.positions, energy.item(), forces, name, named(where, entry, properties, 1)
