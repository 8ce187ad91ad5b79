"""Allegro (Musaelian et al., Nat. Commun. 14, 579 (2023)): nequip-allegro's layers on our batches.

Strictly local: an atom's energy is a sum over its pairs, and pairs exchange tensors only with pairs of the same centre.
nequip and nequip-allegro are the extra `allegro`, imported when a model is built.
"""

import torch
from torch import Tensor, nn

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys

ELEMENTS = 100
PAIRS_PER_ATOM = 15.0  # a constant that keeps sums over pairs near 1 at first; organic molecules at 5 Å


def allegro(depth: int, width: int, cutoff: float, radial: int) -> nn.Module:
    """Allegro of `depth` layers with `width` scalar and `width`/4 (at least 4) tensor features for each pair.

    Tensors go up to l = 1 with both parities, as nequip's baseline has them, and every hidden layer has `width`
    neurons. Raises ChemscaleError where the extra is not installed, and for an odd `width`.
    """
    if width % 2:
        raise ChemscaleError(f"allegro: width {width} is odd, and halves of it belong to an atom and its neighbour")
    return Allegro(_network(depth, width, cutoff, radial))


def _network(depth: int, width: int, cutoff: float, radial: int) -> nn.Module:
    """nequip's network from pairs to atomic energies, without what its builder does to torch's global settings."""
    try:
        from allegro.model.allegro_models import FullAllegroModel
        from e3nn.o3 import Irreps
        from nequip.utils.compile import conditional_torchscript_mode
    except ImportError as error:
        raise ChemscaleError(
            f"allegro: {error}; it comes with an extra: pip install --editable '.[allegro]' in the folder of chemscale"
        ) from None
    with conditional_torchscript_mode(False):  # scripted modules have no second derivatives one can rely on
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


class Allegro(nn.Module):
    """Energy of a molecule as the sum over its atoms of a number for the element and of their pairs' energies."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.shifts = nn.Embedding(ELEMENTS, 1)  # eV; all the energy an atom without neighbours has
        nn.init.zeros_(self.shifts.weight)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Energies (M,) in eV, references of the atoms subtracted."""
        positions, z = batch[keys.POSITIONS], batch[keys.Z]
        pairs = torch.stack([batch[keys.PAIR_I], batch[keys.PAIR_J]])  # (2, E)
        output = self.network({"pos": positions, "edge_index": pairs, "atom_types": z})
        atomic = (self.shifts(z) + output["atomic_energy"].to(positions.dtype)).squeeze(-1)  # (A,)
        return atomic.new_zeros(len(batch[keys.N_ATOMS])).index_add(0, batch[keys.MOLECULE], atomic)

    def _apply(self, function, recurse=True):
        """Also in another precision: nequip's modules cast to the one they were built in."""
        super()._apply(function, recurse)
        for module in self.network.modules():
            if hasattr(module, "_output_dtype"):
                module._output_dtype = self.shifts.weight.dtype
        return self
