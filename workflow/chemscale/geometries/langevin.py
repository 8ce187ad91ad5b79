"""Geometries by short Langevin dynamics on the surface that labels them, GFN2-xTB's."""

import numpy as np
from tblite.interface import TBLiteRuntimeError

from chemscale.geometries.dynamics import dynamics, thermal_velocities
from chemscale.geometries.normal_modes import GeometryError, conformers
from chemscale.geometries.xtb import METHOD, single_point

TIME_STEP = 1.0  # fs, a tenth of the period of a bond to hydrogen
FRICTION = 0.02  # 1/fs
WARM_UP_STEPS = 100  # before the first geometry is taken: twice the bath's memory of 1/FRICTION
STEPS_BETWEEN = 20  # from one geometry taken to the next: two periods of a bond to hydrogen


def langevin_geometries(
    smiles: str,
    n_conformers: int,
    count: int,
    temperature: tuple[float, float],
    generator: np.random.Generator,
    electrons: dict[str, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return atomic numbers (A,) and `count` geometries (count, A, 3) in Å of a molecule.

    Every conformer starts a trajectory, at a temperature drawn uniformly from the range (K); geometries are taken from
    them in turn. Without `electrons`, charge and unpaired ones, the molecule must be a neutral closed shell. Raises
    GeometryError.
    """
    molecule = conformers(smiles, n_conformers, int(generator.integers(2**31)), electrons is None)
    z = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    masses = np.array([atom.GetMass() for atom in molecule.GetAtoms()])

    def field(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energy, forces = single_point(z, positions, **(electrons or {}))
        return np.array([energy]), forces

    geometries = np.empty((count, len(z), 3))
    starts = [conformer.GetPositions() for conformer in molecule.GetConformers()]
    try:
        for c, start in enumerate(starts[:count]):
            bath = generator.uniform(*temperature)
            velocities = thermal_velocities(masses, np.array([len(z)]), bath, generator)
            friction = np.full(len(z), FRICTION)
            steps = dynamics(field, start, velocities, masses, TIME_STEP, friction, bath, generator)
            for _ in range(WARM_UP_STEPS):
                next(steps)
            for k in range(c, count, len(starts)):
                for _ in range(STEPS_BETWEEN):
                    moment = next(steps)
                geometries[k] = moment.positions
    except TBLiteRuntimeError as error:
        raise GeometryError(f"{METHOD}: {error}") from None
    return z, geometries
