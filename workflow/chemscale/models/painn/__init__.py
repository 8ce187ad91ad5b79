"""PaiNN: messages of scalar and vector features."""

from chemscale.models.family import ELEMENTS, RADIAL, PotentialFamily, atomwise_head


def parameters(depth: int, width: int) -> dict[str, int]:
    """Return the parameters of schnetpack's PaiNN with its atomwise readout."""
    F = width
    filters = RADIAL * 3 * F + 3 * F
    interaction = (F * F + F) + (3 * F * F + 3 * F)  # context network: F → F → 3F
    mixing = 2 * F * F + (2 * F * F + F) + (3 * F * F + 3 * F)  # vector channels, then 2F → F → 3F
    return {
        "embedding": ELEMENTS * F,
        "body": depth * (filters + interaction + mixing),
        "head": atomwise_head(F),
    }


FAMILY = PotentialFamily(
    name="painn",
    label="PaiNN",
    colour="#d55e00",
    symmetry="vector",
    description="distances and directions; modules of schnetpack",
    source="Schütt, Unke, Gastegger, ICML 2021",
    network="chemscale.models.painn.network:painn",
    groups={"embedding": ("representation.embedding.",), "head": ("readout.",)},
    parameters=parameters,
)
