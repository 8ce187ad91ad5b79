"""A trained potential as a calculator of ASE: energies in eV, forces in eV/Å."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from scipy.spatial import cKDTree

from chemscale.errors import ChemscaleError
from chemscale.geometries.batches import batch_slices
from chemscale.geometries.charge_spin import electrons_of
from chemscale.geometries.references import compositions
from chemscale.models.loading import load_potential
from chemscale.simulation.predict import atomic_energies, predict, require_known
from chemscale.typed import suggestion

LOG = logging.getLogger(__name__)
MIN_DISTANCE = 0.3  # Å; no training set has atoms this close, and no chemistry either
DTYPES = {"float32": torch.float32, "float64": torch.float64}
ELSEWHERE = {"default_dtype": "dtype", "model": "record", "model_path": "record", "model_paths": "record"}  # in others


class PotentialCalculator(Calculator):
    """ASE calculator of the trained potential of `record`, the record of a run or its `model.safetensors`.

    `dtype` is the precision it computes in: with "float32", as trained, forces are noisy by some 1e-6 eV/Å; finite
    differences and tight relaxations need "float64". `device` is one of torch, such as "cuda". `charge` in elementary
    charges and `unpaired` electrons are those of atoms that state none: `info` may hold a charge (`charge`,
    `total_charge`, …) and a spin (`unpaired`, `multiplicity`, …), and initial charges and magnetic moments count, too.
    The property `energies` holds energies of atoms, whose sum is the energy. `predict` computes many molecules at once.

    Raises ChemscaleError for an unusable model and for keywords it does not know, and on use for periodic boundary
    conditions, an element the potential has not seen, atoms that are not finite or overlap, and a charge or unpaired
    electrons that cannot be or that it has no input for. A composition that the training data say nothing about, and an
    odd number of electrons, are warned of once.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "energies"]  # type: ignore[misc]
    default_parameters: ClassVar[dict[str, Any]] = {"charge": 0, "unpaired": 0}

    def __init__(
        self,
        record: Path | str,
        dtype: str = "float32",
        device: str | torch.device = "cpu",
        charge: int = 0,
        unpaired: int = 0,
        **unknown: Any,
    ):
        _refuse(unknown, ("record", "dtype", "device", "charge", "unpaired"))
        if dtype not in DTYPES:
            raise ChemscaleError(f"dtype = {dtype!r}: unknown; {suggestion(str(dtype), DTYPES)}")
        super().__init__(charge=charge, unpaired=unpaired)
        self.potential = load_potential(record, DTYPES[dtype])
        try:
            self.potential.model.to(device)
        except (RuntimeError, AssertionError) as error:  # torch raises the latter where it was built without CUDA
            raise ChemscaleError(f"device = {str(device)!r}: {error}; use cpu") from None
        self.warned: set[str] = set()

    def set(self, **changes: Any) -> dict:
        """Change `charge` and `unpaired`; forget results if they differ."""
        _refuse(changes, self.default_parameters)
        changed = super().set(**changes)
        if changed:
            self.reset()
        return changed

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Put the energy and forces of `atoms` into `self.results`, and energies of atoms if `properties` has them."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        (energy,), (forces,) = self.predict([self.atoms])
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if "energies" in properties:
            electrons = {key: np.array([number]) for key, number in self._electrons(self.atoms).items()}
            inputs = self.atoms.numbers, np.array([len(self.atoms)]), self.atoms.positions, electrons
            self.results["energies"] = atomic_energies(self.potential, *inputs)

    def predict(self, molecules: Sequence[Atoms], batch_atoms: int = 512) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return energies (M,) in eV and forces, M times (A, 3) in eV/Å, of many molecules.

        They are computed in batches of up to `batch_atoms` atoms, several times faster than one by one.
        """
        if not molecules:
            return np.zeros(0), []
        electrons = []
        for atoms in molecules:
            formula = atoms.get_chemical_formula()
            _require_isolated(atoms, formula)
            require_known(self.potential, atoms.numbers, formula)
            _require_apart(atoms, formula)
            electrons.append(self._electrons(atoms))
            self._warn(atoms, formula, electrons[-1])
        sizes = np.array([len(atoms) for atoms in molecules])
        energies, forces = [], []
        for part in batch_slices(sizes, batch_atoms):
            z, x = (
                np.concatenate([getattr(atoms, key) for atoms in molecules[part]]) for key in ("numbers", "positions")
            )
            own = {key: np.array([each[key] for each in electrons[part]]) for key in electrons[0]}
            energy, force = predict(self.potential, z, sizes[part], x, own)
            energies.append(energy)
            forces += np.split(force, np.cumsum(sizes[part])[:-1])
        return np.concatenate(energies), forces

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Return what has changed since the last calculation; ASE does not look at `info`."""
        changes = super().check_state(atoms, tol)
        if self.atoms is not None and self._electrons(atoms) != self._electrons(self.atoms):
            changes.append("info")
        return changes

    def _electrons(self, atoms: Atoms) -> dict[str, int]:
        """Return the charge and the unpaired electrons of atoms, by key."""
        properties = {**atoms.info, **{key: atoms.arrays[key] for key in atoms.arrays if key.startswith("initial_")}}
        default = self.parameters["charge"], self.parameters["unpaired"]
        return electrons_of(atoms.get_chemical_formula(), atoms.numbers, properties, default)

    def _warn(self, atoms: Atoms, formula: str, electrons: dict[str, int]) -> None:
        """Warn once per formula of what the training data say nothing about."""
        if formula in self.warned:
            return
        counts = compositions(atoms.numbers, np.array([len(atoms)]))[0]
        reasons = []
        if (abs(self.potential.undetermined @ counts) > 1e-6).any():
            reasons.append("the training data have too few compositions to tell its energy from that of others")
        if (atoms.numbers.sum() - electrons["charge"] - electrons["unpaired"]) % 2:
            reasons.append("an odd number of electrons, while the potential was trained on closed shells")
        if reasons:
            self.warned.add(formula)
            LOG.warning("%s is outside the training domain: %s; do not trust its energy", formula, "; ".join(reasons))


def _refuse(keywords: dict[str, Any], known: Sequence[str] | dict[str, Any]) -> None:
    for name in keywords:
        if name not in known:
            advice = f"did you mean {ELSEWHERE[name]}?" if name in ELSEWHERE else suggestion(name, known)
            raise ChemscaleError(f"{name} = {keywords[name]!r}: unknown keyword; {advice}")


def _require_isolated(atoms: Atoms, formula: str) -> None:
    if atoms.pbc.any():
        raise ChemscaleError(
            f"{formula}: pbc = {atoms.pbc.tolist()}: the potential is for isolated molecules; set atoms.pbc = False"
        )
    if not len(atoms):
        raise ChemscaleError("atoms: there are none; give at least one atom")


def _require_apart(atoms: Atoms, formula: str) -> None:
    if not np.isfinite(atoms.positions).all():
        raise ChemscaleError(f"{formula}: positions are not finite; check the geometry")
    if len(atoms) == 1:
        return
    distances, places = cKDTree(atoms.positions).query(atoms.positions, 2)  # (A, 2): itself and its nearest
    i = int(distances[:, 1].argmin())
    if distances[i, 1] < MIN_DISTANCE:
        i, j = sorted((i, int(places[i][places[i] != i][0])))
        raise ChemscaleError(
            f"{formula}: atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]}) overlap, "
            f"{distances[:, 1].min():.2f} Å apart; move atoms to at least {MIN_DISTANCE} Å from each other"
        )
