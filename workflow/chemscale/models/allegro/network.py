"""Allegro: nequip-allegro's layers on our batches.

The energy of an atom is a sum over its pairs, and pairs exchange tensors only with pairs of the same centre.
"""

from torch import nn

from chemscale.models.family import ELEMENTS
from chemscale.models.nequip_layers import PAIRS_PER_ATOM, NequipLayers, unscripted


def allegro(depth: int, width: int, cutoff: float, radial: int) -> nn.Module:
    """Return Allegro with `depth` layers and `width` scalar and `width`/4 (at least 4) tensor features per pair.

    Tensors go up to l = 1 with both parities, as in nequip's baseline, and every hidden layer has `width` neurons.
    """
    from allegro.model.allegro_models import FullAllegroModel
    from e3nn.o3 import Irreps

    network = unscripted(
        FullAllegroModel,
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
    )
    return NequipLayers(network)
