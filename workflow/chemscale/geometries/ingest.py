"""Ingest published geometries and their labels: from a file in one of the formats to a geometry store."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.files import sha256
from chemscale.geometries.charge_spin import validate_charge_spin
from chemscale.geometries.formats import FORMATS
from chemscale.geometries.raw_arrays import Block, failure
from chemscale.geometries.unit_checks import require_consistent
from chemscale.geometries.units import DEFAULTS, FLAGS
from chemscale.geometries.writing import write_store


def ingest(name: str, entry: dict, path: Path | str, directory: Path | str, digest: str | None = None) -> dict:
    """Make the dataset of a registry entry from the file at `path`; return its header.

    The entry has the `format`, the file's names of `energy` and `forces`, their units, the unit of lengths, and whether
    `forces_are` forces or the gradient; optionally also the file's names of `charge` and `spin`, and what `spin_is`.
    All is converted here, once. A label of NaN was not computed: such geometries are left out and counted. Raises
    ChemscaleError for an entry or a file that cannot be used, units or a sign that contradict the data, and a file
    whose SHA-256 is not `digest`.
    """
    path = Path(path)
    if not path.is_file():
        raise ChemscaleError(f"{name}: {path}: no such file")
    found = sha256(path)
    if digest and found != digest:
        raise ChemscaleError(f"{path}: changed since it was fetched, when its SHA-256 was {digest}; fetch it again")
    groups, failures = [], []
    facts = {"source": path.name, "source_sha256": found, "method": entry["method"], "not_computed": 0}
    return write_store(
        directory,
        name,
        entry,
        _converted(entry, path, groups, failures, facts),
        groups,
        failures,
        facts,
        lambda report: require_consistent(f"{name}: {path}", report["consistency"], entry),
    )


def _converted(entry: dict, path: Path, groups: list[str], failures: list[dict], facts: dict) -> Iterator[Block]:
    """Yield blocks in Å, eV and eV/Å; number the molecules as they come, count what has no labels or no positions."""
    factors = {key: values[entry.get(key, DEFAULTS.get(key))] for key, values in FLAGS.items()}
    numbers: dict[str, int] = {}  # of the molecules, by name
    for labelled in FORMATS[entry["format"]].read(path, entry):
        computed = np.isfinite(labelled.energy) & np.isfinite(labelled.forces).all((1, 2))
        facts["not_computed"] += int((~computed).sum())
        names = [name for name, kept in zip(labelled.groups, computed, strict=True) if kept]
        for name in names:
            if name not in numbers:
                numbers[name] = len(groups)
                groups.append(name)
        group = np.array([numbers[name] for name in names], int)
        raw = {key: values[computed] for key, values in labelled.charge_spin.items()}
        electrons = validate_charge_spin(labelled.where, entry, labelled.z, raw)
        positions = labelled.positions[computed]
        placed = np.isfinite(positions).all((1, 2))
        failures += [failure(int(group[k]), groups, int(k), "positions not finite") for k in np.flatnonzero(~placed)]
        yield Block(
            labelled.z,
            positions[placed] * factors["length_unit"],
            labelled.energy[computed][placed] * factors["energy_unit"],
            labelled.forces[computed][placed] * factors["forces_unit"] * factors["forces_are"],
            group[placed],
            **{key: values[placed] for key, values in electrons.items()},
        )
