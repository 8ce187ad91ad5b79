"""A training step of a potential as one compiled graph: the loss on energies and forces, and its gradients.

Nearly all of such a step is the start of small operations. Here the energy, the forces, the loss and the gradients of
the parameters are traced into one graph, whose sizes (atoms, pairs, molecules) are symbols, so that one graph serves
every batch without padding. torch's compiler turns it into machine code, which it keeps on disk.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chemscale.geometries import keys

Batch = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch, Any, Any], Tensor]  # of a model, a batch, and its molecules and atoms in all
FEWEST = 2  # molecules and pairs of a batch that is compiled: torch bakes sizes of 0 and 1 into a graph


class CompiledStep:
    """The loss of a batch with its gradients, compiled for a model of given sizes; call it instead of the loss.

    `example` is a batch to trace; its sizes differ from one another and from those of the model (`distinct_sizes`), or
    torch would take them for the same.
    """

    def __init__(self, model: nn.Module, loss: Loss, example: Batch):
        self.keys = sorted(example.keys() - {keys.PAIR_I, keys.PAIR_J})
        self.model, self.loss = deepcopy(model), loss
        self.names = [name for name, _ in self.model.named_parameters()]
        self.compiled = _compile(self._step, self._parameters(self.model), self._inputs(example, 2, 3))

    def __call__(self, model: nn.Module, batch: Batch, molecules: int, atoms: int) -> Tensor:
        """Return the loss of `batch`; its backward pass hands over gradients that are already computed."""
        return _Loss.apply(self.compiled, self._inputs(batch, molecules, atoms), *self._parameters(model))

    def serves(self, batch: Batch) -> bool:
        """Return whether a batch has the tensors and the sizes that the graph allows."""
        few = min(batch[keys.N_ATOMS].shape[0], batch[keys.PAIR_I].shape[0] // 2) < FEWEST
        return not few and sorted(batch.keys() - {keys.PAIR_I, keys.PAIR_J}) == self.keys

    def _parameters(self, model: nn.Module) -> list[Tensor]:
        return [parameter for _, parameter in model.named_parameters()]

    def _inputs(self, batch: Batch, molecules: int, atoms: int) -> list[Tensor]:
        half = batch[keys.PAIR_I].shape[0] // 2  # the second half is the first one reversed
        sizes = batch[keys.POSITIONS].new_tensor([molecules, atoms])
        return [*(batch[key] for key in self.keys), batch[keys.PAIR_I][:half], batch[keys.PAIR_J][:half], sizes]

    def _step(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the loss and the gradient of every parameter."""
        parameters = [tensor.detach().requires_grad_() for tensor in tensors[: len(self.names)]]
        *values, i, j, sizes = tensors[len(self.names) :]
        batch = dict(zip(self.keys, values, strict=True))
        batch |= {keys.PAIR_I: torch.cat([i, j]), keys.PAIR_J: torch.cat([j, i])}
        by_name = dict(zip(self.names, parameters, strict=True))

        def called(batch: Batch) -> Tensor:
            return torch.func.functional_call(self.model, by_name, (batch,))

        loss = self.loss(called, batch, sizes[0], sizes[1])  # type: ignore[arg-type]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        return loss.detach(), *(
            torch.zeros_like(parameter) if gradient is None else gradient
            for gradient, parameter in zip(gradients, parameters, strict=True)
        )


class _Loss(torch.autograd.Function):
    """The loss of a compiled step as a function of the parameters."""

    @staticmethod
    def forward(ctx: Any, compiled: Callable, inputs: list[Tensor], *parameters: Tensor) -> Tensor:
        # sizes that the graph does not allow, such as very few atoms, take its operations one by one
        with torch.compiler.set_stance("eager_on_recompile"):
            loss, *ctx.gradients = compiled(*(parameter.detach() for parameter in parameters), *inputs)
        return loss

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *torch._foreach_mul(ctx.gradients, upstream[0])


def distinct_sizes(model: nn.Module, batch: Batch) -> bool:
    """Return whether the numbers of atoms, molecules and pairs differ from one another and from sizes of the model."""
    pairs = batch[keys.PAIR_I].shape[0] // 2
    sizes = [batch[keys.Z].shape[0], batch[keys.N_ATOMS].shape[0], pairs, 2 * pairs]
    of_model = {size for tensor in model.state_dict().values() for size in tensor.shape}
    return len(set(sizes)) == len(sizes) and min(sizes) > 3 and not of_model & set(sizes)


def compiler() -> str | None:
    """Return the C++ compiler that torch would use; None where there is none."""
    named = os.environ.get("CXX")
    return next((found for name in (named, "g++", "clang++") if name and (found := shutil.which(name))), None)


def use_cache(directory: Path) -> None:
    """Keep what is compiled in `directory`, per kind of processor, unless the environment names another folder.

    Code for one processor may not run on another that shares the folder.
    """
    processor = Path("/proc/cpuinfo")
    flags = next((line for line in processor.read_text().splitlines() if line.startswith("flags")), "")
    kind = hashlib.sha256(flags.encode()).hexdigest()[:8]
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((directory / kind).absolute()))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # a job has one core


def _compile(step: Callable, parameters: list[Tensor], inputs: list[Tensor]) -> Callable:
    """Return a function of the same tensors, compiled for any size of the first dimension of `inputs`."""
    from torch._dynamo import mark_dynamic
    from torch.fx.experimental.proxy_tensor import make_fx

    tensors = [*(parameter.detach() for parameter in parameters), *inputs]
    graph = make_fx(step, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*tensors)
    compiled = torch.compile(graph, fullgraph=True)
    for tensor in inputs[:-1]:
        mark_dynamic(tensor, 0)
    with torch.no_grad():  # as it is called
        compiled(*tensors)  # compiles
    return compiled
