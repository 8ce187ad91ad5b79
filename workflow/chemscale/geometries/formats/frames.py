"""Readers of frames, one after the other: extended XYZ and databases of ASE."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import ase.db
import ase.io
import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.geometries.charge_spin import read_charge_spin
from chemscale.geometries.formats.block import BLOCK_ATOMS, Labelled, elements, formula
from chemscale.molecules.identity import canonical_name

MAX_ROUNDING = 0.5  # elementary charges; less is the rounding of a neutral molecule


class Frame(NamedTuple):
    """One geometry and everything that the file has on it."""

    atoms: ase.Atoms
    properties: dict
    where: str


def read_extxyz(path: Path, entry: dict) -> Iterator[Labelled]:
    """Yield the blocks of an extended XYZ file.

    The entry names `energy`, in the comment line, and `forces`, among the columns. The name of a molecule is `smiles`
    or `name` of the comment line, else its formula. Raises ChemscaleError for a frame that cannot be read, lacks either
    label, or is periodic.
    """
    return _blocks(_extxyz(path), entry)


def read_asedb(path: Path, entry: dict) -> Iterator[Labelled]:
    """Yield the blocks of a database of ASE.

    The entry names `energy` and `forces`, among the properties of ASE, the key-value pairs or the data. The name of a
    molecule is `smiles` or `name` of the key-value pairs, else its formula. Raises ChemscaleError as `read_extxyz`.
    """
    return _blocks(_asedb(path), entry)


def _extxyz(path: Path) -> Iterator[Frame]:
    frames = ase.io.iread(path, index=":", format="extxyz")
    number = 0
    while True:
        where = f"{path}: frame {number}"
        try:
            atoms = next(frames, None)
        except Exception as error:  # ASE's parser raises any exception of Python
            reason = f"{type(error).__name__}: {error}"
            raise ChemscaleError(f"{where}: not extended XYZ ({reason}); check the file") from None
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
    except Exception as error:  # of sqlite, JSON or ASE, depending on what is damaged
        raise ChemscaleError(
            f"{path}: not a readable database of ASE; check the file ({type(error).__name__}: {error})"
        ) from None


def _blocks(frames: Iterable[Frame], entry: dict) -> Iterator[Labelled]:
    """Yield blocks of consecutive frames of the same atoms."""
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
    positions, energy, forces, groups, charge_spin = zip(*rows, strict=True)
    charge_spin = {key: np.concatenate([each[key] for each in charge_spin]) for key in charge_spin[0]}
    return Labelled(z, np.array(positions), np.array(energy), np.array(forces), list(groups), where, charge_spin)


def _row(frame: Frame, z: np.ndarray, entry: dict) -> tuple[np.ndarray, float, np.ndarray, str, dict]:
    atoms, properties, where = frame
    if atoms.pbc.any():
        raise ChemscaleError(f"{where}: periodic in space; only molecules can be read")
    for key in (entry["energy"], entry["forces"]):
        if key not in properties:
            raise ChemscaleError(f"{where}: no {key!r}; it has {', '.join(map(str, properties))}")
    energy = np.asarray(properties[entry["energy"]], float)
    forces = np.asarray(properties[entry["forces"]], float)
    if energy.size != 1 or forces.shape != (len(atoms), 3):
        raise ChemscaleError(
            f"{where}: {entry['energy']} and {entry['forces']} have shapes {energy.shape} and {forces.shape}, "
            f"expected () and ({len(atoms)}, 3)"
        )
    charge = properties.get("charge")
    if "charge" not in entry and isinstance(charge, (int, float, np.number)) and abs(charge) > MAX_ROUNDING:
        raise ChemscaleError(
            f"{where}: charge = {charge:g}: the entry would make the molecule neutral; add `charge: charge` to it"
        )
    if "smiles" in properties:
        name = canonical_name(str(properties["smiles"]))
    else:
        name = str(properties.get("name", formula(z)))
    return atoms.positions, energy.item(), forces, name, read_charge_spin(where, entry, properties, 1)
