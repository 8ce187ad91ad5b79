"""The formats that labelled geometries are published in.

A format is a reader beside this file and a record in FORMATS. It has no units of its own: see `geometries/units.py`. A
reader takes the path and the registry entry, and yields a `Labelled` block at a time, of a bounded number of atoms,
in the units of the file. It is imported when a file is read: configurations and documents only need the records.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chemscale.geometries.formats.block import Labelled


@dataclass(frozen=True)
class Format:
    """A format: its `name` in a registry entry, its `reader` as module:function, and two phrases for the documents."""

    name: str
    reader: str
    layout: str  # of the file
    molecule: str  # what structures of one molecule have in common
    suffixes: tuple[str, ...] = ()  # of the files that are read where the path is a folder
    needs: tuple[str, ...] = ()  # keys of the entry beyond those that every format needs

    def read(self, path: Path, entry: dict) -> "Iterator[Labelled]":
        """Yield the blocks of a file, or of all files of the format in a folder."""
        module, function = self.reader.split(":")
        read = getattr(import_module(module), function)
        files = [file for suffix in self.suffixes for file in path.rglob(f"*{suffix}")] if path.is_dir() else []
        for file in sorted(files) or [path]:
            yield from read(file, entry)


_HERE = "chemscale.geometries.formats"
_HDF5 = (".h5", ".hdf5", ".hdf")
_NAMED = "`smiles` or `name` of the {}, else the formula"

FORMATS = {
    record.name: record
    for record in (
        Format(
            "ani1x",
            f"{_HERE}.hdf5:read_ani1x",
            "HDF5: groups with `atomic_numbers` and `coordinates`",
            "the `smiles` of a geometry, else the group",
            _HDF5,
        ),
        Format(
            "ani2x",
            f"{_HERE}.hdf5:read_ani2x",
            "HDF5: groups by number of atoms, with `species` of each geometry and `coordinates`",
            "`smiles`, else the formula",
            _HDF5,
        ),
        Format(
            "comp6",
            f"{_HERE}.hdf5:read_comp6",
            "HDF5: groups within groups, with `species` (symbols) and `coordinates`",
            "the group",
            _HDF5,
        ),
        Format(
            "spice",
            f"{_HERE}.hdf5:read_spice",
            "HDF5: groups with `atomic_numbers`, `conformations` and `smiles`",
            "the SMILES without atom maps",
            _HDF5,
        ),
        Format(
            "hdf5",
            f"{_HERE}.hdf5:read_hdf5",
            "HDF5 of any nesting, or none, with the common names of positions and atomic numbers or those of the entry",
            "`smiles`, else the group (of one geometry: its parent), else the formula",
            _HDF5,
        ),
        Format(
            "npz",
            f"{_HERE}.npz:read_npz",
            "NumPy archive (MD17, sGDML): `nuclear_charges` or `z`, `coords` or `R`; a tar of such; a folder of .npy",
            "`smiles`, else the archive",
            (".npz",),
        ),
        Format(
            "deepmd",
            f"{_HERE}.deepmd:read_deepmd",
            "folder of DeePMD-kit with `type.raw`, `type_map.raw` and sets of .npy, or a folder of such",
            "the folder",
        ),
        Format(
            "extxyz",
            f"{_HERE}.frames:read_extxyz",
            "extended XYZ: energies in the comment line, forces in columns",
            _NAMED.format("comment line"),
            (".xyz", ".extxyz"),
        ),
        Format(
            "traj",
            f"{_HERE}.frames:read_traj",
            "trajectory of ASE",
            _NAMED.format("`info`"),
            (".traj",),
        ),
        Format(
            "asedb",
            f"{_HERE}.frames:read_asedb",
            "database of ASE or schnetpack: labels among ASE's own, the key-value pairs or the data",
            _NAMED.format("key-value pairs"),
            (".db", ".json"),
        ),
        Format(
            "aselmdb",
            f"{_HERE}.aselmdb:read_aselmdb",
            "database of ASE in LMDB, as fairchem ships it (OMol25, OC20); files with pickled objects are refused",
            _NAMED.format("data or key-value pairs"),
            (".aselmdb", ".lmdb"),
        ),
    )
}
