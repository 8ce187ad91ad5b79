"""Parameters by group, and FLOPs as PyTorch counts them.

Papers differ in which parameters they count as N, and the exponents of the same runs differ with it. So every group is
reported, and the groups must add up.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


def parameter_groups(model: nn.Module, prefixes: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Return the parameters in each group: embedding, position, matrices, scalars (biases, norms, scales) and head.

    `prefixes` of a family (`Family.groups`) say how the names in its embedding, position and head begin; the shapes of
    the others tell matrices from scalars where the prefixes do not.
    """
    counts = dict.fromkeys(("embedding", "position", "matrices", "scalars", "head"), 0)
    for name, parameter in model.named_parameters():
        named = next((group for group, starts in prefixes.items() if name.startswith(starts)), None)
        counts[named or ("matrices" if parameter.ndim > 1 else "scalars")] += parameter.numel()
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters())
    return counts


def counted_flops(work: Callable[[], object]) -> int:
    """Return the FLOPs of the matrix products in one call of `work`, by PyTorch's formula of each operation."""
    with _FlopCounter() as counter:
        work()
    return counter.total


class _FlopCounter(TorchDispatchMode):
    """torch's FlopCounterMode without module tracking: that breaks autograd.grad, which forces need."""

    total = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple = (), keywords: dict[str, Any] | None = None
    ) -> Tensor:
        result = operation(*arguments, **(keywords or {}))
        formula = flop_registry.get(operation._overloadpacket)
        if formula:
            self.total += formula(*arguments, **(keywords or {}), out_val=result)
        return result
