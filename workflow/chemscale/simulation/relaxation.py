"""Relaxed molecules by a potential, held against those by the method that made its labels."""

from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms
from ase.calculators.calculator import Calculator, CalculatorError
from ase.optimize import BFGS
from scipy.spatial.transform import Rotation
from tblite.ase import TBLite

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, read_json
from chemscale.geometries.store import Geometries
from chemscale.geometries.xtb import METHOD

FORCE = 0.02  # eV/Å, the largest at a minimum
STEPS = 200
COLUMNS = ("molecule", "numbers", "start", "minimum", "minimum_energy")


def write_minima(geometries: Geometries, molecules: int, seed: int, out: Path) -> None:
    """Write molecules never trained on to `out` (Parquet): where simulations start, and what relaxations should find.

    They are `molecules` of the split unseen, neutral and of closed shells, drawn with `seed`, or all if it has fewer.
    Columns: name of the molecule, atomic `numbers` (A,), `start` (3A,) in Å, its geometry of lowest energy in the
    store, and `minimum` (3A,) in Å with its energy in eV, where the start relaxes to by GFN2-xTB; these are null where
    the labels are of another method, for which there is no program here, and where the relaxation fails.
    """
    if not geometries.header["structures"]["unseen"]:
        raise ChemscaleError(f"{geometries.directory}: no molecules in split 'unseen'; raise its unseen_molecules")
    rows = geometries.rows("unseen")
    for numbers in geometries.electrons().values():
        rows = rows[numbers[rows] == 0]
    if not len(rows):
        raise ChemscaleError(f"{geometries.directory}: no neutral closed-shell molecules in split 'unseen'")
    names = read_json(geometries.directory / "groups.json")
    groups = np.random.default_rng(seed).permutation(np.unique(geometries.group[rows]))[:molecules]
    table = []
    for group in groups:
        of_group = rows[geometries.group[rows] == group]
        row = of_group[[geometries.energy[of_group].argmin()]]
        atoms = Atoms(geometries.z[geometries.atoms(row)], geometries.positions[geometries.atoms(row)])
        found = relaxed(atoms, label_method()) if geometries.header["method"] == METHOD else None
        minimum = (None, None) if found is None else (found.positions.ravel(), found.get_potential_energy())
        table.append((names[group], atoms.numbers, atoms.positions.ravel(), *minimum))
    with atomic(out) as path:
        pd.DataFrame(table, columns=COLUMNS).to_parquet(path, index=False)


def label_method() -> Calculator:
    """GFN2-xTB as a calculator of ASE."""
    return TBLite(method=METHOD, verbosity=0)


def relaxed(atoms: Atoms, calculator: Calculator) -> Atoms | None:
    """`atoms` moved to a minimum, with the calculator; None if it fails on the way or is not there in STEPS steps."""
    atoms = atoms.copy()
    atoms.calc = calculator
    try:
        converged = BFGS(atoms, logfile=None).run(fmax=FORCE, steps=STEPS)
    except (ChemscaleError, CalculatorError):
        return None
    return atoms if converged else None


def compare(found: Atoms | None, minimum: np.ndarray, minimum_energy: float) -> dict[str, float | bool | None]:
    """How far a potential's minimum is from that of its labels' method, `minimum` (A, 3) in Å with its energy in eV.

    `relax_rmsd` in Å after the best shift and rotation (Kabsch, Acta Cryst. A 32, 922 (1976)); `relax_energy` in meV an
    atom, by which the labels' method puts the potential's minimum above its own: negative if that is a deeper one.
    """
    if found is None:
        return {"relaxed": False, "relax_rmsd": None, "relax_energy": None}
    try:
        above = label_energy(found) - minimum_energy
    except CalculatorError:  # a minimum so odd that its charges do not converge
        return {"relaxed": False, "relax_rmsd": None, "relax_energy": None}
    return {
        "relaxed": True,
        "relax_rmsd": aligned_rmsd(found.positions, minimum),
        "relax_energy": 1000 * above / len(found),
    }


def label_energy(atoms: Atoms) -> float:
    """Energy in eV by GFN2-xTB."""
    atoms = atoms.copy()
    atoms.calc = label_method()
    return atoms.get_potential_energy()


def aligned_rmsd(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square distance in Å of positions `a` and `b` (A, 3), one shifted and turned onto the other."""
    if len(a) == 1:
        return 0.0
    _, distance = Rotation.align_vectors(a - a.mean(0), b - b.mean(0))
    return float(distance / np.sqrt(len(a)))
