"""Readers of HDF5 files: the layouts of ANI-1x, ANI-2x, COMP6, SPICE and others, which differ in names and nesting.

A group with positions holds geometries of one molecule, formula or number of atoms; groups may be nested, and the file
itself may be such a group.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.geometries.formats.arrays import NUMBERS, POSITIONS, blocks_of_arrays
from chemscale.geometries.formats.block import Labelled, damaged
from chemscale.progress import progress

DAMAGED = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError)  # of damaged contents


def _read(numbers: tuple[str, ...], positions: tuple[str, ...], path: Path, entry: dict) -> Iterator[Labelled]:
    """Yield the blocks of an HDF5 file with datasets called `numbers` and `positions`, unless the entry names them.

    A group of one geometry belongs to the molecule of its parent, as in QM7-X. Datasets that a group lacks are looked
    up in its parents. Raises ChemscaleError for what is damaged or missing.
    """
    try:
        file = h5py.File(path)
    except OSError as error:
        raise damaged(str(path), error, "not a readable HDF5 file") from None
    names = (entry["positions"],) if "positions" in entry else positions
    with file:
        where = str(path)
        try:
            groups = list(_groups(file, names, (entry["numbers"],) if "numbers" in entry else numbers))
            if not groups:
                found = ", ".join(list(file)[:5]) or "nothing"
                raise ChemscaleError(
                    f"{path}: no group has a dataset {' or '.join(map(repr, names))}; the file contains {found}; name "
                    "the positions in `positions`"
                )
            with progress(len(groups), f"ingest {path.name}", "groups") as tick:
                for group in groups:
                    inner = group.name.strip("/")
                    where = f"{path}: group {inner}" if inner else str(path)
                    arrays = _Datasets(group)
                    used = next((name for name in names if name in arrays), None)
                    labels = {used: "length_unit", entry["energy"]: "energy_unit", entry["forces"]: "forces_unit"}
                    units = [(flag, text) for name, flag in labels.items() for text in arrays.units(name)]
                    if used is not None and arrays[used].ndim == 2 and arrays[used].shape[1] == 3 and "/" in inner:
                        inner = inner.rsplit("/", 1)[0]
                    yield from blocks_of_arrays(where, arrays, entry, numbers, positions, inner, tuple(units))
                    tick()
        except DAMAGED as error:
            raise damaged(where, error) from None


def _groups(group: h5py.Group, positions: tuple[str, ...], numbers: tuple[str, ...]) -> list[h5py.Group]:
    """Return the groups with positions, in the order of the file; without any, those with atomic numbers."""

    def has(names: tuple[str, ...]) -> bool:
        return any(isinstance(group.get(name), h5py.Dataset) for name in names)

    if has(positions):
        return [group]
    found = []
    for name in group:
        inner = group.get(name)
        if isinstance(inner, h5py.Group) and isinstance(group.get(name, getlink=True), h5py.HardLink):
            found += _groups(inner, positions, numbers)
    return found or ([group] if group.name != "/" and has(numbers) else [])


class _Datasets(Mapping):
    """The datasets and attributes of a group, and those of its parents that it lacks."""

    def __init__(self, group: h5py.Group):
        self.group = group

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in self.group if isinstance(self.group.get(name), h5py.Dataset))
        for group in self._up():
            yield from group.attrs

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return self._find(name) is not None

    def __getitem__(self, name: str) -> Any:
        found = self._find(name)
        if found is None:
            raise KeyError(name)
        return found

    def units(self, name: str | None) -> list[object]:
        """Return the texts of units that are attributes of a dataset."""
        found = self._find(name)
        attributes = found.attrs if isinstance(found, h5py.Dataset) else {}
        return [attributes[key] for key in ("units", "unit") if key in attributes]

    def _find(self, name: object) -> Any:
        for group in self._up() if isinstance(name, str) and name else ():
            if isinstance(group.get(name), h5py.Dataset):
                return group[name]
            if name in group.attrs and not isinstance(group.attrs[name], h5py.Empty):
                return np.asarray(group.attrs[name])
        return None

    def _up(self) -> Iterator[h5py.Group]:
        group = self.group
        yield group
        while group.name != "/":
            group = group.parent
            yield group


read_ani1x = partial(_read, ("atomic_numbers",), ("coordinates",))  # Smith et al., Sci. Data 7, 134 (2020)
read_ani2x = partial(_read, ("species",), ("coordinates",))  # Devereux et al., JCTC 16, 4192 (2020)
read_comp6 = partial(_read, ("species",), ("coordinates",))  # Smith et al., J. Chem. Phys. 148, 241733 (2018)
read_spice = partial(_read, ("atomic_numbers",), ("conformations",))  # Eastman et al., Sci. Data 10, 11 (2023)
read_hdf5 = partial(_read, NUMBERS, POSITIONS)
