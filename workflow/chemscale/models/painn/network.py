"""PaiNN with schnetpack's modules, and so its weights and their names.

The pass over pairs is ours: filters depend on distances alone, so they are computed for one direction of each pair
(`geometries.batches.pairs`) and serve both, and features of one atom are multiplied before they are sent.
"""

import schnetpack.nn as snn
import schnetpack.representation as schnetpack
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chemscale.models.atomwise import AtomwisePotential, sum_messages


class PaiNN(schnetpack.PaiNN):
    """PaiNN of schnetpack, evaluated on one direction of each pair."""

    def forward(self, z: Tensor, vectors: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Return features (A, F) of atoms `z` (A,).

        The pairs are `i`, `j` (E,); `vectors` (E/2, 3) in Å belong to their first half.
        """
        d = vectors.norm(dim=1, keepdim=True)  # (E/2, 1)
        unit = vectors / d
        unit = torch.cat([unit, -unit])[:, :, None]  # (E, 3, 1)
        # filters are linear: the envelope multiplies K radial functions and a 1 for the bias, not 3F·L filters
        envelope = self.cutoff_fn(d)
        radial = torch.cat([self.radial_basis(d[:, 0]) * envelope, envelope], 1)  # (E/2, K + 1)
        weights = torch.cat([self.filter_net.weight, self.filter_net.bias[:, None]], 1)  # (3F·L, K + 1)
        filters = F.linear(radial, weights)  # (E/2, 3F·L)
        filters = iter(torch.cat([filters, filters])[:, None].split(self.n_atom_basis, 2))  # 3L × (E, 1, F)
        q, mu = self.embedding(z)[:, None], None  # (A, 1, F), (A, 3, F): no vectors before the first layer
        for interaction, mixing in zip(self.interactions, self.mixing, strict=True):
            scalar, along, kept = interaction.interatomic_context_net(q).split(self.n_atom_basis, 2)  # (A, 1, F) each
            scalar_filter, along_filter, kept_filter = (next(filters) for _ in range(3))
            dmu = along.index_select(0, j) * along_filter * unit  # (E, 3, F)
            if mu is not None:
                dmu = dmu + (kept * mu).index_select(0, j) * kept_filter
            dmu = sum_messages(dmu, i, z.shape[0])
            q = q + sum_messages(scalar.index_select(0, j) * scalar_filter, i, z.shape[0])
            q, mu = mixing(q, dmu if mu is None else mu + dmu)
        return q[:, 0]


def painn(depth: int, width: int, cutoff: float, radial: int) -> nn.Module:
    """Return PaiNN with `depth` interactions, `width` scalar and `width` vector features."""
    basis, envelope = snn.GaussianRBF(n_rbf=radial, cutoff=cutoff), snn.CosineCutoff(cutoff)
    return AtomwisePotential(PaiNN(width, depth, basis, envelope), width)
