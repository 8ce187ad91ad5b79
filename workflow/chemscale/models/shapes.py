"""Sizes of every family in closed form, without building a model (and without importing torch).

The study's table of cells, the resources of a job and the axes of a figure need these numbers long before a model
exists. Tests hold each formula against the parameters of the real module.
"""

from dataclasses import dataclass
from itertools import pairwise

from chemscale.errors import ChemscaleError


@dataclass(frozen=True)
class GPTShape:
    """A decoder's shape. `context` is the longest sequence, `window` the reach of its local layers, both in tokens.

    `scaled`: attention scores are divided by √(head dimension), as everywhere but in GPT-Neo.
    """

    layers: int
    heads: int
    width: int
    context: int
    window: int | None = None  # every second layer attends to this many tokens only; None: all layers see everything
    scaled: bool = False

    def parameters(self, vocabulary: int) -> dict[str, int]:
        """Parameters by group, the head tied to the embedding; `matrices` and `scalars` make the non-embedding count.

        layers·(12·width² + 10·width) + 2·width: attention 4·width², MLP 8·width², biases and LayerNorms the rest.
        """
        return {
            "embedding": vocabulary * self.width,
            "position": self.context * self.width,
            "matrices": self.layers * 12 * self.width**2,
            "scalars": self.layers * 10 * self.width + 2 * self.width,
            "head": 0,
        }


def published(width: int) -> GPTShape:
    """ChemGPT as released (Frey et al. 2023, code of May 2022): 24 layers, 16 heads, width the only size."""
    if width % 16:
        raise ChemscaleError(f"chemgpt: width {width} is not divisible by its 16 heads; take a multiple of 16")
    return GPTShape(layers=24, heads=16, width=width, context=2048, window=256)


def slim(width: int) -> GPTShape:
    """ChemGPT for studies of small models: heads of 8 to 64 dimensions, and depth that grows with width.

    Two layers up to width 32, one more with every doubling. Heads of one dimension and 24 layers of width 16, as the
    published shape has them, cost ten times the time for the same parameters. Scores are scaled: without that, training
    gets unstable as heads grow, and a curve over sizes measures it (docs/decisions.md).
    """
    if width < 8 or width & (width - 1):
        raise ChemscaleError(f"chemgpt-slim: width {width} is not a power of two of at least 8; take 8, 16, 32, 64, …")
    layers, heads = max(2, width.bit_length() - 4), max(width // 64, min(width // 8, 4))
    return GPTShape(layers, heads, width, context=512, scaled=True)


GPT_SHAPES = {"chemgpt": published, "chemgpt-slim": slim}


def schnet_parameters(depth: int, width: int, radial: int = 20, elements: int = 100) -> int:
    """Parameters of schnetpack's SchNet with its atomwise readout, all groups."""
    F = width
    interaction = F * F + (radial * F + F) + (F * F + F) + 2 * (F * F + F)  # in2f, filters, f2out
    return elements * F + depth * interaction + readout_parameters(F)


def painn_parameters(depth: int, width: int, radial: int = 20, elements: int = 100) -> int:
    """Parameters of schnetpack's PaiNN with its atomwise readout, all groups."""
    F = width
    filters = radial * 3 * F + 3 * F
    interaction = (F * F + F) + (3 * F * F + 3 * F)  # context network: F → F → 3F
    mixing = 2 * F * F + (2 * F * F + F) + (3 * F * F + 3 * F)  # vector channels, then 2F → F → 3F
    return elements * F + depth * (filters + interaction + mixing) + readout_parameters(F)


def allegro_parameters(depth: int, width: int, radial: int = 20, elements: int = 100) -> int:
    """Parameters of nequip's Allegro with l up to 1 and both parities, and of our energies of elements, all groups."""
    F, T = width, max(4, width // 4)  # scalar and tensor features
    # a path of a layer's tensor product, by how many layers must precede and follow it for its ends to occur:
    # 0e and 1o occur in all, 1e needs one layer on each side, 0o two
    paths = [(0, 0)] * 4 + [(0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2)]
    levels = [min(k, depth - 1 - k) for k in range(depth)]
    count = sum(p >= a and q >= b for p, q in pairwise(levels) for a, b in paths) + 2
    pairs = radial * F + 2 * F * F + 2 * T * F + (F + 2 * T) * F  # basis, embedding, first tensors and environment
    layers = sum(((k + 1) * F + T) * F + F * (F + 2 * T) for k in range(depth)) - 2 * T * F  # the last sends nothing
    return elements * (F + 1) + pairs + layers + T * count + (depth + 1) * F * F + F


def spookynet_parameters(depth: int, width: int, radial: int = 20, elements: int = 100) -> int:
    """Parameters of our SpookyNet, neutral and without nonlocal attention, all groups."""
    F = width
    residual = 2 * (F * F + F) + 2 * 2 * F  # two layers; two activations of two vectors each
    mlp = residual + 2 * F + (F * F + F)
    local = 4 * mlp + radial * 3 * F + 2 * 2 * F * F + mlp  # branches, filters, products of p and of d, mixing
    return elements * F + 1 + depth * (2 * residual + local + mlp) + F


def readout_parameters(width: int) -> int:
    """Atomwise energy head: width → width/2 → 1."""
    half = width // 2
    return width * half + half + half + 1


POTENTIAL_PARAMETERS = {
    "schnet": schnet_parameters,
    "painn": painn_parameters,
    "allegro": allegro_parameters,
    "spookynet": spookynet_parameters,
}
