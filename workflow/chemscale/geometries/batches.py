"""Batches of molecules, cut by a number of atoms: one gather out of the memory map each."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from chemscale.geometries import keys
from chemscale.geometries.neighbours import pairs
from chemscale.geometries.references import require_elements, subtract
from chemscale.geometries.store import Geometries


class Part(NamedTuple):
    """A share of a batch: what one process takes of it at a time."""

    batch: dict[str, Tensor]
    molecules: int  # of the whole batch, and
    atoms: int  # its atoms: what the sums of squared errors of all its parts are divided by
    empty: bool = False  # fewer molecules than parts: `batch` is another part's, and must count for nothing


def gather(
    geometries: Geometries, rows: np.ndarray, references: np.ndarray, cutoff: float, device: str | torch.device
) -> dict[str, Tensor]:
    """One batch of the structures `rows` (M,): names, shapes and units are those of `keys`.

    `references` (119,) in eV are subtracted in double precision, before energies become float32: the spacing of
    float32 at the energy of a whole molecule is larger than what is to be learned.
    """
    n_atoms = geometries.n_atoms(rows)  # (M,)
    atoms = geometries.atoms(rows)  # (A,)
    z = geometries.z[atoms]
    energy = subtract(geometries.energy[rows], references, z, n_atoms)
    batch = {
        keys.Z: torch.from_numpy(z.astype(np.int64)),
        keys.POSITIONS: torch.from_numpy(geometries.positions[atoms]),
        keys.FORCES: torch.from_numpy(geometries.forces[atoms]),
        keys.ENERGY: torch.from_numpy(energy.astype(np.float32)),
        keys.N_ATOMS: torch.from_numpy(n_atoms),
        keys.MOLECULE: torch.from_numpy(np.repeat(np.arange(len(rows)), n_atoms)),
        **{key: torch.from_numpy(n.astype(np.float32)) for key, n in geometries.electrons(rows).items()},
    }
    batch = {key: tensor.to(device) for key, tensor in batch.items()}
    batch[keys.PAIR_I], batch[keys.PAIR_J] = pairs(batch[keys.POSITIONS], batch[keys.N_ATOMS], cutoff)
    return batch


def cut(n_atoms: np.ndarray, batch_atoms: int) -> list[slice]:
    """Consecutive structures of `n_atoms` (S,) in batches of at most `batch_atoms` atoms; a larger one stands alone."""
    ends = np.cumsum(n_atoms)
    slices, first = [], 0
    while first < len(n_atoms):
        full = (ends[first - 1] if first else 0) + batch_atoms
        last = max(first + 1, int(np.searchsorted(ends, full, side="right")))
        slices.append(slice(first, last))
        first = last
    return slices


def epoch_batches(n_atoms: np.ndarray, batch_atoms: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Places in `n_atoms` (S,), each once, in the batches of one epoch: a function of the arguments alone."""
    order = np.random.default_rng((seed, epoch)).permutation(len(n_atoms))
    return [order[part] for part in cut(n_atoms[order], batch_atoms)]


class GeometryBatches(IterableDataset):
    """Endless batches for training, from batch `first` on; batch k depends on (seed, k) alone, so runs can resume.

    Every structure of `rows` comes once an epoch. A batch is cut into `processes` times `accumulate` parts, of which
    process `rank` gets its `accumulate` ones as a list: the batch is the same however many work on it. The other
    arguments are those of `gather` and `epoch_batches`.
    """

    def __init__(
        self,
        geometries: Geometries,
        rows: np.ndarray,
        references: np.ndarray,
        cutoff: float,
        batch_atoms: int,
        seed: int,
        first: int = 0,
        rank: int = 0,
        processes: int = 1,
        accumulate: int = 1,
        device: str | torch.device = "cpu",
    ):
        self.geometries, self.rows, self.references, self.cutoff = geometries, rows, references, cutoff
        self.batch_atoms, self.seed, self.first, self.device = batch_atoms, seed, first, device
        self.parts = processes * accumulate
        self.own = range(rank * accumulate, (rank + 1) * accumulate)

    def __iter__(self) -> Iterator[list[Part]]:
        n_atoms = self.geometries.n_atoms(self.rows)
        epoch, skip = 0, self.first
        while True:
            batches = epoch_batches(n_atoms, self.batch_atoms, self.seed, epoch)
            for places in batches[skip:]:
                molecules, atoms = len(places), int(n_atoms[places].sum())
                yield [Part(self._share(places, part), molecules, atoms, part >= molecules) for part in self.own]
            epoch, skip = epoch + 1, max(0, skip - len(batches))

    def _share(self, places: np.ndarray, part: int) -> dict[str, Tensor]:
        rows = self.rows[places[part % len(places) :: self.parts]]
        return gather(self.geometries, rows, self.references, self.cutoff, self.device)


def evaluation_batches(
    geometries: Geometries,
    rows: np.ndarray,
    references: np.ndarray,
    cutoff: float,
    batch_atoms: int,
    device: str | torch.device,
) -> Iterator[dict[str, Tensor]]:
    """Batches of `rows` in their order, each structure once. ChemscaleError if an element has no reference."""
    require_elements(references, geometries, rows)
    parts = cut(geometries.n_atoms(rows), batch_atoms)
    return (gather(geometries, rows[part], references, cutoff, device) for part in parts)
