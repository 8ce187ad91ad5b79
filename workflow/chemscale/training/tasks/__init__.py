"""A task is what a training needs of its arm: the model, the batches, the loss and the metrics."""

from collections.abc import Iterable
from typing import Any, Protocol

import torch

from chemscale.config.cell_settings import CellSettings


class Task(Protocol):
    """The interface that the training loop uses of an arm; `tasks/language.py` and `tasks/potential.py` provide it."""

    settings: CellSettings
    model: torch.nn.Module
    trained: Any  # what the training step calls: the model itself, or its compiled form
    unit: str  # of work, such as "tokens"
    loss_degree: int  # power of an error that the loss is
    rows: Any  # training examples, rows of the dataset
    data_identity: str  # fingerprint of the dataset
    final_splits: list[str]  # they are evaluated at the end and choose nothing

    @property
    def examples_per_step(self) -> float:
        """Examples per batch, on average."""

    def counts(self) -> dict[str, int]:
        """Return the size of the training subset."""

    def description(self) -> dict:
        """Return all that is needed to build the trained model again; it is kept with the weights."""

    def batches(self, first: int, **how: Any) -> Iterable[list]:
        """Return endless training batches, each a list of micro-batches, from batch `first` on."""

    def loss(self, micro_batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what a micro-batch adds to the loss of its batch, and the work done: (units, FLOPs), (2,) f64."""

    def evaluate(self, split: str) -> dict[str, float]:
        """Return the metrics of the model on `split`, among them `loss`."""

    def baseline(self) -> dict[str, float]:
        """Return the error of a predictor that has learnt nothing."""


def make_task(settings: CellSettings) -> Task:
    """Return the task of the settings' arm, its weights drawn from the settings' seed."""
    torch.manual_seed(settings.random_seed)
    if settings.arm == "language":
        from chemscale.training.tasks.language import LanguageTask

        return LanguageTask(settings)
    from chemscale.training.tasks.potential import PotentialTask

    return PotentialTask(settings)
