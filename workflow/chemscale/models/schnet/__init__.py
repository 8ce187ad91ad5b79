"""SchNet: continuous-filter convolutions over distances."""

from chemscale.models.family import ELEMENTS, RADIAL, PotentialFamily, atomwise_head


def parameters(depth: int, width: int) -> dict[str, int]:
    """Return the parameters of schnetpack's SchNet with its atomwise readout."""
    F = width
    interaction = F * F + (RADIAL * F + F) + (F * F + F) + 2 * (F * F + F)  # in2f, filters, f2out
    return {"embedding": ELEMENTS * F, "body": depth * interaction, "head": atomwise_head(F)}


FAMILY = PotentialFamily(
    name="schnet",
    label="SchNet",
    colour="#0072b2",
    symmetry="invariant",
    description="distances; modules of schnetpack",
    source="Schütt et al., J. Chem. Phys. 148, 241722 (2018)",
    network="chemscale.models.schnet.network:schnet",
    groups={"embedding": ("representation.embedding.",), "head": ("readout.",)},
    parameters=parameters,
)
