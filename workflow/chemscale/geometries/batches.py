"""Batches of molecules of a bounded number of atoms, each one gather out of the memory map, with neighbour pairs."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from chemscale.geometries import keys
from chemscale.geometries.references import require_elements, subtract
from chemscale.geometries.store import Geometries

MAX_ALL_PAIRS_ATOMS = 800  # in a molecule; larger ones take a tree to find their pairs


class MicroBatch(NamedTuple):
    """The share of a batch that one process computes at once."""

    batch: dict[str, Tensor]
    molecules: int  # of the whole batch
    atoms: int  # of the whole batch: sums of squared errors of all its micro-batches are divided by it
    empty: bool = False  # the batch has too few molecules: `batch` repeats another micro-batch and must not count


def pairs(positions: Tensor, n_atoms: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Return all ordered pairs i ≠ j of atoms of one molecule that are closer than `cutoff` (Å), for a whole batch.

    `positions` (A, 3) in Å hold the molecules one after the other, `n_atoms` (M,) their sizes. Both results are (E,):
    first all pairs with i < j, sorted by i, then j, and then the same with i and j exchanged, so that what depends on
    distances alone can be computed for the first half and serve both.
    """
    if len(positions) > MAX_ALL_PAIRS_ATOMS and int(n_atoms.max()) > MAX_ALL_PAIRS_ATOMS:
        return _pairs_by_trees(positions, n_atoms, cutoff)
    # at 5 Å small molecules are mostly complete graphs, so testing every pair beats any cell list
    size = n_atoms.repeat_interleave(n_atoms)  # (A,) atoms in each atom's molecule
    first = (n_atoms.cumsum(0) - n_atoms).repeat_interleave(n_atoms)  # (A,) where that molecule begins
    i = torch.arange(len(positions), device=positions.device).repeat_interleave(size)  # (P,) candidates
    shift = first - (size.cumsum(0) - size)  # (A,) from place among the candidates to atom
    j = torch.arange(len(i), device=positions.device) + shift.index_select(0, i)  # (P,)
    d = positions.index_select(0, j) - positions.index_select(0, i)  # (P, 3)
    near = ((d * d).sum(1) < cutoff**2) & (i < j)
    i, j = i[near], j[near]
    return torch.cat([i, j]), torch.cat([j, i])


