"""SpookyNet: s, p and d functions of the neighbours; charge and spin where the data have them."""

from chemscale.models.family import ELEMENTS, RADIAL, PotentialFamily


def parameters(depth: int, width: int) -> dict[str, int]:
    """Return the parameters of our SpookyNet, neutral and without nonlocal attention."""
    F = width
    residual = 2 * (F * F + F) + 2 * 2 * F  # two layers; two activations of two vectors each
    mlp = residual + 2 * F + (F * F + F)
    local = 4 * mlp + RADIAL * 3 * F + 2 * 2 * F * F + mlp  # branches, filters, products of p and of d, mixing
    return {
        "embedding": ELEMENTS * F,
        "body": 1 + depth * (2 * residual + local + mlp),  # the decay of the radial functions is one parameter
        "head": F,
    }


FAMILY = PotentialFamily(
    name="spookynet",
    label="SpookyNet",
    colour="#7f3c8d",
    symmetry="vector",
    description="s, p and d functions of the neighbours; written from the paper",
    source="Unke et al., Nat. Commun. 12, 7273 (2021)",
    network="chemscale.models.spookynet.network:SpookyNet",
    groups={"embedding": ("embedding.",), "head": ("readout.",)},
    parameters=parameters,
    charged=True,
)
