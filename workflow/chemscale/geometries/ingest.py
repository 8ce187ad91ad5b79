"""Ingest published geometries and their labels: from files in one of the formats to a geometry store."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.files import require_paths, sha256
from chemscale.geometries.charge_spin import resolve_charge_spin
from chemscale.geometries.formats import FORMATS
from chemscale.geometries.molecule_names import name_structure
from chemscale.geometries.raw_arrays import Block, failure
from chemscale.geometries.units import FLAGS, resolve_units
from chemscale.geometries.writing import write_store

LOG = logging.getLogger(__name__)
# larger numbers are damage: no structure of molecules has them
MAX_POSITION, MAX_ENERGY, MAX_FORCE = 1e5, 1e9, 1e5  # Å, eV, eV/Å


def ingest(name: str, entry: dict, path: Path | str, directory: Path | str, digest: str | None = None) -> dict:
    """Make the dataset of a registry entry from the file or folder at `path`; return its header.

    The entry has the `format` and the file's names of `energy` and `forces`; its other keys are those of
    `chemscale.data.entries.GeometryFileEntry`. All is converted here, once. A label of NaN was not computed: such
    geometries, isolated atoms, and ions and radicals that the entry drops are left out and counted. Raises
    ChemscaleError for an entry or a file that cannot be used, units or a sign that contradict the data, and a file
    whose SHA-256 is not `digest`.
    """
    path = Path(path)
    require_paths(path)
    found = sha256(path)
    if digest and found != digest:
        raise ChemscaleError(f"{path}: changed since it was fetched, when its SHA-256 was {digest}; fetch it again")
    groups: list[str] = []
    failures: list[dict] = []
    facts = {"source": path.name, "source_sha256": found, "method": entry["method"], "not_computed": 0, "dropped": {}}
    header = write_store(
        directory, name, entry, converted(entry, path, groups, failures, facts), groups, failures, facts
    )
    left_out = {"not computed": header["not_computed"], **header["dropped"]}
    if any(left_out.values()):
        LOG.warning(
            "%s: left out: %s", name, ", ".join(f"{count:,} {what}" for what, count in left_out.items() if count)
        )
    return header


def converted(entry: dict, path: Path, groups: list[str], failures: list[dict], facts: dict) -> Iterator[Block]:
    """Yield blocks in Å, eV and eV/Å; number the molecules as they come, count what is left out."""
    numbers: dict[str, int] = {}  # of the molecules, by name
    dropped: Counter[str] = Counter()
    for labelled in FORMATS[entry["format"]].read(path, entry):
        units = facts["file_units"] = resolve_units(labelled.where, entry, labelled.units)
        factors = {flag: FLAGS[flag][unit] for flag, unit in units.items()}
        computed = np.isfinite(labelled.energy) & np.isfinite(labelled.forces).all((1, 2))
        if len(labelled.z) == 1:
            dropped["isolated atoms"] += len(computed)
            computed[:] = False
        else:
            facts["not_computed"] += int((~computed).sum())
        labelled = labelled.take(np.flatnonzero(computed))
        named = [name_structure(text, labelled.z) for text in labelled.names]
        electrons, reasons = resolve_charge_spin(labelled.place, entry, labelled.z, labelled.stated, named)
        dropped.update(reason for reason in reasons if reason)
        facts["dropped"] = dict(dropped)
        kept = np.array([reason is None for reason in reasons], bool)
        for molecule, is_kept in zip(named, kept, strict=True):
            if is_kept and molecule.name not in numbers:
                numbers[molecule.name] = len(groups)
                groups.append(molecule.name)
        group = np.array([numbers.get(molecule.name, -1) for molecule in named], int)
        positions = labelled.positions * factors["length_unit"]
        energy = labelled.energy * factors["energy_unit"]
        forces = labelled.forces * factors["forces_unit"] * factors["forces_are"]
        good = kept
        for reason, within in (
            ("positions not finite", np.isfinite(positions)),
            (f"positions beyond {MAX_POSITION:g} Å", abs(positions) <= MAX_POSITION),
            (f"energy beyond {MAX_ENERGY:g} eV", abs(energy)[:, None, None] <= MAX_ENERGY),
            (f"forces beyond {MAX_FORCE:g} eV/Å", abs(forces) <= MAX_FORCE),
        ):
            bad = good & ~within.all((1, 2))
            failures += [failure(int(group[k]), groups, int(labelled.index[k]), reason) for k in np.flatnonzero(bad)]
            good = good & ~bad
        yield Block(
            labelled.z,
            positions[good],
            energy[good],
            forces[good],
            group[good],
            **{key: values[good] for key, values in electrons.items()},
            index=labelled.index[good],
        )
