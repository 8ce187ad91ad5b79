"""Files of labelled geometries in the formats they are published in: a reader each, all yielding the same blocks.

A reader takes the path and the registry entry, and yields a `Labelled` block at a time, of a bounded number of atoms,
in the units of the file. To add a format takes a reader and a line in `READERS`, and its name in the schema.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from chemscale.geometries.formats.block import Labelled
from chemscale.geometries.formats.frames import read_asedb, read_extxyz
from chemscale.geometries.formats.hdf5 import read_ani1x, read_ani2x, read_comp6, read_spice
from chemscale.geometries.formats.npz import read_npz

READERS: dict[str, Callable[[Path, dict], Iterator[Labelled]]] = {
    "ani1x": read_ani1x,
    "ani2x": read_ani2x,
    "comp6": read_comp6,
    "spice": read_spice,
    "npz": read_npz,
    "extxyz": read_extxyz,
    "asedb": read_asedb,
}

__all__ = ["READERS", "Labelled"]
