"""ChemGPT for studies of small models: the network of `chemgpt` with depth and heads that grow with width."""

from chemscale.errors import ChemscaleError
from chemscale.models.chemgpt import GROUPS
from chemscale.models.family import GPTShape, LanguageFamily


def slim(width: int) -> GPTShape:
    """Return a shape with heads of 8 to 64 dimensions, and depth that grows with width.

    It has two layers up to width 32, and one more with every doubling. Heads of one dimension and 24 layers of width
    16, as the published shape has them, take ten times as long for the same parameters. Scores are scaled: without
    that, training becomes unstable as heads grow, and a curve over sizes measures the instability
    (docs/explanation/decisions.md).
    Raises ChemscaleError for a width that is not a power of two.
    """
    if width < 8 or width & (width - 1):
        raise ChemscaleError(f"width = {width}: chemgpt-slim needs a power of two of at least 8; choose 8, 16, 32, …")
    layers, heads = max(2, width.bit_length() - 4), max(width // 64, min(width // 8, 4))
    return GPTShape(layers, heads, width, context=512, scaled=True)


FAMILY = LanguageFamily(
    name="chemgpt-slim",
    label="ChemGPT-slim",
    colour="#009e73",
    symmetry="none",
    description="the same decoder for small models: 2 layers up to width 32, one more per doubling of the width",
    source="this project",
    network="chemscale.models.chemgpt.network:ChemGPT",
    groups=GROUPS,
    shape=slim,
)
