"""SchNet (Schütt et al., J. Chem. Phys. 148, 241722 (2018)) and PaiNN (Schütt, Unke, Gastegger, ICML 2021).

Both are schnetpack's modules, and so its weights and their names, between a batch of ours and an atomwise readout. The
passes over pairs are written anew: filters depend on distances alone, so they are computed for one direction of each
pair (`geometries.neighbours.pairs`) and serve both, and features of one atom are multiplied before they are sent.
"""

import schnetpack.nn as snn
import schnetpack.representation as schnetpack
import torch
import torch.nn.functional as F
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
        half = len(i) // 2  # the other half of the pairs is the first turned round
        vectors = positions.index_select(0, j[:half]) - positions.index_select(0, i[:half])  # (E/2, 3)
        features = self.representation(batch[keys.Z], vectors, i, j)  # (A, F)
        atomic = self.readout(features).squeeze(-1)  # (A,)
        return atomic.new_zeros(len(batch[keys.N_ATOMS])).index_add(0, batch[keys.MOLECULE], atomic)


class SchNet(schnetpack.SchNet):
    """schnetpack's SchNet from half the vectors."""

    def forward(self, z: Tensor, vectors: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Features (A, F) of atoms `z` (A,) with pairs `i`, `j` (E,), whose first half has `vectors` (E/2, 3) in Å."""
        d = vectors.norm(dim=1)  # (E/2,)
        radial, envelope = self.radial_basis(d), self.cutoff_fn(d)[:, None]  # (E/2, K), (E/2, 1)
        x = self.embedding(z)  # (A, F)
        for layer in self.interactions:
            filters = layer.filter_network(radial) * envelope  # (E/2, F)
            sent = layer.in2f(x).index_select(0, j).view(2, *filters.shape) * filters  # (2, E/2, F)
            x = x + layer.f2out(_summed(sent.flatten(0, 1), i, len(z)))
        return x


class PaiNN(schnetpack.PaiNN):
    """schnetpack's PaiNN from half the vectors."""

    def forward(self, z: Tensor, vectors: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Features (A, F) of atoms `z` (A,) with pairs `i`, `j` (E,), whose first half has `vectors` (E/2, 3) in Å."""
        d = vectors.norm(dim=1, keepdim=True)  # (E/2, 1)
        unit = vectors / d
        unit = torch.cat([unit, -unit])[:, :, None]  # (E, 3, 1)
        # filters are linear: the envelope falls on K radial functions and a 1 for the bias, not on 3F·L filters
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
            dmu = _summed(dmu, i, len(z))
            q = q + _summed(scalar.index_select(0, j) * scalar_filter, i, len(z))
            q, mu = mixing(q, dmu if mu is None else mu + dmu)
        return q[:, 0]


def _summed(messages: Tensor, i: Tensor, atoms: int) -> Tensor:
    """Sums (A, ...) of the messages (E, ...) to each of `atoms` atoms, `i` (E,) of which receive them."""
    return messages.new_zeros(atoms, *messages.shape[1:]).index_add(0, i, messages)


def schnet(depth: int, width: int, cutoff: float, radial: int) -> nn.Module:
    """SchNet of `depth` interactions with `width` features and as many filters."""
    basis, envelope = snn.GaussianRBF(n_rbf=radial, cutoff=cutoff), snn.CosineCutoff(cutoff)
    return AtomwisePotential(SchNet(width, depth, basis, envelope), width)


def painn(depth: int, width: int, cutoff: float, radial: int) -> nn.Module:
    """PaiNN of `depth` interactions with `width` scalar and `width` vector features."""
    basis, envelope = snn.GaussianRBF(n_rbf=radial, cutoff=cutoff), snn.CosineCutoff(cutoff)
    return AtomwisePotential(PaiNN(width, depth, basis, envelope), width)
