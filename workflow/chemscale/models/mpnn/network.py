"""MPNN: SchNet with filters of vectors instead of distances.

It is the lowest step of the ladder of symmetry, and differs from SchNet in one thing only: a filter reads the
components of the vector to the neighbour. Energies of a rotated molecule therefore differ until training has taught
that they do not. Forces are still the negative gradient of the energy.
"""

import schnetpack.nn as snn
import schnetpack.representation as schnetpack
import torch
from torch import Tensor, nn

from chemscale.models.atomwise import AtomwisePotential, sum_messages


class MPNN(schnetpack.SchNet):
    """SchNet of schnetpack with filters of the whole vector."""

    def __init__(self, width: int, depth: int, cutoff: float, radial: int):
        basis = snn.GaussianRBF(n_rbf=radial, cutoff=cutoff)
        super().__init__(width, depth, basis, snn.CosineCutoff(cutoff))
        for layer in self.interactions:
            old = layer.filter_network[0]
            layer.filter_network[0] = snn.Dense(4 * radial, width, activation=old.activation)

    def forward(self, z: Tensor, vectors: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Return features (A, F) of atoms `z` (A,).

        The pairs are `i`, `j` (E,); `vectors` (E/2, 3) in Å belong to their first half.
        """
        d = vectors.norm(dim=1, keepdim=True)  # (E/2, 1)
        radial, envelope = self.radial_basis(d[:, 0]), self.cutoff_fn(d)  # (E/2, K), (E/2, 1)
        along = ((vectors / d)[:, :, None] * radial[:, None]).flatten(1)  # (E/2, 3K)
        basis = torch.cat([torch.cat([radial, along], 1), torch.cat([radial, -along], 1)])  # (E, 4K)
        envelope = torch.cat([envelope, envelope])  # (E, 1)
        x = self.embedding(z)  # (A, F)
        for layer in self.interactions:
            filters = layer.filter_network(basis) * envelope  # (E, F)
            sent = layer.in2f(x).index_select(0, j) * filters  # (E, F)
            x = x + layer.f2out(sum_messages(sent, i, z.shape[0]))
        return x


def mpnn(depth: int, width: int, cutoff: float, radial: int) -> nn.Module:
    """Return an MPNN with `depth` interactions, `width` features and as many filters."""
    return AtomwisePotential(MPNN(width, depth, cutoff, radial), width)
