"""Molecules relaxed by a potential, compared with those relaxed by the method that made its labels."""

from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms
from ase.calculators.calculator import Calculator, CalculatorError
from ase.optimize import BFGS

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, read_json
from chemscale.geometries.measures import aligned_rmsd
from chemscale.geometries.store import Geometries
from chemscale.geometries.xtb import METHOD, ase_calculator, energy_of

MAX_FORCE = 0.02  # eV/Å, at a minimum
MAX_STEPS = 200
COLUMNS = ("molecule", "numbers", "start", "minimum", "minimum_energy")


def write_minima(geometries: Geometries, molecules: int, seed: int, out: Path) -> None:
    """Write held-out molecules to `out` (Parquet): where simulations start, and what relaxations should find.

    They are `molecules` of the split unseen, neutral and of closed shells, drawn with `seed`, or all if it has fewer.
    Columns: name of the molecule, atomic `numbers` (A,), `start` (3A,) in Å, its geometry of lowest energy in the
    store, and `minimum` (3A,) in Å with its energy in eV, where the start relaxes to by GFN2-xTB; these are null where
    the labels are of another method, for which there is no program here, and where the relaxation fails.
    """
    if not geometries.header["structures"]["unseen"]:
        raise ChemscaleError(f"{geometries.directory}: split 'unseen' has no molecules; raise unseen_molecules")
    rows = geometries.rows("unseen")
    for values in geometries.electrons().values():
        rows = rows[values[rows] == 0]
    if not len(rows):
        raise ChemscaleError(
            f"{geometries.directory}: split 'unseen' has no neutral closed-shell molecules; raise unseen_molecules"
        )
    names = read_json(geometries.directory / "groups.json")
    groups = np.random.default_rng(seed).permutation(np.unique(geometries.group[rows]))[:molecules]
    table = []
    for group in groups:
        of_group = rows[geometries.group[rows] == group]
        row = of_group[[geometries.energy[of_group].argmin()]]
        atoms = Atoms(geometries.z[geometries.atoms(row)], geometries.positions[geometries.atoms(row)])
        found = relaxed(atoms, ase_calculator()) if geometries.header["method"] == METHOD else None
        minimum = (None, None) if found is None else (found.positions.ravel(), found.get_potential_energy())
        table.append((names[group], atoms.numbers, atoms.positions.ravel(), *minimum))
    with atomic(out) as path:
        pd.DataFrame(table, columns=COLUMNS).to_parquet(path, index=False)


def relaxed(atoms: Atoms, calculator: Calculator) -> Atoms | None:
    """Return `atoms` moved to a minimum, with the calculator; None if that fails or takes more than MAX_STEPS."""
    atoms = atoms.copy()
    atoms.calc = calculator
    try:
        converged = BFGS(atoms, logfile=None).run(fmax=MAX_FORCE, steps=MAX_STEPS)
    except (ChemscaleError, CalculatorError):
        return None
    return atoms if converged else None


def compare_minima(found: Atoms | None, minimum: np.ndarray, minimum_energy: float) -> dict[str, float | bool | None]:
    """Return how far a potential's minimum is from that of its labels' method, `minimum` (A, 3) in Å, energy in eV.

    `relax_rmsd` is in Å after the best superposition; `relax_energy` in meV per atom is the energy of the potential's
    minimum above the method's own, by that method: negative if the potential found a deeper one.
    """
    if found is not None:
        try:
            above = energy_of(found) - minimum_energy
            rmsd = aligned_rmsd(found.positions, minimum)
            return {"relaxed": True, "relax_rmsd": rmsd, "relax_energy": 1000 * above / len(found)}
        except CalculatorError:  # a minimum so odd that its charges do not converge
            pass
    return {"relaxed": False, "relax_rmsd": None, "relax_energy": None}
