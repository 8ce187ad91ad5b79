"""The record of a family of models: everything that is known about it before a model is built.

Nothing here imports torch: configurations, tables of cells, figures and documents read these records.
"""

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

RADIAL = 20  # radial basis functions of a potential
ELEMENTS = 100  # rows of a potential's embedding of elements
SYMMETRIES = {
    "none": "no symmetry built in",
    "invariant": "invariant features only",
    "vector": "equivariant vectors",
    "tensor": "equivariant tensors",
}


@dataclass(frozen=True, kw_only=True)
class Family(ABC):
    """A family of models. docs/explanation/potentials.md says how to add one."""

    arm: ClassVar[str]
    name: str  # in configurations, results and paths
    label: str  # in figures
    colour: str  # in figures, hexadecimal
    symmetry: str  # a key of SYMMETRIES: how its features behave when a molecule is rotated
    description: str  # what it sees, for the tables in docs/
    source: str  # the publication, for the tables in docs/
    network: str  # "module:function" that returns a network with fresh weights; imported when one is built
    # how the names of the parameters begin in "embedding", "position" and "head", and in "matrices" where their shapes
    # do not tell
    groups: Mapping[str, tuple[str, ...]]

    def build(self, *arguments: Any, **options: Any) -> Any:
        """Return a network with fresh weights, a `torch.nn.Module`."""
        module, function = self.network.split(":")
        return getattr(import_module(module), function)(*arguments, **options)


@dataclass(frozen=True)
class GPTShape:
    """The shape of a decoder. `context` is the longest sequence, `window` the reach of local layers, both in tokens.

    `scaled`: attention scores are divided by √(head dimension), as everywhere but in GPT-Neo.
    """

    layers: int
    heads: int
    width: int
    context: int
    window: int | None = None  # every second layer attends to this many tokens only; None: all layers see everything
    scaled: bool = False

    def parameters(self, vocabulary: int) -> dict[str, int]:
        """Return the parameters by group; the head is tied to the embedding.

        Non-embedding: layers·(12·width² + 10·width) + 2·width. Attention has 4·width² and the MLP 8·width² per layer;
        biases and LayerNorms are the rest.
        """
        return {
            "embedding": vocabulary * self.width,
            "position": self.context * self.width,
            "matrices": self.layers * 12 * self.width**2,
            "scalars": self.layers * 10 * self.width + 2 * self.width,
            "head": 0,
        }


@dataclass(frozen=True, kw_only=True)
class LanguageFamily(Family):
    """A family of decoders. `network` is called with a shape and the size of the vocabulary.

    `shape` returns the shape for a width, and raises ChemscaleError for a width that the family does not have.
    """

    arm = "language"
    shape: Callable[[int], GPTShape]


@dataclass(frozen=True, kw_only=True)
class PotentialFamily(Family):
    """A family of neural potentials. `network` is called with depth, width, cutoff (Å) and radial functions.

    `parameters` returns the parameters of a depth and a width in closed form, by the groups "embedding", "body" and
    "head", for RADIAL radial functions and ELEMENTS elements, without inputs of charge. It raises ChemscaleError for a
    size that the family does not have. The network of a `charged` family takes the option `charged`.
    """

    arm = "potential"
    parameters: Callable[[int, int], dict[str, int]]
    charged: bool = False  # can be built with inputs of charge and unpaired electrons
    augmented: bool = False  # trained on molecules that are rotated and mirrored at random, differently in every epoch


def non_embedding(groups: Mapping[str, int]) -> int:
    """Return the paper's N: all parameters but token and position embeddings."""
    return sum(count for group, count in groups.items() if group not in ("embedding", "position"))


def atomwise_head(width: int) -> int:
    """Return the parameters of an atomwise energy head, width → width/2 → 1."""
    half = width // 2
    return width * half + half + half + 1
