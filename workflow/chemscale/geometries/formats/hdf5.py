"""Readers of HDF5 files: the layouts of ANI-1x, ANI-2x, COMP6 and SPICE, which differ in names and nesting only.

A group with coordinates is one molecule, formula or number of atoms; groups may be nested.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.geometries.charge_spin import read_charge_spin
from chemscale.geometries.formats.block import Labelled, elements, formula, require_shapes, slices
from chemscale.geometries.units import DEFAULTS
from chemscale.molecules.identity import canonical_name
from chemscale.progress import progress


class Layout(NamedTuple):
    """Names of the datasets in a group that the entry does not name."""

    z: str  # (A,) per group or (K, A) per geometry; numbers or symbols
    positions: str  # (K, A, 3)


def _read(layout: Layout, path: Path, entry: dict) -> Iterator[Labelled]:
    """Yield the blocks of an HDF5 file; the entry names the datasets of `energy` (K,) and `forces` (K, A, 3).

    A dataset `smiles`, per geometry or per group, names the molecules; without it, the path of the group in the file
    does, or in groups of many compositions the formula. Raises ChemscaleError for what is damaged or missing.
    """
    try:
        file = h5py.File(path)
    except OSError as error:
        raise ChemscaleError(f"{path}: not a readable HDF5 file ({error}); fetch it again") from None
    with file:
        where = str(path)
        try:
            groups = list(_groups(file, layout))
            if not groups:
                found = ", ".join(list(file)[:5]) or "nothing"
                raise ChemscaleError(f"{path}: no group has a dataset {layout.positions!r}; the file contains {found}")
            with progress(len(groups), f"ingest {path.name}", "groups") as tick:
                for group in groups:
                    where = f"{path}: group {group.name.strip('/')}"
                    yield from _blocks(where, group, layout, entry)
                    tick()
        except (OSError, RuntimeError, KeyError) as error:  # h5py raises these on damaged contents
            raise ChemscaleError(f"{where}: damaged ({error}); fetch the file again") from None


def _groups(group: h5py.Group, layout: Layout) -> Iterator[h5py.Group]:
    for name in group:
        inner = group[name]
        if isinstance(inner, h5py.Group):
            if layout.positions in inner or layout.z in inner:
                yield inner
            else:
                yield from _groups(inner, layout)


def _blocks(where: str, group: h5py.Group, layout: Layout, entry: dict) -> Iterator[Labelled]:
    names = (layout.z, layout.positions, entry["energy"], entry["forces"])
    for name in names:
        if name not in group:
            raise ChemscaleError(f"{where}: no dataset {name!r}; it has {', '.join(group)}")
    z, positions, energy, forces = (group[name] for name in names)
    for key, dataset in (("length_unit", positions), ("energy_unit", energy), ("forces_unit", forces)):
        _require_declared(where, entry, key, dataset)
    count, atoms = len(energy), z.shape[-1]
    each = (count, atoms, 3)
    require_shapes(
        where.replace(": group ", ": "),
        [
            (layout.z, z.shape, (count, atoms) if z.ndim == 2 else (atoms,)),
            (layout.positions, positions.shape, each),
            (entry["energy"], energy.shape, (count,)),
            (entry["forces"], forces.shape, each),
        ],
    )
    smiles = group["smiles"].asstr()[:] if "smiles" in group else None
    if smiles is not None and len(smiles) not in (1, count):
        raise ChemscaleError(f"{where}/smiles: {len(smiles)} entries; expected {count}, one per geometry, or 1")
    charge_spin = read_charge_spin(where, entry, group, count)
    for part in slices(count, atoms):
        species = elements(where, z[part] if z.ndim == 2 else z[:])
        arrays = positions[part], energy[part], forces[part]
        if smiles is not None:
            texts = smiles[part] if len(smiles) > 1 else [smiles[0]] * len(arrays[1])
            names = [canonical_name(text) for text in texts]
        else:
            names = [group.name.strip("/")] * len(arrays[1])
        if species.ndim == 1:
            yield Labelled(species, *arrays, names, where, {key: n[part] for key, n in charge_spin.items()})
            continue
        distinct, inverse = np.unique(species, axis=0, return_inverse=True)
        for k, same in enumerate(distinct):
            rows = np.flatnonzero(inverse.ravel() == k)
            own_names = [names[row] for row in rows] if smiles is not None else [formula(same)] * len(rows)
            own = {key: n[part][rows] for key, n in charge_spin.items()}
            yield Labelled(same, *(array[rows] for array in arrays), own_names, where, own)


def _require_declared(where: str, entry: dict, key: str, dataset: h5py.Dataset) -> None:
    """Raise ChemscaleError where the file states another unit than the entry."""
    stated = dataset.attrs.get("units")
    declared = entry.get(key, DEFAULTS.get(key))
    if stated is not None and str(stated) != declared:
        name = dataset.name.rsplit("/", 1)[-1]
        raise ChemscaleError(f"{where}: {key} = {declared}: the file states {stated} for {name}; correct the entry")


read_ani1x = partial(_read, Layout("atomic_numbers", "coordinates"))  # Smith et al., Sci. Data 7, 134 (2020)
read_ani2x = partial(_read, Layout("species", "coordinates"))  # Devereux et al., JCTC 16, 4192 (2020)
read_comp6 = partial(_read, Layout("species", "coordinates"))  # Smith et al., J. Chem. Phys. 148, 241733 (2018)
read_spice = partial(_read, Layout("atomic_numbers", "conformations"))  # Eastman et al., Sci. Data 10, 11 (2023)
