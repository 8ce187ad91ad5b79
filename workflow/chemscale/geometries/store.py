"""Labelled geometries as flat arrays: written once, memory-mapped by every training."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from ase.data import chemical_symbols

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, fingerprint, read_json, require_unaltered, sha256, write_json

# S structures of A atoms in all
ARRAYS = {
    "z": np.uint8,  # (A,) atomic numbers
    "positions": np.float32,  # (A, 3), Å
    "forces": np.float32,  # (A, 3), eV/Å, minus the gradient of the energy
    "energy": np.float64,  # (S,), eV, absolute
    "offsets": np.int64,  # (S+1,), the atoms of structure s are offsets[s] … offsets[s+1]
    "group": np.int32,  # (S,), place in groups.json of the molecule it is a geometry of
}
SPLITS = ("unseen", "test", "validation", "train")  # in the order stored
FAILURES = ["molecule", "smiles", "geometry", "geometries", "reason"]


@dataclass(frozen=True)
class Geometries:
    """A dataset of molecules with energies and forces; the arrays are described at `ARRAYS`."""

    directory: Path
    header: dict
    z: np.ndarray
    positions: np.ndarray
    forces: np.ndarray
    energy: np.ndarray
    offsets: np.ndarray
    group: np.ndarray

    def rows(self, split: str, size: int | None = None) -> np.ndarray:
        """Structures (int64) of a split, all or the first `size`; so smaller subsets are part of larger ones."""
        if split not in SPLITS:
            raise ChemscaleError(f"{self.directory}: no split {split!r}; there are {', '.join(SPLITS)}")
        counts = self.header["structures"]
        first = sum(counts[before] for before in SPLITS[: SPLITS.index(split)])
        size = counts[split] if size is None else size
        if not 0 < size <= counts[split]:
            raise ChemscaleError(
                f"{self.directory}: {size:,} structures asked of split {split!r}, which holds {counts[split]:,}"
            )
        return np.arange(first, first + size)

    def n_atoms(self, rows: np.ndarray) -> np.ndarray:
        """Number of atoms (M,) of each structure."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def atoms(self, rows: np.ndarray) -> np.ndarray:
        """Places (A,) in the flat arrays of all atoms of `rows`, structure after structure."""
        return flat_index(self.offsets[rows], self.n_atoms(rows))


