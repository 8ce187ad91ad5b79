"""Molecules in a heat bath: short Langevin dynamics on the very surface that then labels them, GFN2-xTB's."""

from collections.abc import Callable, Iterator

import ase.units as units
import numpy as np
from tblite.interface import TBLiteRuntimeError

from chemscale.geometries.thermal import GeometryError, conformers
from chemscale.geometries.xtb import METHOD, single_point

TIME_STEP = 1.0 * units.fs  # a tenth of the period of a bond to hydrogen
FRICTION = 0.02 / units.fs
WARM_UP = 100  # steps before the first geometry is taken: twice the bath's memory of 1/FRICTION
BETWEEN = 20  # steps from one geometry taken to the next: two periods of a bond to hydrogen


def langevin(
    force: Callable[[np.ndarray], np.ndarray],
    positions: np.ndarray,
    masses: np.ndarray,
    temperature: float,
    generator: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Positions (A, 3) in Å after each step of TIME_STEP, without end.

    `force` gives the forces (A, 3) in eV/Å at positions, `masses` (A,) in amu, `temperature` in K. The integrator is
    BAOAB (Leimkuhler, Matthews, J. Chem. Phys. 138, 174102 (2013)), whose configurations stay right at long steps.
    """
    mass = masses[:, None]
    kept = np.exp(-FRICTION * TIME_STEP)
    speed = np.sqrt(units.kB * temperature / mass)
    velocity = speed * generator.normal(size=positions.shape)
    half = 0.5 * TIME_STEP
    pull = force(positions)
    while True:
        velocity = velocity + half * pull / mass
        positions = positions + half * velocity
        velocity = kept * velocity + np.sqrt(1 - kept**2) * speed * generator.normal(size=positions.shape)
        positions = positions + half * velocity
        pull = force(positions)
        velocity = velocity + half * pull / mass
        yield positions


def langevin_geometries(
    smiles: str, n_conformers: int, count: int, temperature: tuple[float, float], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers (A,) and `count` geometries (count, A, 3) in Å of a molecule.

    A trajectory from every conformer, at a temperature drawn evenly from the range (K); the conformers take turns in
    giving a geometry. Raises GeometryError.
    """
    molecule = conformers(smiles, n_conformers, seed=int(generator.integers(2**31)))
    z = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    masses = np.array([atom.GetMass() for atom in molecule.GetAtoms()])

    def force(positions: np.ndarray) -> np.ndarray:
        return single_point(z, positions)[1]

    geometries = np.empty((count, len(z), 3))
    starts = [conformer.GetPositions() for conformer in molecule.GetConformers()]
    try:
        for c, start in enumerate(starts[:count]):
            steps = langevin(force, start, masses, generator.uniform(*temperature), generator)
            for _ in range(WARM_UP):
                next(steps)
            for k in range(c, count, len(starts)):
                for _ in range(BETWEEN):
                    geometries[k] = next(steps)
    except TBLiteRuntimeError as error:
        raise GeometryError(f"{METHOD}: {error}") from None
    return z, geometries
