"""Molecular dynamics of many molecules at once, in a heat bath or isolated.

One molecule leaves a core idle between tiny products; a batch of them costs little more.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import ase.units as units
import numpy as np

from chemscale.geometries.measures import segment_sum

# from positions (A, 3) in Å to energies (M,) in eV and forces (A, 3) in eV/Å
Field = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Moment(NamedTuple):
    """A batch of molecules at one time; the arrays change with the next step."""

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
    """Yield Langevin dynamics of a batch without end, from the first step on.

    The scheme is BAOAB (Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34 (2013)), without friction velocity
    Verlet.

    `masses` (A,) in amu, `step` in fs, `friction` (A,) in 1/fs, `temperature` in K. Between two steps a caller may
    change masses and a moment's velocities; an infinite mass at rest stays where it is.
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
    """Return velocities (A, 3) from the Maxwell–Boltzmann distribution, without net momentum of any molecule."""
    velocities = generator.normal(size=(len(masses), 3)) * np.sqrt(units.kB * temperature / masses)[:, None]
    momenta = segment_sum(masses[:, None] * velocities, n_atoms)  # (M, 3)
    return velocities - (momenta / segment_sum(masses, n_atoms)[:, None]).repeat(n_atoms, axis=0)


def kinetic_energies(masses: np.ndarray, n_atoms: np.ndarray, velocities: np.ndarray) -> np.ndarray:
    """Return the kinetic energy (M,) in eV of each molecule."""
    return segment_sum(masses / 2 * (velocities**2).sum(1), n_atoms)
