"""Energies and forces of any molecules by a trained potential, in the units of ASE."""

import numpy as np
import torch
from ase.data import chemical_symbols

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys
from chemscale.geometries.neighbours import pairs
from chemscale.models.loading import Potential
from chemscale.models.potentials import energy_and_forces


def energies_and_forces(
    potential: Potential,
    z: np.ndarray,
    n_atoms: np.ndarray,
    positions: np.ndarray,
    electrons: dict[str, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Energies (M,) in eV, references included, and forces (A, 3) in eV/Å of a batch of molecules, in float64.

    Atomic numbers `z` (A,) and `positions` (A, 3) in Å hold molecules of `n_atoms` (M,) atoms one after the other. The
    elements are ones the potential knows (`require_known`). `electrons` are their `keys.CHARGE` and `keys.UNPAIRED`
    (M,), left out for neutral closed shells; ChemscaleError if they are others and the potential has no input for them.
    It computes in its own precision, but the references are added in float64: they are hundreds of times what it
    computes.
    """
    electrons = electrons or {}
    if not potential.charged:
        _require_neutral(electrons)
    parameter = next(potential.model.parameters())
    sizes = torch.from_numpy(n_atoms.astype(np.int64)).to(parameter.device)
    batch = {
        keys.Z: torch.from_numpy(z.astype(np.int64)).to(parameter.device),
        keys.POSITIONS: torch.from_numpy(positions).to(parameter),
        keys.N_ATOMS: sizes,
        keys.MOLECULE: torch.arange(len(n_atoms), device=parameter.device).repeat_interleave(sizes),
        **{key: torch.as_tensor(n).to(parameter) for key, n in electrons.items()},
    }
    batch[keys.PAIR_I], batch[keys.PAIR_J] = pairs(batch[keys.POSITIONS], sizes, potential.cutoff)
    energy, forces = energy_and_forces(potential.model, batch, training=False)
    references = np.add.reduceat(potential.references[z], np.cumsum(n_atoms) - n_atoms)
    return energy.cpu().double().numpy() + references, forces.cpu().double().numpy()


def _require_neutral(electrons: dict[str, np.ndarray]) -> None:
    for key, numbers in electrons.items():
        if np.any(numbers):
            raise ChemscaleError(
                f"a molecule with {key} {numbers[np.flatnonzero(numbers)[0]]:g}: the potential was trained on neutral "
                "closed-shell ones, and has no input for it; right would be a SpookyNet trained on a dataset with "
                "charges"
            )


def require_known(potential: Potential, z: np.ndarray, where: str) -> None:
    """Raise ChemscaleError if atomic numbers `z` hold an element the potential was not trained on."""
    unknown = [chemical_symbols[number] for number in np.unique(z) if np.isnan(potential.references[number])]
    if unknown:
        known = [chemical_symbols[number] for number in np.flatnonzero(~np.isnan(potential.references))]
        raise ChemscaleError(
            f"{where}: the potential has not seen {', '.join(unknown)}; it was trained on {', '.join(known)} only"
        )
