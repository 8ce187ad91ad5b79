"""GFN2-xTB (Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 15, 1652 (2019)) computed with tblite."""

import ase.units as units
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from tblite.interface import Calculator

METHOD = "GFN2-xTB"


def single_point(z: np.ndarray, positions: np.ndarray, charge: int = 0, unpaired: int = 0) -> tuple[float, np.ndarray]:
    """Return the energy in eV and the forces (A, 3) in eV/Å of a molecule `z` (A,), `positions` (A, 3) in Å.

    `charge` is in elementary charges, `unpaired` counts electrons.
    Raises TBLiteRuntimeError where the self-consistent charges do not converge.
    """
    calculator = Calculator(METHOD, z, positions / units.Bohr, charge=charge, uhf=unpaired)
    calculator.set("verbosity", 0)
    result = calculator.singlepoint()
    return result.get("energy") * units.Hartree, -result.get("gradient") * (units.Hartree / units.Bohr)


def ase_calculator() -> AseCalculator:
    """Return GFN2-xTB as a calculator of ASE."""
    from tblite.ase import TBLite

    return TBLite(method=METHOD, verbosity=0)


def energy_of(atoms: Atoms) -> float:
    """Return the energy in eV of `atoms`; raise ase's CalculatorError where the charges do not converge."""
    atoms = atoms.copy()
    atoms.calc = ase_calculator()
    return atoms.get_potential_energy()
