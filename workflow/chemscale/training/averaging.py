"""An exponential moving average of the weights, which is evaluated and kept in place of the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
import torch


class WeightAverage(pl.Callback):
    """Average with `decay` a step, shorter at first: min(decay, (1 + step) / (10 + step)), as in TensorFlow's.

    With `decay` 0 there is none. It is part of a checkpoint, and has to come before what evaluates.
    """

    def __init__(self, decay: float):
        self.decay = decay
        self.weights: list[torch.Tensor] = []

    def state_dict(self) -> dict:
        return {"weights": self.weights}

    def load_state_dict(self, state: dict) -> None:
        self.weights = state["weights"]

    def on_train_start(self, trainer, cell) -> None:
        own = list(cell.model.parameters())
        if self.decay:
            kept = self.weights or own
            self.weights = [weight.detach().to(p, copy=True) for weight, p in zip(kept, own, strict=True)]

    @torch.no_grad()
    def on_train_batch_end(self, trainer, cell, outputs, batch, index) -> None:
        if self.decay:
            step = trainer.global_step
            change = 1 - min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.weights, [p.detach() for p in cell.model.parameters()], change)

    @contextmanager
    def in_use(self, model: torch.nn.Module) -> Iterator[None]:
        """The model with its average weights, and afterwards with its own again."""
        if not self.decay:
            yield
            return
        own = [p.detach().clone() for p in model.parameters()]
        self._set(model, self.weights)
        try:
            yield
        finally:
            self._set(model, own)

    @staticmethod
    @torch.no_grad()
    def _set(model: torch.nn.Module, weights: list[torch.Tensor]) -> None:
        for parameter, weight in zip(model.parameters(), weights, strict=True):
            parameter.copy_(weight)
