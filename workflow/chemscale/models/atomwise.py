"""Potentials whose energy is a sum over atoms, read from the features of each atom."""

import torch.nn.functional as F
from torch import Tensor, nn

from chemscale.geometries import keys


class AtomicSum(nn.Module):
    """A potential whose energy is a sum over atoms; subclasses define `atomic_energies`."""

    def atomic_energies(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the energies (A,) of the atoms in eV, without their reference energies."""
        raise NotImplementedError

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Return energies (M,) in eV, without the reference energies of the atoms."""
        atomic = self.atomic_energies(batch)
        return atomic.new_zeros(batch[keys.N_ATOMS].shape[0]).index_add(0, batch[keys.MOLECULE], atomic)


class AtomwisePotential(AtomicSum):
    """The energy of a molecule as the sum of atomic energies, which a small network reads from atomic features.

    `representation` takes atomic numbers (A,), the vectors (E/2, 3) in Å of the first half of the pairs, and the pairs
    `i`, `j` (E,); it returns features (A, F).
    """

    def __init__(self, representation: nn.Module, width: int):
        import schnetpack.nn as snn

        super().__init__()
        self.representation = representation
        # schnetpack's Atomwise holds the same network, F → F/2 → 1, but asks the device for the number of molecules,
        # which stops every step on a GPU
        self.readout = snn.build_mlp(n_in=width, n_out=1, n_layers=2, activation=F.silu)

    def atomic_energies(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the energies (A,) of the atoms in eV, without their reference energies."""
        positions, i, j = batch[keys.POSITIONS], batch[keys.PAIR_I], batch[keys.PAIR_J]
        half = i.shape[0] // 2  # the second half of the pairs is the first one reversed
        vectors = positions.index_select(0, j[:half]) - positions.index_select(0, i[:half])  # (E/2, 3)
        features = self.representation(batch[keys.Z], vectors, i, j)  # (A, F)
        return self.readout(features).squeeze(-1)


def sum_messages(messages: Tensor, i: Tensor, atoms: int) -> Tensor:
    """Return the sums (A, ...) of the messages (E, ...) that the atoms `i` (E,) receive, for `atoms` atoms."""
    return messages.new_zeros(atoms, *messages.shape[1:]).index_add(0, i, messages)
