"""Geometries of others, with their labels, from the formats they are published in to a store."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.files import sha256
from chemscale.geometries.charge_spin import SPIN, counted
from chemscale.geometries.formats import FORMATS
from chemscale.geometries.unit_checks import require_consistent
from chemscale.geometries.units import DEFAULTS, FLAGS
from chemscale.geometries.writing import Block, write_store

NEEDED = ("format", "method", "energy", "forces", "energy_unit", "forces_unit")


def ingest(name: str, entry: dict, path: Path | str, directory: Path | str, digest: str | None = None) -> dict:
    """Make the dataset of a registry entry from the file at `path`; return its header.

    The entry names the `format`, the file's names of `energy` and `forces`, their units, that of lengths, and whether
    `forces_are` forces or the gradient; maybe also what the file calls `charge` and `spin`, and what `spin_is`. All is
    converted here, once. A NaN label was not computed there: such geometries are left out and counted. Raises
    ChemscaleError for an entry or a file that cannot be used, one whose units or sign cannot be true, and one whose
    SHA-256 is not `digest`.
    """
    path = Path(path)
    _check(name, entry)
    if not path.is_file():
        raise ChemscaleError(f"{name}: no file {path}")
    found = sha256(path)
    if digest and found != digest:
        raise ChemscaleError(f"{path}: not the file that was fetched, whose SHA-256 was {digest}; fetch it again")
    molecules: dict[str, int] = {}
    groups, failures = [], []
    facts = {"source": path.name, "source_sha256": found, "method": entry["method"], "not_computed": 0}
    return write_store(
        directory,
        name,
        entry,
        _converted(entry, path, molecules, groups, failures, facts),
        groups,
        failures,
        facts,
        lambda report: require_consistent(f"{name}: {path}", report["consistency"], entry),
    )


def _converted(
    entry: dict, path: Path, molecules: dict[str, int], groups: list[str], failures: list[dict], facts: dict
) -> Iterator[Block]:
    """Blocks in Å, eV and eV/Å; molecules are numbered as they come, what has no labels or no positions is counted."""
    to = {key: known[entry.get(key, DEFAULTS.get(key))] for key, known in FLAGS.items()}
    for z, positions, energy, forces, names, where, said in FORMATS[entry["format"]].read(path, entry):
        done = np.isfinite(energy) & np.isfinite(forces).all((1, 2))
        facts["not_computed"] += int((~done).sum())
        for name in np.asarray(names, object)[done]:
            if name not in molecules:
                molecules[name] = len(molecules)
                groups.append(name)
        group = np.array([molecules[name] for name in np.asarray(names, object)[done]], int)
        electrons = counted(where, entry, z, {key: numbers[done] for key, numbers in said.items()})
        placed = np.isfinite(positions[done]).all((1, 2))
        for k in np.flatnonzero(~placed):
            number = int(group[k])
            lost = {"molecule": number, "smiles": groups[number], "geometry": int(k), "geometries": 1}
            failures.append({**lost, "reason": "positions not finite"})
        yield Block(
            z,
            positions[done][placed] * to["length_unit"],
            energy[done][placed] * to["energy_unit"],
            forces[done][placed] * to["forces_unit"] * to["forces_are"],
            group[placed],
            **{key: numbers[placed] for key, numbers in electrons.items()},
        )


def _check(name: str, entry: dict) -> None:
    missing = [key for key in NEEDED if key not in entry]
    if missing:
        raise ChemscaleError(f"{name}: the entry lacks {', '.join(missing)}; config/README.md says what they are")
    for key, known in {"format": FORMATS, **FLAGS, "spin_is": SPIN}.items():
        value = entry.get(key, DEFAULTS.get(key))
        if value not in known:
            raise ChemscaleError(f"{name}: {key} {value!r} is not known; it may be {', '.join(known)}")
