"""The evaluations of a training: its history, its best weights, and when its patience is over."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from chemscale.training.schedule import evaluations_without_gain

POINTS_PER_EVALUATION = 4  # points of the training curve per evaluation
UNDERTRAINED_GAIN = 0.03  # relative gain in error over the last evaluation interval above which a cell is under-trained

COLLAPSED_RISE = 1.5  # last error over the best one, above which a training lost what it had learnt


class NonFiniteLoss(Exception):
    """Report that a loss, or the weights, became infinite or not a number at `step`."""

    def __init__(self, step: int):
        super().__init__(f"loss not finite at step {step}")
        self.step = step


class Evaluation:
    """The history of a training, with its best weights on validation and the time it took.

    There are `evaluations` evaluations, at even steps; after `patience` of them without a gain the training ends.
    With `ema` above 0 the average of the weights is evaluated and kept, in place of the weights of the step.
    """

    STATE = ("best_loss", "best_step", "best_weights", "history", "training_seconds")

    def __init__(self, evaluations: int, patience: int, ema: float = 0.0):
        self.evaluations = evaluations
        self.patience = patience
        self.average = WeightAverage(ema)
        self.best_loss = math.inf
        self.best_step = 0
        self.best_weights: dict[str, torch.Tensor] = {}
        self.history: list[dict] = []
        self.ended = "budget"
        self.training_seconds = 0.0  # without evaluations
        self.clock = time.perf_counter()

    def state(self) -> dict:
        """Return what a checkpoint holds of the evaluations."""
        self.add_time()
        return {**{name: getattr(self, name) for name in self.STATE}, "average": self.average.weights}

    def restore(self, state: dict) -> None:
        """Go on from what `state` returned."""
        for name in self.STATE:
            setattr(self, name, state[name])
        self.average.weights = state["average"]

    def add_time(self) -> None:
        """Add the time since the clock was last read to the training time."""
        now = time.perf_counter()
        self.training_seconds += now - self.clock
        self.clock = now

    def point_due(self, step: int, total: int) -> bool:
        """Return whether the training curve gets a point after `step` of `total` steps."""
        return _completes(step, total, self.evaluations * POINTS_PER_EVALUATION)

    def due(self, step: int, total: int) -> bool:
        """Return whether the model is evaluated after `step` of `total` steps, where the curve gets a point too."""
        return _completes(step, total, self.evaluations)

    def add(self, metrics: dict[str, float], model: torch.nn.Module) -> None:
        """Add validation metrics to the last point of the history, and keep the weights of `model` if they are best.

        Raises NonFiniteLoss for a validation loss that is infinite or not a number.
        """
        self.clock = time.perf_counter()  # the time of the evaluation does not count
        point, loss = self.history[-1], metrics["loss"]
        point |= {f"validation_{name}": value for name, value in metrics.items()}
        if not math.isfinite(loss):
            raise NonFiniteLoss(point["step"])
        if loss < self.best_loss:
            self.best_loss, self.best_step = loss, point["step"]
            self.best_weights = {name: w.detach().cpu().clone() for name, w in model.state_dict().items()}

    def out_of_patience(self) -> bool:
        """Return whether the last `patience` evaluations brought no gain."""
        return evaluations_without_gain(self.losses())[-1] >= self.patience

    def losses(self, first: int = 0) -> list[float]:
        """Return the validation losses in order, from step `first` on."""
        return [point["validation_loss"] for point in self.history if _evaluated(point) and point["step"] >= first]

    def last_evaluated(self) -> dict:
        """Return the last point of the history with an evaluation; empty before the first."""
        return next(filter(_evaluated, reversed(self.history)), {})

    def undertrained(self, degree: int) -> bool:
        """Return whether the validation error fell by over `UNDERTRAINED_GAIN` in the last evaluation interval.

        False for a run that its patience ended. `degree` is the power of the error that the loss is: 2 for a squared
        error.
        """
        losses, most = self.losses(), (1 - UNDERTRAINED_GAIN) ** degree
        return self.ended == "budget" and len(losses) > 1 and losses[-1] < losses[-2] * most

    def collapsed(self, degree: int) -> bool:
        """Return whether the validation error ended above `COLLAPSED_RISE` times the best, as after too high a rate.

        `degree` as in `undertrained`. Overfitting raises the error too, but by far less.
        """
        losses = self.losses()
        return bool(losses) and losses[-1] > self.best_loss * COLLAPSED_RISE**degree


def _evaluated(point: dict) -> bool:
    return "validation_loss" in point


def _completes(step: int, total: int, shares: int) -> bool:
    """Return whether `step` is the first to complete another of `shares` equal shares of `total` steps."""
    return step * shares // total > (step - 1) * shares // total


class WeightAverage:
    """An exponential moving average of the weights: decay min(decay, (1 + step) / (10 + step)), as TensorFlow has it.

    With `decay` 0 there is none, and every method does nothing.
    """

    def __init__(self, decay: float):
        self.decay = decay
        self.weights: list[torch.Tensor] = []

    def start(self, model: torch.nn.Module) -> None:
        """Begin with the weights of `model`, or go on with restored ones on the device of `model`."""
        own = list(model.parameters())
        if self.decay:
            kept = self.weights or own
            self.weights = [weight.detach().to(p, copy=True) for weight, p in zip(kept, own, strict=True)]

    @torch.no_grad()
    def update(self, model: torch.nn.Module, step: int) -> None:
        """Add the weights of `model` after `step` steps."""
        if self.decay:
            change = 1 - min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.weights, [p.detach() for p in model.parameters()], change)

    @contextmanager
    def applied(self, model: torch.nn.Module) -> Iterator[None]:
        """Give `model` its average weights within the block, and its own again afterwards."""
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
