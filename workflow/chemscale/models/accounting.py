"""Parameters by group, and FLOPs as PyTorch counts them.

Papers differ in what they count as N; the same runs give other exponents by it. So every group is reported, and they
must add up.
"""

from collections.abc import Callable

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

ALLEGRO_EMBEDDINGS = (
    "shifts.",
    "network.radial_chemical_embed.type_embed.center_embed.",
    "network.radial_chemical_embed.type_embed.neighbor_embed.",
)
# where each group lives, by the first part of a parameter's name that matches
GROUPS = {
    "embedding": ("tokens.", "representation.embedding", "embedding.", *ALLEGRO_EMBEDDINGS),
    "position": ("positions.",),
    "head": ("readout.", "network.edge_readout."),
}


def parameter_groups(model: nn.Module) -> dict[str, int]:
    """Number of parameters in each group: embedding, position, matrices, scalars (biases, norms, scales) and head."""
    counts = dict.fromkeys(("embedding", "position", "matrices", "scalars", "head"), 0)
    for name, parameter in model.named_parameters():
        named = next((group for group, prefixes in GROUPS.items() if name.startswith(prefixes)), None)
        counts[named or ("matrices" if parameter.ndim > 1 else "scalars")] += parameter.numel()
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters())
    return counts


def non_embedding(groups: dict[str, int]) -> int:
    """The paper's N: everything but token and position embeddings."""
    return sum(groups.values()) - groups["embedding"] - groups["position"]


def counted_flops(work: Callable[[], object]) -> int:
    """FLOPs of the matrix products in one call of `work`, by PyTorch's formulas for each operation."""
    with _FlopCounter() as counter:
        work()
    return counter.total


class _FlopCounter(TorchDispatchMode):
    """torch's FlopCounterMode without its tracking of modules, which forbids autograd.grad and so forces."""

    total = 0

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        result = operation(*arguments, **(keywords or {}))
        formula = flop_registry.get(operation._overloadpacket)
        if formula:
            self.total += formula(*arguments, **(keywords or {}), out_val=result)
        return result
