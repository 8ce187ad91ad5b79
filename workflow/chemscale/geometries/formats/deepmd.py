"""Reader of systems of DeePMD-kit: folders with `type.raw` and sets of .npy."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.geometries.formats.arrays import blocks_of_arrays
from chemscale.geometries.formats.block import Labelled, damaged, elements
from chemscale.geometries.formats.npz import DAMAGED, open_npy


def read_deepmd(path: Path, entry: dict) -> Iterator[Labelled]:
    """Yield the blocks of a system, or of every system in a folder; each is one molecule, named as its folder.

    The entry names `energy` and `forces` among the .npy of a set, `energy` and `force` as DeePMD-kit writes them.
    Raises ChemscaleError.
    """
    systems = sorted(file.parent for file in path.rglob("type.raw")) if path.is_dir() else []
    if not systems:
        raise ChemscaleError(f"{path}: no type.raw; expected a folder of DeePMD-kit, or a folder of such folders")
    for system in systems:
        periodic = any(system.glob("set.*/box.npy")) and not (system / "nopbc").exists()
        if periodic and not entry.get("ignore_cell"):
            raise ChemscaleError(
                f"{system}: periodic structure (box.npy); only isolated molecules are supported; for a molecule in a "
                "box set `ignore_cell: true`"
            )
        try:
            z = _elements(system)
            sets = sorted(folder for folder in system.glob("set.*") if folder.is_dir())
            if not sets:
                raise ChemscaleError(f"{system}: no set.000; check the folder")
            for folder in sets:
                arrays = {file.stem: open_npy(str(file), file) for file in sorted(folder.glob("*.npy"))}
                types = arrays.get("real_atom_types", np.loadtxt(system / "type.raw", int, ndmin=1))
                arrays["atomic_numbers"] = np.where(types < 0, 0, z[types])  # -1 is an empty place
                yield from blocks_of_arrays(str(folder), arrays, entry, name=str(system.relative_to(path.parent)))
        except (*DAMAGED, IndexError) as error:
            raise damaged(str(system), error) from None


def _elements(system: Path) -> np.ndarray:
    """Return the atomic numbers of the types of a system."""
    file = system / "type_map.raw"
    if not file.exists():
        raise ChemscaleError(f"{file}: no such file; write the symbols of the types into it, one per line")
    return elements(str(file), np.array(file.read_text().split()))
