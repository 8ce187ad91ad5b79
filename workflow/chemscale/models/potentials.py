"""Neural potentials: the energy is a sum of atomic energies; the forces are its exact negative gradient."""

import torch
from torch import Tensor, nn

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys
from chemscale.models.family import RADIAL
from chemscale.models.registry import charged_families, potential_family


def build_potential(
    family: str, depth: int, width: int, cutoff: float, radial: int = RADIAL, charged: bool = False
) -> nn.Module:
    """Return a potential with fresh weights: `depth` message-passing layers, `width` features, `cutoff` in Å.

    It maps a batch (`geometries.keys`) to the energies (M,) of its molecules in eV. `radial` is the number of radial
    basis functions; `charged` models read the charge and the unpaired electrons of molecules. Raises ChemscaleError for
    an unknown family, a size that it does not have, and a family without inputs of charge.
    """
    record = potential_family(family)
    if charged and not record.charged:
        known = " or ".join(charged_families())
        raise ChemscaleError(f"family = {family}: cannot represent charge or unpaired electrons; choose {known}")
    record.parameters(depth, width)  # refuses sizes that the family does not have
    return record.build(depth, width, cutoff, radial, **({"charged": True} if charged else {}))


def energy_and_forces(model: nn.Module, batch: dict[str, Tensor], training: bool) -> tuple[Tensor, Tensor]:
    """Return energies (M,) in eV and forces (A, 3) in eV/Å, the negative gradient of the energies by autograd.

    `training` keeps the graph through the forces, so that a loss on them has a gradient. Works under `torch.no_grad`,
    but not under `torch.inference_mode` (Lightning: `Trainer(inference_mode=False)`).
    """
    with torch.enable_grad():
        positions = batch[keys.POSITIONS].detach().requires_grad_()
        energy = model({**batch, keys.POSITIONS: positions})
        (gradient,) = torch.autograd.grad(energy.sum(), positions, create_graph=training)
    return (energy if training else energy.detach()), -gradient
