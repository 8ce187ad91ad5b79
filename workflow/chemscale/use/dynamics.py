"""Molecular dynamics of many molecules at once, and what it says of a potential.

Small errors of forces do not make good dynamics: what does is measured here (Fu et al., Forces are not enough, TMLR
2023, arXiv:2210.07237). One molecule alone leaves a core idle between tiny products; a batch of them costs little more.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import ase.units as units
import numpy as np
from ase.data import covalent_radii
from scipy.spatial.distance import pdist

BONDED = 1.25  # atoms closer than this times the sum of their covalent radii are bonded
BROKEN = 0.5  # Å; a bond is broken when its length is this far off its first one (Fu et al. 2023, section 4)

# from positions (A, 3) in Å to energies (M,) in eV and forces (A, 3) in eV/Å
Field = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Moment(NamedTuple):
    """A batch of molecules at one time. The arrays change with the next step."""

    positions: np.ndarray  # (A, 3), Å
    velocities: np.ndarray  # (A, 3), Å per unit of time of ASE
    energy: np.ndarray  # (M,), eV, potential energies


def dynamics(
    field: Field,
    positions: np.ndarray,
    velocities: np.ndarray,
    masses: np.ndarray,
    step: float,
    friction: np.ndarray,
    temperature: float,
    generator: np.random.Generator,
) -> Iterator[Moment]:
    """Endless Langevin dynamics of a batch, from the first step on: the scheme BAOAB, at no friction velocity Verlet.

    `masses` (A,) in amu, `step` in fs, `friction` (A,) in 1/fs, `temperature` in K. Between two steps a caller may
    change masses and a moment's velocities; an infinite mass at rest stays where it is. Scheme: Leimkuhler, Matthews,
    Appl. Math. Res. Express 2013, 34 (2013).
    """
    positions, velocities = positions.astype(float), velocities.astype(float)  # copies
    dt = step * units.fs
    keep = np.exp(-friction * step)[:, None]  # of a velocity, over a step
    kick = np.sqrt((1 - keep**2) * units.kB * temperature)  # (A, 1)
    _, forces = field(positions)
    while True:
        velocities += dt / 2 * forces / masses[:, None]
        positions += dt / 2 * velocities
        velocities *= keep
        velocities += kick / np.sqrt(masses)[:, None] * generator.normal(size=velocities.shape)
        positions += dt / 2 * velocities
        energy, forces = field(positions)
        velocities += dt / 2 * forces / masses[:, None]
        yield Moment(positions, velocities, energy)


def thermal_velocities(
    masses: np.ndarray, n_atoms: np.ndarray, temperature: float, generator: np.random.Generator
) -> np.ndarray:
    """Velocities (A, 3) drawn from Maxwell and Boltzmann's distribution; no molecule moves as a whole."""
    velocities = generator.normal(size=(len(masses), 3)) * np.sqrt(units.kB * temperature / masses)[:, None]
    first = np.cumsum(n_atoms) - n_atoms
    momenta = np.add.reduceat(masses[:, None] * velocities, first)  # (M, 3)
    return velocities - (momenta / np.add.reduceat(masses, first)[:, None]).repeat(n_atoms, axis=0)


def kinetic_energies(masses: np.ndarray, n_atoms: np.ndarray, velocities: np.ndarray) -> np.ndarray:
    """Kinetic energy (M,) in eV of each molecule."""
    return np.add.reduceat(masses / 2 * (velocities**2).sum(1), np.cumsum(n_atoms) - n_atoms)


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
