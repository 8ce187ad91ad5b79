"""Measures of molecular dynamics: whether bonds hold, and whether energy is conserved.

Small errors of forces do not make good dynamics (Fu et al., Forces are not enough, TMLR 2023, arXiv:2210.07237).
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import pdist

from chemscale.geometries.measures import bond_limit

MAX_STRETCH = 0.5  # Å; a bond is broken when its length is this far off its first one (Fu et al. 2023, section 4)


class Bonds(NamedTuple):
    """Bonds of a batch of molecules, and their first lengths."""

    i: np.ndarray  # (B,) atoms
    j: np.ndarray  # (B,)
    molecule: np.ndarray  # (B,)
    length: np.ndarray  # (B,), Å


def find_bonds(z: np.ndarray, n_atoms: np.ndarray, positions: np.ndarray) -> Bonds:
    """Return the bonds, by covalent radii, of molecules of `n_atoms` (M,) one after the other; `positions` in Å."""
    found = []
    for molecule, (first, size) in enumerate(zip(np.cumsum(n_atoms) - n_atoms, n_atoms, strict=True)):
        i, j = first + np.stack(np.triu_indices(size, 1))  # the order of pdist
        length = pdist(positions[first : first + size])
        near = length < bond_limit(z[i], z[j])
        found.append((i[near], j[near], np.full(near.sum(), molecule), length[near]))
    return Bonds(*(np.concatenate(column) for column in zip(*found, strict=True)))


def broken(bonds: Bonds, molecules: int, positions: np.ndarray) -> np.ndarray:
    """Return whether each molecule (M,) has a bond that changed by MAX_STRETCH, or positions that are not finite."""
    with np.errstate(invalid="ignore", over="ignore"):  # atoms that flew off to infinity
        length = np.linalg.norm(positions[bonds.i] - positions[bonds.j], axis=1)
    off = ~(abs(length - bonds.length) <= MAX_STRETCH)  # so that NaN is off, too
    return np.bincount(bonds.molecule, off, molecules) > 0


def drift(time: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the slope of energies (T, M) along `time` (T,) (least squares) and the rms of the residuals, both (M,)."""
    design = np.stack([np.ones_like(time), time], axis=1)
    coefficients, *_ = np.linalg.lstsq(design, energy, rcond=None)
    return coefficients[1], np.sqrt(np.square(energy - design @ coefficients).mean(0))
