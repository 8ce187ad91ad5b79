"""Energies and forces of any molecules by a trained potential, in the units of ASE."""

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor

from chemscale.errors import ChemscaleError
from chemscale.geometries.batches import collate
from chemscale.geometries.measures import segment_sum
from chemscale.models.atomwise import AtomicSum
from chemscale.models.loading import Potential
from chemscale.models.potentials import energy_and_forces

Electrons = dict[str, np.ndarray] | None


def predict(
    potential: Potential, z: np.ndarray, n_atoms: np.ndarray, positions: np.ndarray, electrons: Electrons = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return energies (M,) in eV, references included, and forces (A, 3) in eV/Å of a batch of molecules, in float64.

    Atomic numbers `z` (A,) and `positions` (A, 3) in Å hold molecules of `n_atoms` (M,) atoms one after the other. The
    elements are ones the potential knows (`require_known`). `electrons` are their `keys.CHARGE` and `keys.UNPAIRED`
    (M,), left out for neutral closed shells; ChemscaleError if they are others and the potential has no input for them.
    The model computes in its own precision, but the references are added in float64: they are hundreds of times what it
    computes.
    """
    batch = _batch(potential, z, n_atoms, positions, electrons)
    energy, forces = energy_and_forces(potential.model, batch, training=False)
    references = segment_sum(potential.references[z], n_atoms)
    return energy.cpu().double().numpy() + references, forces.cpu().double().numpy()


def atomic_energies(
    potential: Potential, z: np.ndarray, n_atoms: np.ndarray, positions: np.ndarray, electrons: Electrons = None
) -> np.ndarray:
    """Return the energies (A,) in eV of the atoms, references included, whose sums are those of `predict`.

    Only the sums were trained: how a potential shares them out among the atoms is its own.
    """
    if not isinstance(potential.model, AtomicSum):
        raise ChemscaleError("energies: this potential has no energies of atoms; ask for the energy of the molecule")
    with torch.no_grad():
        atomic = potential.model.atomic_energies(_batch(potential, z, n_atoms, positions, electrons))
    return atomic.cpu().double().numpy() + potential.references[z]


def _batch(
    potential: Potential, z: np.ndarray, n_atoms: np.ndarray, positions: np.ndarray, electrons: Electrons
) -> dict[str, Tensor]:
    electrons = electrons or {}
    if not potential.charged:
        _require_neutral(electrons)
    parameter = next(potential.model.parameters())
    return collate(z, positions, n_atoms, electrons, potential.cutoff, parameter.device, parameter.dtype)


def _require_neutral(electrons: dict[str, np.ndarray]) -> None:
    for key, values in electrons.items():
        if np.any(values):
            raise ChemscaleError(
                f"{key} = {values[np.flatnonzero(values)[0]]:g}: the potential was trained on neutral closed-shell "
                "molecules and has no input for it; use a SpookyNet trained on a dataset with charges"
            )


def require_known(potential: Potential, z: np.ndarray, where: str) -> None:
    """Raise ChemscaleError if atomic numbers `z` hold an element the potential was not trained on."""
    unknown = [chemical_symbols[number] for number in np.unique(z) if np.isnan(potential.references[number])]
    if unknown:
        known = [chemical_symbols[number] for number in np.flatnonzero(~np.isnan(potential.references))]
        raise ChemscaleError(
            f"{where}: the potential was trained on {', '.join(known)} only and does not know {', '.join(unknown)}; "
            "leave such molecules out, or train on a dataset that has these elements"
        )