def _pairs_by_trees(positions: Tensor, n_atoms: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Return the same pairs for large molecules: in time that grows with atoms, not with their square."""
    from scipy.spatial import cKDTree

    found, first = [], 0
    x = positions.detach().cpu().double().numpy()
    for size in n_atoms.tolist():
        tree = cKDTree(x[first : first + size])
        found.append(first + tree.query_pairs(1.001 * cutoff, output_type="ndarray"))
        first += size
    pair = np.concatenate(found)
    pair = torch.from_numpy(pair[np.lexsort((pair[:, 1], pair[:, 0]))]).to(positions.device)
    i, j = pair.unbind(1)
    d = positions.index_select(0, j) - positions.index_select(0, i)
    near = (d * d).sum(1) < cutoff**2
    i, j = i[near], j[near]
    return torch.cat([i, j]), torch.cat([j, i])


def collate(
    z: np.ndarray,
    positions: np.ndarray,
    n_atoms: np.ndarray,
    electrons: dict[str, np.ndarray],
    cutoff: float,
    device: str | torch.device,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Return the batch of the molecules of `n_atoms` (M,) atoms: everything in `keys` but the labels.

    `z` (A,) and `positions` (A, 3) in Å hold them one after the other; `electrons` are charges and unpaired electrons
    (M,) by key, empty for neutral closed shells.
    """
    batch = {
        keys.Z: torch.from_numpy(z.astype(np.int64)),
        keys.POSITIONS: torch.from_numpy(positions).to(dtype),
        keys.N_ATOMS: torch.from_numpy(n_atoms.astype(np.int64)),
        keys.MOLECULE: torch.from_numpy(np.repeat(np.arange(len(n_atoms)), n_atoms)),
        **{key: torch.from_numpy(np.asarray(values)).to(dtype) for key, values in electrons.items()},
    }
    batch = {key: tensor.to(device) for key, tensor in batch.items()}
    batch[keys.PAIR_I], batch[keys.PAIR_J] = pairs(batch[keys.POSITIONS], batch[keys.N_ATOMS], cutoff)
    return batch


def gather(
    geometries: Geometries,
    rows: np.ndarray,
    references: np.ndarray,
    cutoff: float,
    device: str | torch.device,
    orientations: np.ndarray | None = None,
) -> dict[str, Tensor]:
    """Return the batch of the structures `rows` (M,), labels included: names, shapes and units are those of `keys`.

    `references` (119,) in eV are subtracted in double precision, before energies become float32: the spacing of
    float32 at the energy of a whole molecule is larger than what is to be learned. `orientations` (M, 3, 3) are
    orthogonal matrices that turn positions and forces; without them both stay as they are stored.
    """
    n_atoms = geometries.n_atoms(rows)  # (M,)
    atoms = geometries.atoms(rows)  # (A,)
    z = geometries.z[atoms]
    energy = subtract(geometries.energy[rows], references, z, n_atoms)
    positions, forces = geometries.positions[atoms], geometries.forces[atoms]  # (A, 3)
    if orientations is not None:
        turns = np.repeat(orientations, n_atoms, axis=0).astype(np.float32)  # (A, 3, 3)
        positions, forces = (np.einsum("axy,ay->ax", turns, vectors) for vectors in (positions, forces))
    labels = {keys.FORCES: forces, keys.ENERGY: energy.astype(np.float32)}
    return {
        **collate(z, positions, n_atoms, geometries.electrons(rows), cutoff, device),
        **{key: torch.from_numpy(values).to(device) for key, values in labels.items()},
    }


def batch_slices(n_atoms: np.ndarray, batch_atoms: int) -> list[slice]:
    """Return slices of consecutive structures of `n_atoms` (S,) with at most `batch_atoms` atoms or one structure."""
    ends = np.cumsum(n_atoms)
    slices, first = [], 0
    while first < len(n_atoms):
        full = (ends[first - 1] if first else 0) + batch_atoms
        last = max(first + 1, int(np.searchsorted(ends, full, side="right")))
        slices.append(slice(first, last))
        first = last
    return slices


def epoch_batches(n_atoms: np.ndarray, batch_atoms: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return the batches of one epoch: places in `n_atoms` (S,), each once, a function of the arguments alone."""
    order = np.random.default_rng((seed, epoch)).permutation(len(n_atoms))
    return [order[part] for part in batch_slices(n_atoms[order], batch_atoms)]


def epoch_orientations(structures: int, seed: int, epoch: int) -> np.ndarray:
    """Return one random orthogonal matrix per structure, (S, 3, 3), a function of the arguments alone.

    They are uniform over rotations and their products with an inversion: the Q of a Gaussian matrix, with the signs
    that make it unique (Mezzadri, Notices of the AMS 54, 592 (2007)).
    """
    gaussian = np.random.default_rng((seed, epoch, 1)).normal(size=(structures, 3, 3))
    q, r = np.linalg.qr(gaussian)
    return q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None]


class GeometryBatches(IterableDataset):
    """Endless batches for training, from batch `first` on; batch k depends on (seed, k) alone, so runs can resume.

    Every structure of `rows` comes once per epoch. A batch is cut into `processes` times `accumulate` micro-batches, of
    which process `rank` gets its `accumulate` as a list: the batch is the same however many work on it. With
    `augmented` every molecule is turned at random, differently per epoch. The other arguments are those of `gather`
    and `epoch_batches`.
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
        augmented: bool = False,
    ):
        self.augmented = augmented
        self.geometries, self.rows, self.references, self.cutoff = geometries, rows, references, cutoff
        self.batch_atoms, self.seed, self.first, self.device = batch_atoms, seed, first, device
        self.parts = processes * accumulate
        self.own = range(rank * accumulate, (rank + 1) * accumulate)

    def __iter__(self) -> Iterator[list[MicroBatch]]:
        n_atoms = self.geometries.n_atoms(self.rows)
        epoch, skip = 0, self.first
        while True:
            batches = epoch_batches(n_atoms, self.batch_atoms, self.seed, epoch)
            turns = epoch_orientations(len(self.rows), self.seed, epoch) if self.augmented else None
            for places in batches[skip:]:
                molecules, atoms = len(places), int(n_atoms[places].sum())
                shares = (self._share(places, part, turns) for part in self.own)
                empty = (part >= molecules for part in self.own)
                yield [MicroBatch(share, molecules, atoms, e) for share, e in zip(shares, empty, strict=True)]
            epoch, skip = epoch + 1, max(0, skip - len(batches))

    def _share(self, places: np.ndarray, part: int, turns: np.ndarray | None) -> dict[str, Tensor]:
        own = places[part % len(places) :: self.parts]
        orientations = None if turns is None else turns[own]
        return gather(self.geometries, self.rows[own], self.references, self.cutoff, self.device, orientations)


def evaluation_batches(
    geometries: Geometries,
    rows: np.ndarray,
    references: np.ndarray,
    cutoff: float,
    batch_atoms: int,
    device: str | torch.device,
) -> Iterator[dict[str, Tensor]]:
    """Return batches of `rows` in their order, each structure once.

    Raises ChemscaleError if an element has no reference.
    """
    require_elements(references, geometries, rows)
    parts = batch_slices(geometries.n_atoms(rows), batch_atoms)
    return (gather(geometries, rows[part], references, cutoff, device) for part in parts)
