"""The geometry store: labelled geometries as flat arrays, written once, memory-mapped by every training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.files import read_json, require_unaltered
from chemscale.geometries.charge_spin import ELECTRONS
from chemscale.rows import flat_index, subset

# S structures of A atoms in all
ARRAYS = {
    "z": np.uint8,  # (A,) atomic numbers
    "positions": np.float32,  # (A, 3), Å
    "forces": np.float32,  # (A, 3), eV/Å, minus the gradient of the energy
    "energy": np.float64,  # (S,), eV, absolute
    "offsets": np.int64,  # (S+1,), the atoms of structure s are offsets[s] … offsets[s+1]
    "group": np.int32,  # (S,), the molecule: its place in groups.json
}
SPLITS = ("unseen", "test", "validation", "train")  # in the order stored


@dataclass(frozen=True)
class Geometries:
    """An open geometry store; the arrays are described at `ARRAYS`.

    `charge` and `unpaired` (S,) are None unless the dataset's entry names either.
    """

    directory: Path
    header: dict
    z: np.ndarray
    positions: np.ndarray
    forces: np.ndarray
    energy: np.ndarray
    offsets: np.ndarray
    group: np.ndarray
    charge: np.ndarray | None = None
    unpaired: np.ndarray | None = None

    def rows(self, split: str, size: int | None = None, repetition: int = 0) -> np.ndarray:
        """Return the structures (int64) of a split, all or `size` of them: smaller subsets are part of larger ones.

        Every `repetition` of a study has subsets of its own; those of number 0 are the first structures of the split.
        """
        if split not in SPLITS:
            raise ChemscaleError(f"split = {split!r}: unknown in {self.directory}; choose one of {', '.join(SPLITS)}")
        counts = self.header["structures"]
        first = sum(counts[before] for before in SPLITS[: SPLITS.index(split)])
        size = counts[split] if size is None else size
        if not 0 < size <= counts[split]:
            raise ChemscaleError(
                f"{self.directory}: split {split!r} has {counts[split]:,} structures, not {size:,}; ask for fewer"
            )
        return first + subset(counts[split], size, repetition)

    def n_atoms(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of atoms (M,) of each structure."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def atoms(self, rows: np.ndarray) -> np.ndarray:
        """Return the places (A,) in the flat arrays of all atoms of `rows`, structure after structure."""
        return flat_index(self.offsets[rows], self.n_atoms(rows))

    def electrons(self, rows: np.ndarray | slice = slice(None)) -> dict[str, np.ndarray]:
        """Return charges and unpaired electrons (M,) of structures by key; empty if the store has none."""
        return {key: getattr(self, key)[rows] for key in ELECTRONS if self.charge is not None}

    @property
    def charged(self) -> int:
        """The number of structures that are charged or have unpaired electrons."""
        return int(np.count_nonzero(sum(abs(n.astype(int)) for n in self.electrons().values())))


def open_geometries(directory: Path | str) -> Geometries:
    """Memory-map a store.

    Raises ChemscaleError if it is missing, unfinished or damaged, or if `source.json` beside it names another source.
    """
    directory = Path(directory)
    header = read_json(directory / "geometries.json")
    require_unaltered(directory, header["sha256"])
    if (directory / "source.json").exists():
        _require_same_origin(directory, header, read_json(directory / "source.json"))
    stored = [key for key in (*ARRAYS, *ELECTRONS) if f"{key}.npy" in header["sha256"]]
    # plain arrays over the maps: indexing numpy's memmap class costs several times as much
    arrays = {key: np.asarray(np.load(directory / f"{key}.npy", mmap_mode="r")) for key in stored}
    return Geometries(directory, header, **arrays)


def _require_same_origin(directory: Path, header: dict, source: dict) -> None:
    for kind, made, named in (
        ("dataset", header["name"], source["name"]),
        ("file with the SHA-256", header.get("source_sha256"), source["sha256"]),
        ("entry", header["entry"], source["entry"]),
    ):
        if made != named:
            raise ChemscaleError(
                f"{directory}: the store was made from the {kind} {made}, but source.json names {named}; run "
                f"`chemscale ingest {directory}` again"
            )
