"""ChemGPT as published: 24 layers, 16 heads, width the only size."""

from chemscale.errors import ChemscaleError
from chemscale.models.family import GPTShape, LanguageFamily

GROUPS = {"embedding": ("tokens.",), "position": ("positions.",)}  # the head is the token embedding


def published(width: int) -> GPTShape:
    """Return the shape of ChemGPT as released (Frey et al. 2023, code of May 2022).

    Raises ChemscaleError where the heads do not divide the width.
    """
    if width % 16:
        raise ChemscaleError(f"width = {width}: chemgpt has 16 heads; choose a multiple of 16")
    return GPTShape(layers=24, heads=16, width=width, context=2048, window=256)


FAMILY = LanguageFamily(
    name="chemgpt",
    label="ChemGPT",
    colour="#cc79a7",
    symmetry="none",
    description="GPT-Neo with 24 layers and 16 heads, as published",
    source="Frey et al., Nat. Mach. Intell. 5, 1297 (2023)",
    network="chemscale.models.chemgpt.network:ChemGPT",
    groups=GROUPS,
    shape=published,
)
