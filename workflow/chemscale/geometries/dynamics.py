"""Molecular dynamics of many molecules at once, in a heat bath or alone.

One molecule alone leaves a core idle between tiny products; a batch of them costs little more.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import ase.units as units
import numpy as np

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
