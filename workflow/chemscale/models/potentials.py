"""Neural potentials: a sum of atomic energies whose exact negative gradient are the forces.

SchNet (Schütt et al., J. Chem. Phys. 148, 241722 (2018)) and PaiNN (Schütt, Unke, Gastegger, ICML 2021) are
schnetpack's modules. A family is a function of depth, width, cutoff and radial functions that returns a module from a
batch (`geometries.keys`) to the energies (M,) of its molecules.
"""

from collections.abc import Callable

import schnetpack.nn as snn
import torch
import torch.nn.functional as F
from schnetpack import properties
from schnetpack.representation import PaiNN, SchNet
from torch import Tensor, nn

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys


class AtomwisePotential(nn.Module):
    """Energy of a molecule as the sum of what a small network reads off the features of each of its atoms."""

    def __init__(self, representation: nn.Module, width: int):
        super().__init__()
        self.representation = representation
        # schnetpack's Atomwise holds the same network, F → F/2 → 1, but finds the number of molecules by asking the
        # device, which on a GPU stops every step
        self.readout = snn.build_mlp(n_in=width, n_out=1, n_layers=2, activation=F.silu)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Energies (M,) in eV, references of the atoms subtracted."""
        positions, i, j = batch[keys.POSITIONS], batch[keys.PAIR_I], batch[keys.PAIR_J]
        inputs = {
            properties.Z: batch[keys.Z],
            properties.Rij: positions.index_select(0, j) - positions.index_select(0, i),  # (E, 3)
            properties.idx_i: i,
            properties.idx_j: j,
        }
        features = self.representation(inputs)["scalar_representation"]  # (A, F)
        atomic = self.readout(features).squeeze(-1)  # (A,)
        return atomic.new_zeros(len(batch[keys.N_ATOMS])).index_add(0, batch[keys.MOLECULE], atomic)


def schnet(depth: int, width: int, cutoff: float, radial: int) -> nn.Module:
    """SchNet of `depth` interactions with `width` features and as many filters."""
    basis, envelope = snn.GaussianRBF(n_rbf=radial, cutoff=cutoff), snn.CosineCutoff(cutoff)
    return AtomwisePotential(SchNet(width, depth, basis, envelope), width)


def painn(depth: int, width: int, cutoff: float, radial: int) -> nn.Module:
    """PaiNN of `depth` interactions with `width` scalar and `width` vector features."""
    basis, envelope = snn.GaussianRBF(n_rbf=radial, cutoff=cutoff), snn.CosineCutoff(cutoff)
    return AtomwisePotential(PaiNN(width, depth, basis, envelope), width)


FAMILIES: dict[str, Callable[[int, int, float, int], nn.Module]] = {"schnet": schnet, "painn": painn}


def build_potential(family: str, depth: int, width: int, cutoff: float, radial: int = 20) -> nn.Module:
    """A potential with fresh weights: `depth` message-passing layers, `width` features, `cutoff` in Å.

    `radial` is the number of radial basis functions. Raises ChemscaleError for an unknown family.
    """
    if family not in FAMILIES:
        raise ChemscaleError(f"no family of potentials {family!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[family](depth, width, cutoff, radial)


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
