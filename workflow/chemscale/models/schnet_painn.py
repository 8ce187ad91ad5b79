"""SchNet (Schütt et al., J. Chem. Phys. 148, 241722 (2018)) and PaiNN (Schütt, Unke, Gastegger, ICML 2021).

Both are schnetpack's modules between a batch of ours and an atomwise readout.
"""

import schnetpack.nn as snn
import torch.nn.functional as F
from schnetpack import properties
from schnetpack.representation import PaiNN, SchNet
from torch import Tensor, nn

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
