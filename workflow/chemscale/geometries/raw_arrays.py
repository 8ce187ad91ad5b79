"""Structures on their way to a store: raw arrays on disk, in the order of the file, in memory that does not grow."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chemscale.geometries.charge_spin import ELECTRONS
from chemscale.geometries.measures import closest_atoms
from chemscale.geometries.store import ARRAYS
from chemscale.molecules.identity import digest

MIN_DISTANCE = 0.4  # Å; the shortest bond, of H2, has 0.74 Å
RAW = {key: ARRAYS[key] for key in ("z", "positions", "forces", "energy", "group")} | ELECTRONS
RAW |= {
    "n_atoms": np.int32,  # (S,)
    "closest": np.float32,  # (S,), Å, distance of the closest two atoms; infinite for one atom
    "digest": "V16",  # (S,), of atomic numbers, positions, charge and unpaired electrons
}


class Block(NamedTuple):
    """K geometries of molecules with the same atoms."""

    z: np.ndarray  # (A,)
    positions: np.ndarray  # (K, A, 3), Å
    energy: np.ndarray  # (K,), eV
    forces: np.ndarray  # (K, A, 3), eV/Å
    group: np.ndarray  # (K,) molecule: its place in the list of names
    charge: np.ndarray | None = None  # (K,), elementary charges; None: neutral
    unpaired: np.ndarray | None = None  # (K,), unpaired electrons; None: closed shell
    index: np.ndarray | None = None  # (K,), numbers of the geometries in their source, for failures; None: from 0


def write_raw_arrays(directory: Path, blocks: Iterable[Block], groups: list[str], failures: list[dict]) -> None:
    """Append the blocks to one file per raw array in `directory`; structures with overlapping atoms join `failures`."""
    with ExitStack() as stack:
        files = {key: stack.enter_context(open(directory / key, "wb")) for key in RAW}
        for block in blocks:
            positions = np.asarray(block.positions, np.float32)
            closest = closest_atoms(positions)
            index = np.arange(len(positions)) if block.index is None else block.index
            for k in np.flatnonzero(closest < MIN_DISTANCE):
                reason = f"atoms closer than {MIN_DISTANCE} Å"
                failures.append(failure(int(block.group[k]), groups, int(index[k]), reason))
            good = closest >= MIN_DISTANCE
            zeros = np.zeros(len(positions), np.int8)
            charge, unpaired = (zeros if n is None else np.asarray(n) for n in (block.charge, block.unpaired))
            z = np.asarray(block.z, np.uint8)
            values = {
                "z": np.tile(z, good.sum()),
                "positions": positions[good],
                "forces": np.asarray(block.forces)[good],
                "energy": np.asarray(block.energy)[good],
                "group": np.asarray(block.group)[good],
                "charge": charge[good],
                "unpaired": unpaired[good],
                "n_atoms": np.full(good.sum(), len(z)),
                "closest": closest[good],
            }
            for key, value in values.items():
                files[key].write(np.ascontiguousarray(value, RAW[key]))
            electrons = np.stack([values[key] for key in ELECTRONS], 1).astype(np.int8)  # (K, 2)
            for geometry, own in zip(values["positions"], electrons, strict=True):
                content = z.tobytes() + geometry.tobytes() + own.tobytes()
                files["digest"].write(digest(content))


def failure(group: int, groups: list[str], geometry: int | None, reason: str, geometries: int = 1) -> dict:
    """Return a row of `failures.parquet`: `geometries` of a molecule failed; `geometry` is the place of one."""
    return {
        "molecule": group, "smiles": groups[group], "geometry": geometry, "geometries": geometries, "reason": reason
    }  # fmt: skip


def open_raw_arrays(directory: Path) -> dict[str, np.ndarray]:
    """Return the raw arrays, those of atoms as memory maps, and `offsets` (S+1,)."""
    raw = {}
    for key, dtype in RAW.items():
        path = directory / key
        shape = (-1, 3) if key in ("positions", "forces") else (-1,)
        of_atoms = key in ("z", "positions", "forces") and path.stat().st_size
        raw[key] = (np.memmap(path, dtype, "r") if of_atoms else np.fromfile(path, dtype)).reshape(shape)
    return raw | {"offsets": np.append(0, np.cumsum(raw["n_atoms"], dtype=np.int64))}
