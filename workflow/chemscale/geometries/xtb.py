"""GFN2-xTB (Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 15, 1652 (2019)) by tblite."""

import ase.units as units
import numpy as np
from tblite.interface import Calculator

METHOD = "GFN2-xTB"


def single_point(z: np.ndarray, positions: np.ndarray, charge: int = 0, unpaired: int = 0) -> tuple[float, np.ndarray]:
    """Energy in eV and forces (A, 3) in eV/Å of a molecule `z` (A,), `positions` (A, 3) in Å.

    `charge` in elementary charges, `unpaired` electrons.
    Raises TBLiteRuntimeError where the self-consistent charges do not converge.
    """
    calculator = Calculator(METHOD, z, positions / units.Bohr, charge=charge, uhf=unpaired)
    calculator.set("verbosity", 0)
    result = calculator.singlepoint()
    return result.get("energy") * units.Hartree, -result.get("gradient") * (units.Hartree / units.Bohr)
