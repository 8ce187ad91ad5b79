"""Allegro: nequip-allegro's layers on our batches.

The energy of an atom is a sum over its pairs, and pairs exchange tensors only with pairs of the same centre. nequip and
nequip-allegro are imported when a model is built.
"""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from chemscale.geometries import keys
from chemscale.models.atomwise import AtomicSum
from chemscale.models.family import ELEMENTS

PAIRS_PER_ATOM = 15.0  # keeps sums over pairs near 1 at first; organic molecules at 5 Å


class Allegro(AtomicSum):
    """The energy of a molecule as the sum over its atoms of one number per element and the energies of their pairs.

    It has `depth` layers with `width` scalar and `width`/4 (at least 4) tensor features per pair. Tensors go up to
    l = 1 with both parities, as in nequip's baseline, and every hidden layer has `width` neurons.
    """

    def __init__(self, depth: int, width: int, cutoff: float, radial: int):
        super().__init__()
        self.network = _network(depth, width, cutoff, radial)
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


def _network(depth: int, width: int, cutoff: float, radial: int) -> nn.Module:
    """Return nequip's network from pairs to atomic energies; torch's global settings stay as they are."""
    from allegro.model.allegro_models import FullAllegroModel
    from e3nn.o3 import Irreps
    from nequip.utils.compile import conditional_torchscript_mode

    with conditional_torchscript_mode(False):  # second derivatives of scripted modules are unreliable
        whole = FullAllegroModel.__wrapped__(
            r_max=cutoff,
            type_names=[f"Z{z}" for z in range(ELEMENTS)],
            irreps_edge_sh="0e + 1o",
            tensor_track_allowed_irreps=Irreps("0e + 0o + 1o + 1e"),
            radial_chemical_embed={"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": radial},
            scalar_embed_mlp_hidden_layers_width=width,
            num_layers=depth,
            num_scalar_features=width,
            num_tensor_features=max(4, width // 4),
            allegro_mlp_hidden_layers_width=width,
            readout_mlp_hidden_layers_width=width,
            avg_num_neighbors=PAIRS_PER_ATOM,
            do_derivatives=False,
        )
    return whole.func.to(torch.get_default_dtype())
