"""Networks of nequip's layers, Allegro among them, as potentials on our batches.

nequip is imported when a model is built.
"""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from chemscale.geometries import keys
from chemscale.models.atomwise import AtomicSum
from chemscale.models.family import ELEMENTS

PAIRS_PER_ATOM = 15.0  # keeps sums over pairs near 1 at first; organic molecules at 5 Å


class NequipLayers(AtomicSum):
    """The energy of a molecule as the sum over its atoms of one number per element and the energies of `network`."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.shifts = nn.Embedding(ELEMENTS, 1)  # eV; the whole energy of an atom without neighbours
        nn.init.zeros_(self.shifts.weight)

    def atomic_energies(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the energies (A,) of the atoms in eV, without their reference energies."""
        positions, z = batch[keys.POSITIONS], batch[keys.Z]
        pairs = torch.stack([batch[keys.PAIR_I], batch[keys.PAIR_J]])  # (2, E)
        output = self.network({"pos": positions, "edge_index": pairs, "atom_types": z})
        return (self.shifts(z) + output["atomic_energy"].to(positions.dtype)).squeeze(-1)

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Change precision also where nequip's modules cast to the one they were built in."""
        super()._apply(function, recurse)
        for module in self.network.modules():
            if hasattr(module, "_output_dtype"):
                module._output_dtype = self.shifts.weight.dtype  # type: ignore[assignment]
        return self


def unscripted(builder: Any, **arguments: Any) -> nn.Module:
    """Return the network from pairs to atomic energies that nequip's `builder` makes of `arguments`.

    torch's global settings stay as they are, and no module is scripted: second derivatives of scripted modules are
    unreliable.
    """
    from nequip.utils.compile import conditional_torchscript_mode

    with conditional_torchscript_mode(False):
        whole = builder.__wrapped__(**arguments, do_derivatives=False)
    return whole.func.to(torch.get_default_dtype())
