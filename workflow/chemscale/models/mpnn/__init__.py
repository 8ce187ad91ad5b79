"""MPNN: messages that see the vector to a neighbour as plain numbers, so that no rotation symmetry is built in."""

from chemscale.models.family import ELEMENTS, RADIAL, PotentialFamily, atomwise_head


def parameters(depth: int, width: int) -> dict[str, int]:
    """Return the parameters of SchNet whose filters read four numbers per radial function instead of one."""
    F = width
    interaction = F * F + (4 * RADIAL * F + F) + (F * F + F) + 2 * (F * F + F)  # in2f, filters, f2out
    return {"embedding": ELEMENTS * F, "body": depth * interaction, "head": atomwise_head(F)}


FAMILY = PotentialFamily(
    name="mpnn",
    label="MPNN",
    colour="#7a7a7a",
    symmetry="none",
    description="vectors as plain numbers; SchNet without its invariance, trained on rotated and mirrored molecules",
    source="this project; compare Ngo, Ravanbakhsh, arXiv 2510.09768 (2025)",
    network="chemscale.models.mpnn.network:mpnn",
    groups={"embedding": ("representation.embedding.",), "head": ("readout.",)},
    parameters=parameters,
    augmented=True,
)
