"""What dynamics say of a potential: whether bonds hold, and whether energy is conserved.

Small errors of forces do not make good dynamics (Fu et al., Forces are not enough, TMLR 2023, arXiv:2210.07237).
"""

from typing import NamedTuple

import numpy as np
from ase.data import covalent_radii
from scipy.spatial.distance import pdist

BONDED = 1.25  # atoms closer than this times the sum of their covalent radii are bonded
BROKEN = 0.5  # Å; a bond is broken when its length is this far off its first one (Fu et al. 2023, section 4)


class Bonds(NamedTuple):
    """Bonds of a batch of molecules, and their lengths at first."""

    i: np.ndarray  # (B,) atoms
    j: np.ndarray  # (B,)
    molecule: np.ndarray  # (B,)
    length: np.ndarray  # (B,), Å


def find_bonds(z: np.ndarray, n_atoms: np.ndarray, positions: np.ndarray) -> Bonds:
    """Bonds as covalent radii tell them (Cordero et al., Dalton Trans. 2008, 2832)."""
    found = []
    for molecule, (first, size) in enumerate(zip(np.cumsum(n_atoms) - n_atoms, n_atoms, strict=True)):
        i, j = first + np.stack(np.triu_indices(size, 1))  # the order of pdist
        length = pdist(positions[first : first + size])
        near = length < BONDED * (covalent_radii[z[i]] + covalent_radii[z[j]])
        found.append((i[near], j[near], np.full(near.sum(), molecule), length[near]))
    return Bonds(*(np.concatenate(column) for column in zip(*found, strict=True)))


def broken(bonds: Bonds, molecules: int, positions: np.ndarray) -> np.ndarray:
    """Whether each molecule (M,) has a bond that has stretched or shrunk by BROKEN, or is nowhere any more."""
    with np.errstate(invalid="ignore", over="ignore"):  # atoms that flew off to infinity
        length = np.linalg.norm(positions[bonds.i] - positions[bonds.j], axis=1)
    off = ~(abs(length - bonds.length) <= BROKEN)  # so that NaN is off, too
    return np.bincount(bonds.molecule, off, molecules) > 0


def drift(time: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope of energies (T, M) along `time` (T,) by least squares, and root mean square of what is left, both (M,)."""
    design = np.stack([np.ones_like(time), time], axis=1)
    coefficients, *_ = np.linalg.lstsq(design, energy, rcond=None)
    return coefficients[1], np.sqrt(np.square(energy - design @ coefficients).mean(0))
