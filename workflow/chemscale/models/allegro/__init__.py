"""Allegro: tensors on the pairs of one centre, strictly local."""

from itertools import pairwise

from chemscale.errors import ChemscaleError
from chemscale.models.family import ELEMENTS, RADIAL, PotentialFamily


def parameters(depth: int, width: int) -> dict[str, int]:
    """Return the parameters of nequip's Allegro, l up to 1 and both parities, with our energy per element.

    Raises ChemscaleError for an odd width.
    """
    if width % 2:
        raise ChemscaleError(
            f"width = {width}: allegro gives half of it to an atom and half to its neighbour; choose an even number"
        )
    F, T = width, max(4, width // 4)  # scalar and tensor features
    # a path of a layer's tensor product, by how many layers must precede and follow it for its ends to occur:
    # 0e and 1o occur in all, 1e needs one layer on each side, 0o two
    paths = [(0, 0)] * 4 + [(0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2)]
    levels = [min(k, depth - 1 - k) for k in range(depth)]
    count = sum(p >= a and q >= b for p, q in pairwise(levels) for a, b in paths) + 2
    pairs = RADIAL * F + 2 * F * F + 2 * T * F + (F + 2 * T) * F  # basis, embedding, first tensors and environment
    layers = sum(((k + 1) * F + T) * F + F * (F + 2 * T) for k in range(depth)) - 2 * T * F  # the last sends nothing
    return {
        "embedding": ELEMENTS * (F + 1),
        "body": pairs + layers + T * count,
        "head": (depth + 1) * F * F + F,
    }


FAMILY = PotentialFamily(
    name="allegro",
    label="Allegro",
    colour="#e69f00",
    symmetry="tensor",
    description="pairs of one centre, tensors to l = 1; layers of nequip-allegro",
    source="Musaelian et al., Nat. Commun. 14, 579 (2023)",
    network="chemscale.models.allegro.network:allegro",
    groups={
        "embedding": (
            "shifts.",
            "network.radial_chemical_embed.type_embed.center_embed.",
            "network.radial_chemical_embed.type_embed.neighbor_embed.",
        ),
        "head": ("network.edge_readout.",),
    },
    parameters=parameters,
)