def flat_index(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Concatenation of the ranges starts[k] … starts[k] + lengths[k]."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


class Block(NamedTuple):
    """K geometries of molecules with the same atoms; the form in which labels come and ANI-1x is stored."""

    z: np.ndarray  # (A,)
    positions: np.ndarray  # (K, A, 3), Å
    energy: np.ndarray  # (K,), eV
    forces: np.ndarray  # (K, A, 3), eV/Å
    group: np.ndarray  # (K,) molecule


def flatten(blocks: list[Block]) -> dict[str, np.ndarray]:
    """The arrays of a store, structures in the order of the blocks."""
    n_atoms = np.concatenate([np.full(len(b.energy), len(b.z)) for b in blocks])
    arrays = {
        "z": np.concatenate([np.tile(b.z, len(b.energy)) for b in blocks]),
        "positions": np.concatenate([b.positions.reshape(-1, 3) for b in blocks]),
        "forces": np.concatenate([b.forces.reshape(-1, 3) for b in blocks]),
        "energy": np.concatenate([b.energy for b in blocks]),
        "offsets": np.append(0, np.cumsum(n_atoms)),
        "group": np.concatenate([b.group for b in blocks]),
    }
    return {key: arrays[key].astype(dtype, copy=False) for key, dtype in ARRAYS.items()}


def write_store(
    directory: Path | str,
    name: str,
    entry: dict,
    arrays: dict[str, np.ndarray],
    groups: list[str],
    failures: list[dict],
    facts: dict,
) -> dict:
    """Split, order and write structures; return the header, which is written last (`geometries.json`).

    `arrays` are those of `ARRAYS` in any order of structures, `groups` the name (SMILES or formula) of each molecule,
    `failures` what could not be labelled, `facts` more for the header. The entry's `unseen_molecules` are kept whole
    out of training; of the rest one permutation, seeded by `seed`, gives `test`, `validation` and then training.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "geometries.json").unlink(missing_ok=True)
    with atomic(directory / "failures.parquet") as temporary:
        pd.DataFrame(failures, columns=FAILURES).to_parquet(temporary, index=False)
    lost = sum(row["geometries"] for row in failures)
    total = len(arrays["energy"]) + lost
    if failures and lost > entry["max_failure_share"] * total:
        reasons = pd.DataFrame(failures).groupby("reason")["geometries"].sum().to_dict()
        raise ChemscaleError(
            f"{name}: {lost:,} of {total:,} geometries failed, more than max_failure_share "
            f"{entry['max_failure_share']:g} allows: {reasons}; see {directory / 'failures.parquet'}"
        )
    order, counts = _split(name, entry, arrays["group"])
    arrays = _reordered(arrays, order)
    for key in ARRAYS:
        with atomic(directory / f"{key}.npy") as temporary:
            np.save(temporary, arrays[key])
    write_json(directory / "groups.json", groups)
    hashes = {f"{key}.npy": sha256(directory / f"{key}.npy") for key in ARRAYS}
    header = {
        "name": name,
        "entry": entry,
        "units": {"positions": "Å", "energy": "eV", "forces": "eV/Å"},
        "structures": {"total": len(order), **counts},
        "atoms": len(arrays["z"]),
        "atoms_per_structure": len(arrays["z"]) / len(order),
        "molecules": len(np.unique(arrays["group"])),
        "elements": [chemical_symbols[z] for z in np.unique(arrays["z"])],
        "force_std": float(arrays["forces"].std(dtype=np.float64)),
        "force_max": float(np.abs(arrays["forces"]).max()),
        "failures": {"geometries": lost, "share": lost / total},
        **facts,
        "sha256": hashes,
        "fingerprint": fingerprint(hashes),
    }
    write_json(directory / "geometries.json", header)
    return header


def open_geometries(directory: Path | str) -> Geometries:
    """Memory-map a store; raise ChemscaleError if it is missing, unfinished or damaged."""
    directory = Path(directory)
    header = read_json(directory / "geometries.json")
    require_unaltered(directory, header["sha256"])
    # plain arrays over the maps: indexing numpy's memmap class costs several times as much
    arrays = {key: np.asarray(np.load(directory / f"{key}.npy", mmap_mode="r")) for key in ARRAYS}
    return Geometries(directory, header, **arrays)


def _split(name: str, entry: dict, group: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """Order (S,) in which structures are stored, and the number in each split."""
    generator = np.random.default_rng(entry["seed"])
    molecules = generator.permutation(np.unique(group))
    unseen = np.isin(group, molecules[: entry["unseen_molecules"]])
    order = np.concatenate([np.flatnonzero(unseen), generator.permutation(np.flatnonzero(~unseen))])
    counts = {"unseen": int(unseen.sum()), "test": entry["test"], "validation": entry["validation"]}
    counts["train"] = len(group) - sum(counts.values())
    if counts["train"] <= 0:
        raise ChemscaleError(
            f"{name}: {len(group):,} structures of {len(molecules):,} molecules leave none to train on after "
            f"{counts['unseen']:,} of {entry['unseen_molecules']} unseen_molecules, test {entry['test']:,} and "
            f"validation {entry['validation']:,}"
        )
    return order, counts


def _reordered(arrays: dict[str, np.ndarray], order: np.ndarray) -> dict[str, np.ndarray]:
    lengths = np.diff(arrays["offsets"])
    atoms = flat_index(arrays["offsets"][:-1][order], lengths[order])
    per_atom = {key: arrays[key][atoms] for key in ("z", "positions", "forces")}
    per_structure = {key: arrays[key][order] for key in ("energy", "group")}
    return {**per_atom, **per_structure, "offsets": np.append(0, np.cumsum(lengths[order]))}
