"""NequIP: messages of tensors up to l = 0, 1 or 2, one family for each."""

from functools import partial

from chemscale.models.family import ELEMENTS, RADIAL, PotentialFamily

COLOURS = ("#56b4e9", "#a6761d", "#b2182b")  # of l_max 0, 1, 2
SYMMETRY = ("invariant", "vector", "tensor")


def parameters(depth: int, width: int, l_max: int) -> dict[str, int]:
    """Return the parameters of nequip's network with `width` features for every l and our energy per element.

    A tensor of rank l has the parity of a product of l vectors. The first layer receives scalars only, the last one
    returns scalars only and none has a self-connection before the second.
    """
    F, ranks = width, range(l_max + 1)
    body = 0
    for layer in range(depth):
        received, returned = ranks if layer else (0,), ranks if layer < depth - 1 else (0,)
        paths = {
            c: sum(abs(a - b) <= c <= a + b and (a + b + c) % 2 == 0 for a in received for b in ranks) for c in returned
        }
        outputs = {c: F if c else F * len(returned) for c in returned}  # scalars also gate the tensors
        body += len(received) * F * F + RADIAL * F + F * F * sum(paths.values())
        body += sum(paths[c] * F * outputs[c] for c in returned)
        body += sum(F * F * outputs[c] for c in returned if c in received) if layer else 0
    return {"embedding": ELEMENTS * (F + 1), "body": body, "head": F}


FAMILIES = tuple(
    PotentialFamily(
        name=f"nequip-l{l_max}",
        label=f"NequIP l ≤ {l_max}" if l_max else "NequIP l = 0",
        colour=COLOURS[l_max],
        symmetry=SYMMETRY[l_max],
        description=f"tensors to l = {l_max}; layers of nequip",
        source="Batzner et al., Nat. Commun. 13, 2453 (2022)",
        network=f"chemscale.models.nequip.network:nequip_l{l_max}",
        groups={
            "embedding": ("shifts.", "network.type_embed."),
            "head": ("network.per_atom_energy_readout.",),
            "matrices": ("network.layer",),  # most of them are kept as vectors
        },
        parameters=partial(parameters, l_max=l_max),
    )
    for l_max in range(3)
)
