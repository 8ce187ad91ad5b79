"""Sums, distances, bonds and superpositions of batches of molecules, from atomic numbers and positions alone."""

import numpy as np
from ase.data import covalent_radii
from scipy.spatial.transform import Rotation

BOND_FACTOR = 1.25  # atoms are bonded if closer than this times the sum of their covalent radii


def segment_sum(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the sums (M, …) of consecutive segments of `values` (A, …) that are `lengths` (M,), all above 0, long."""
    return np.add.reduceat(values, np.cumsum(lengths) - lengths)


def bond_limit(z_i: np.ndarray | int, z_j: np.ndarray | int) -> np.ndarray | float:
    """Return the largest length in Å of a bond between elements, by covalent radii.

    Radii: Cordero et al., Dalton Trans. 2008, 2832.
    """
    return BOND_FACTOR * (covalent_radii[z_i] + covalent_radii[z_j])


def closest_atoms(positions: np.ndarray) -> np.ndarray:
    """Return the distance (K,) of the closest two atoms of `positions` (K, A, 3), infinite where there is one atom."""
    count, atoms, _ = positions.shape
    closest = np.full(count, np.inf, np.float32)
    for i in range(1, atoms):  # an atom against those before it, of all geometries at once: (K, i)
        squares = ((positions[:, :i] - positions[:, i : i + 1]) ** 2).sum(-1)
        np.minimum(closest, np.sqrt(squares.min(1)), out=closest)
    return closest


def best_rotations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the rotations (P, 3, 3), to multiply `b` from the right, that bring `b` closest to `a`, both (P, A, 3).

    Both are centred. Source: Kabsch, Acta Cryst. A 32, 922 (1976).
    """
    u, _, v = np.linalg.svd(b.transpose(0, 2, 1) @ a)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ v))[:, None]  # no reflections
    return u @ v


def aligned_rmsd(a: np.ndarray, b: np.ndarray) -> float:
    """Return the root mean square distance of positions `a` and `b` (A, 3) after the best shift and rotation."""
    if len(a) == 1:
        return 0.0
    _, distance = Rotation.align_vectors(a - a.mean(0), b - b.mean(0))
    return float(distance / np.sqrt(len(a)))
