"""A trained potential as a calculator of ASE: energies in eV, forces in eV/Å."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from scipy.spatial.distance import pdist, squareform

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys
from chemscale.models.loading import load_potential
from chemscale.simulation.predict import predict, require_known

MIN_DISTANCE = 0.3  # Å; no training set has atoms this close, and no chemistry either
DTYPES = {"float32": torch.float32, "float64": torch.float64}


class PotentialCalculator(Calculator):
    """ASE calculator of the trained potential of `record`, the record of a run or its `model.safetensors`.

    `dtype` is the precision it computes in: with "float32", as trained, forces are noisy by some 1e-6 eV/Å; finite
    differences and tight relaxations need "float64". `charge` in elementary charges and `unpaired` electrons are those
    of atoms whose `info` has no key of that name. Raises ChemscaleError for an unusable model, and on use for periodic
    boundary conditions, an element the potential has not seen, atoms that are not finite or overlap, and a charge or
    unpaired electrons where it has no input for them.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces"]

    def __init__(self, record: Path | str, dtype: str = "float32", charge: int = 0, unpaired: int = 0, **keywords):
        super().__init__(**keywords)
        self.electrons = {keys.CHARGE: charge, keys.UNPAIRED: unpaired}
        if dtype not in DTYPES:
            raise ChemscaleError(f"dtype = {dtype!r}: unknown; choose one of {', '.join(DTYPES)}")
        self.potential = load_potential(record, DTYPES[dtype])

    def calculate(self, atoms: Atoms | None = None, properties=("energy",), system_changes=all_changes) -> None:
        """Put the energy and forces of `atoms` into `self.results`."""
        super().calculate(atoms, properties, system_changes)
        _require_isolated(self.atoms)
        require_known(self.potential, self.atoms.numbers, self.atoms.get_chemical_formula())
        _require_apart(self.atoms)
        sizes = np.array([len(self.atoms)])
        electrons = {key: np.array([number]) for key, number in self._electrons(self.atoms).items()}
        energy, forces = predict(self.potential, self.atoms.numbers, sizes, self.atoms.positions, electrons)
        self.results = {"energy": energy[0], "free_energy": energy[0], "forces": forces}

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Return what has changed since the last calculation; ASE does not look at `info`."""
        changes = super().check_state(atoms, tol)
        if self.atoms is not None and self._electrons(atoms) != self._electrons(self.atoms):
            changes.append("info")
        return changes

    def _electrons(self, atoms: Atoms) -> dict[str, int]:
        return {key: atoms.info.get(key, number) for key, number in self.electrons.items()}


def _require_isolated(atoms: Atoms) -> None:
    if atoms.pbc.any():
        raise ChemscaleError(
            f"{atoms.get_chemical_formula()}: pbc = {atoms.pbc.tolist()}: the potential is for isolated molecules; "
            "set atoms.pbc = False"
        )
    if not len(atoms):
        raise ChemscaleError("atoms: there are none; give at least one atom")


def _require_apart(atoms: Atoms) -> None:
    if not np.isfinite(atoms.positions).all():
        raise ChemscaleError(f"{atoms.get_chemical_formula()}: positions are not finite; check the geometry")
    distances = squareform(pdist(atoms.positions)) + np.diag(np.full(len(atoms), np.inf))  # (A, A)
    i, j = np.unravel_index(distances.argmin(), distances.shape)
    if distances[i, j] < MIN_DISTANCE:
        raise ChemscaleError(
            f"{atoms.get_chemical_formula()}: atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]}) overlap, "
            f"{distances[i, j]:.2f} Å apart; move atoms to at least {MIN_DISTANCE} Å from each other"
        )
