"""NequIP: nequip's layers on our batches."""

from functools import partial

from torch import nn

from chemscale.models.family import ELEMENTS
from chemscale.models.nequip_layers import PAIRS_PER_ATOM, NequipLayers, unscripted


def _nequip(depth: int, width: int, cutoff: float, radial: int, l_max: int) -> nn.Module:
    """Return NequIP with `depth` layers and `width` features for every l up to `l_max`.

    Tensors have the parity of products of vectors, as with nequip's `parity=False`. The hidden layer of the radial
    network has `width` neurons.
    """
    from nequip.model.nequip_models import FullNequIPGNNModel

    def irreps(count: int, ranks: range) -> str:
        return " + ".join(f"{count}x{rank}{'o' if rank % 2 else 'e'}" for rank in ranks)

    hidden, scalars = irreps(width, range(l_max + 1)), irreps(width, range(1))
    network = unscripted(
        FullNequIPGNNModel,
        r_max=cutoff,
        type_names=[f"Z{z}" for z in range(ELEMENTS)],
        irreps_edge_sh=irreps(1, range(l_max + 1)),
        type_embed_num_features=width,
        feature_irreps_hidden=[hidden] * (depth - 1) + [scalars],
        radial_mlp_depth=[1] * depth,
        radial_mlp_width=[width] * depth,
        num_bessels=radial,
        avg_num_neighbors=PAIRS_PER_ATOM,
        per_type_energy_scales=1.0,
        per_type_energy_shifts=0.0,
    )
    return NequipLayers(network)


nequip_l0, nequip_l1, nequip_l2 = (partial(_nequip, l_max=l_max) for l_max in range(3))
