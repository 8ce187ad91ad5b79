"""Readers of frames, one after the other: extended XYZ, trajectories and databases of ASE."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ase.db
import ase.io
import numpy as np
from ase.db.row import AtomsRow

from chemscale.errors import ChemscaleError
from chemscale.geometries.charge_spin import ENTRY_KEYS, FROM_SMILES, relevant_names, totals
from chemscale.geometries.formats.block import BLOCK_ATOMS, Labelled, damaged, elements, formula, number_with_unit
from chemscale.geometries.units import stated_units, unit_names


class Frame(NamedTuple):
    """One geometry and everything that the file has on it."""

    atoms: ase.Atoms
    properties: dict[str, Any]
    number: int  # in the file, from 1


class Row(NamedTuple):
    """A frame as a block takes it; labels that it lacks are NaN."""

    number: int
    positions: np.ndarray  # (A, 3)
    energy: float
    forces: np.ndarray  # (A, 3)
    name: str
    stated: dict[str, float]


def read_extxyz(path: Path, entry: dict) -> Iterator[Labelled]:
    """Yield the blocks of an extended XYZ file.

    The entry names `energy`, in the comment line, and `forces`, among the columns. The name of a molecule is what the
    entry names `molecule`, else `smiles` or `name` of the comment line, else its formula. A frame that lacks a label
    was not computed. Raises ChemscaleError for a frame that cannot be read or is periodic, and where no frame has both
    labels.
    """
    yield from blocks(path, "frame", _iterated(path, "extxyz"), entry)


def read_traj(path: Path, entry: dict) -> Iterator[Labelled]:
    """Yield the blocks of a trajectory of ASE (.traj), as `read_extxyz`."""
    yield from blocks(path, "frame", _iterated(path, "traj"), entry)


def read_asedb(path: Path, entry: dict) -> Iterator[Labelled]:
    """Yield the blocks of a database of ASE, as `read_extxyz`.

    The entry names `energy` and `forces` among the properties of ASE, the key-value pairs or the data. Units are taken
    from the metadata that schnetpack writes.
    """
    try:
        with ase.db.connect(path, type="json" if path.suffix == ".json" else "db") as database:
            metadata = database.metadata
    except Exception as error:  # of sqlite, JSON or ASE, depending on what is damaged
        raise damaged(str(path), error, "not a readable database of ASE") from None
    yield from blocks(path, "row", _rows_of(path), entry, metadata_units(path, metadata, entry))


def metadata_units(path: Path, metadata: dict, entry: dict) -> dict[str, str]:
    """Return the units that the metadata of a database state, as schnetpack writes them."""
    of_properties = metadata.get("_property_unit_dict") or {}
    units = [("length_unit", metadata.get("_distance_unit"))]
    units += [(f"{key}_unit", of_properties.get(entry[key])) for key in ("energy", "forces")]
    return stated_units(str(path), metadata, [(flag, text) for flag, text in units if text is not None])


def _iterated(path: Path, form: str) -> Iterator[Frame]:
    frames = ase.io.iread(path, index=":", format=form)
    number = 1
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                atoms = next(frames, None)
        except Exception as error:  # ASE's parsers raise any exception of Python
            kind = {"extxyz": "extended XYZ", "traj": "a trajectory of ASE"}[form]
            raise damaged(f"{path}: frame {number}", error, f"not {kind}") from None
        if atoms is None:
            return
        labels = atoms.calc.results if atoms.calc else {}
        yield Frame(atoms, {**atoms.arrays, **atoms.info, **labels}, number)
        number += 1


def _rows_of(path: Path) -> Iterator[Frame]:
    try:
        for row in ase.db.connect(path, type="json" if path.suffix == ".json" else "db").select():
            yield frame_of(row)
    except ChemscaleError:
        raise
    except Exception as error:
        raise damaged(str(path), error, "not a readable database of ASE") from None


def frame_of(row: AtomsRow) -> Frame:
    """Return a row of a database as a frame."""
    atoms = row.toatoms()
    labels = atoms.calc.results if atoms.calc else {}
    properties = {**atoms.arrays, **row.key_value_pairs, **row.data, **labels}
    if row.get("charge") is not None:  # the sum of ASE's initial charges, 0 without them: what is stated elsewhere wins
        properties.setdefault("charge", row.charge)
    return Frame(atoms, properties, row.id)


def blocks(
    path: Path, kind: str, frames: Iterable[Frame], entry: dict, units: dict[str, str] | None = None
) -> Iterator[Labelled]:
    """Yield blocks of consecutive frames of the same atoms."""
    for key in ("numbers", "positions"):
        if key in entry:
            raise ChemscaleError(f"{path}: {key} = {entry[key]!r}: this format stores {key} itself; remove {key}")
    rows: list[Row] = []
    z, stated, labelled, fault = np.zeros(0, np.uint8), units or {}, False, ""
    for frame in frames:
        place = f"{path}: {kind} {frame.number}"
        own = elements(place, frame.atoms.numbers)
        if not own.all() or not len(own):
            raise ChemscaleError(f"{place}: no atoms, or an atom without an element; correct the file")
        row, own_units = _row(place, frame, own, entry, units or {})
        lacking = [key for key in ("energy", "forces") if not np.isfinite(getattr(row, key)).any()]
        labelled |= not lacking
        if lacking and not fault:
            has = ", ".join(map(str, frame.properties))
            names = " and ".join(repr(entry[key]) for key in lacking)
            fault = f"{place}: no {names}, nor has any other {kind}; it has {has}"
        if rows and (not np.array_equal(own, z) or own_units != stated or (len(rows) + 1) * len(z) > BLOCK_ATOMS):
            yield _block(path, kind, z, rows, stated)
            rows = []
        z, stated = own, own_units
        rows.append(row)
    if rows:
        yield _block(path, kind, z, rows, stated)
    if not labelled:
        raise ChemscaleError(fault or f"{path}: the file has no {kind}s; check it")


def _block(path: Path, kind: str, z: np.ndarray, rows: list[Row], units: dict[str, str]) -> Labelled:
    numbers, positions, energy, forces, names, stated = zip(*rows, strict=True)
    keys = dict.fromkeys(key for own in stated for key in own)
    sums = {key: np.array([own.get(key, np.nan) for own in stated]) for key in keys}
    labels = np.array(positions), np.array(energy), np.array(forces)
    return Labelled(z, *labels, names, str(path), np.array(numbers), kind, sums, units)


def _row(where: str, frame: Frame, z: np.ndarray, entry: dict, units: dict[str, str]) -> tuple[Row, dict[str, str]]:
    """Return a frame as a block takes it, and the units that the file states for it."""
    atoms, properties, number = frame
    if atoms.pbc.any() and not entry.get("ignore_cell"):
        raise ChemscaleError(
            f"{where}: periodic structure; only isolated molecules are supported; for a molecule in a box set "
            "`ignore_cell: true`"
        )
    found: dict[str, np.ndarray] = {}
    stated = list(units.items())
    for key, shape in (("energy", ()), ("forces", (len(atoms), 3))):
        value = properties.get(entry[key])
        values, of_text = number_with_unit(f"{where}: {entry[key]}", f"{key}_unit", np.nan if value is None else value)
        stated += of_text.items()
        if value is None:
            values = np.full(shape, np.nan)
        if values.size != int(np.prod(shape)):
            raise ChemscaleError(f"{where}: {entry[key]}: shape {values.shape}; expected {shape}")
        found[key] = values.reshape(shape)
    sums = {}
    for name in relevant_names(entry, properties):
        if not (name == FROM_SMILES and isinstance(properties[name], str)):
            sums[name] = float(totals(where, name, properties[name], len(atoms), 1)[0])
    for key in ENTRY_KEYS:
        lacks = key in entry and entry[key] not in sums and entry[key] != FROM_SMILES
        if lacks and not (key == "charge" and "missing_charge" in entry):
            has = ", ".join(map(str, properties))
            raise ChemscaleError(f"{where}: {key} = {entry[key]!r}: not found; choose one of {has}, or leave {key} out")
        if lacks:
            sums[entry[key]] = np.nan
    text = properties.get(entry.get("molecule", "smiles"), None if "molecule" in entry else properties.get("name"))
    if text is None and "molecule" in entry:
        raise ChemscaleError(
            f"{where}: molecule = {entry['molecule']!r}: not found; it has {', '.join(map(str, properties))}"
        )
    row = Row(
        number,
        atoms.positions,
        float(found["energy"]),
        found["forces"],
        formula(z) if text is None else str(text),
        sums,
    )
    return row, stated_units(where, {name: properties[name] for name in unit_names(properties)}, stated)
