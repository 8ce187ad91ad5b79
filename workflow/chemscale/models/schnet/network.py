"""SchNet with schnetpack's modules, and so its weights and their names.

The pass over pairs is ours: filters depend on distances alone, so they are computed for one direction of each pair
(`geometries.batches.pairs`) and serve both.
"""

import schnetpack.nn as snn
import schnetpack.representation as schnetpack
from torch import Tensor, nn

from chemscale.models.atomwise import AtomwisePotential, sum_messages


class SchNet(schnetpack.SchNet):
    """SchNet of schnetpack, evaluated on one direction of each pair."""

    def forward(self, z: Tensor, vectors: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Return features (A, F) of atoms `z` (A,).

        The pairs are `i`, `j` (E,); `vectors` (E/2, 3) in Å belong to their first half.
        """
        d = vectors.norm(dim=1)  # (E/2,)
        radial, envelope = self.radial_basis(d), self.cutoff_fn(d)[:, None]  # (E/2, K), (E/2, 1)
        x = self.embedding(z)  # (A, F)
        for layer in self.interactions:
            filters = layer.filter_network(radial) * envelope  # (E/2, F)
            sent = layer.in2f(x).index_select(0, j).view(2, *filters.shape) * filters  # (2, E/2, F)
            x = x + layer.f2out(sum_messages(sent.flatten(0, 1), i, z.shape[0]))
        return x


def schnet(depth: int, width: int, cutoff: float, radial: int) -> nn.Module:
    """Return SchNet with `depth` interactions, `width` features and as many filters."""
    basis, envelope = snn.GaussianRBF(n_rbf=radial, cutoff=cutoff), snn.CosineCutoff(cutoff)
    return AtomwisePotential(SchNet(width, depth, basis, envelope), width)
