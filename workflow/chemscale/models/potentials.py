"""Neural potentials: a sum of atomic energies whose exact negative gradient are the forces.

A family is a function of depth, width, cutoff (Å) and number of radial functions that returns a module from a batch
(`geometries.keys`) to the energies (M,) of its molecules in eV. It is one file and one line here; docs/potentials.md
says what else it owes.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys
from chemscale.models.allegro.network import allegro
from chemscale.models.schnet_painn import painn, schnet
from chemscale.models.spookynet.network import spookynet

FAMILIES: dict[str, Callable[[int, int, float, int], nn.Module]] = {
    "schnet": schnet,
    "painn": painn,
    "allegro": allegro,
    "spookynet": spookynet,
}
CHARGED = ("spookynet",)  # families that can be built with inputs of charge and unpaired electrons


def build_potential(
    family: str, depth: int, width: int, cutoff: float, radial: int = 20, charged: bool = False
) -> nn.Module:
    """A potential with fresh weights: `depth` message-passing layers, `width` features, `cutoff` in Å.

    `radial` is the number of radial basis functions; `charged` models read the charge and the unpaired electrons of
    molecules. Raises ChemscaleError for an unknown family, and one that cannot do that.
    """
    if family not in FAMILIES:
        raise ChemscaleError(f"no family of potentials {family!r}; there are {', '.join(FAMILIES)}")
    if charged and family not in CHARGED:
        raise ChemscaleError(f"family {family} has no input of charge; right would be {', '.join(CHARGED)}")
    return FAMILIES[family](depth, width, cutoff, radial, **({"charged": True} if charged else {}))


def energy_and_forces(model: nn.Module, batch: dict[str, Tensor], training: bool) -> tuple[Tensor, Tensor]:
    """Energies (M,) in eV and forces (A, 3) in eV/Å, the negative gradient of the energies by autograd.

    `training` keeps the graph through the forces, so that a loss on them has a gradient. Works under `torch.no_grad`,
    but not under `torch.inference_mode` (Lightning: `Trainer(inference_mode=False)`).
    """
    with torch.enable_grad():
        positions = batch[keys.POSITIONS].detach().requires_grad_()
        energy = model({**batch, keys.POSITIONS: positions})
        (gradient,) = torch.autograd.grad(energy.sum(), positions, create_graph=training)
    return (energy if training else energy.detach()), -gradient
