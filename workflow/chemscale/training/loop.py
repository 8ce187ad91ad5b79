"""The training step and its loop: Lightning runs it, callbacks watch it."""

import logging
import os
import warnings
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy

from chemscale.training import distributed
from chemscale.training.callbacks import Checkpointing, Evaluation, FiniteLoss, LossLog, ShowProgress
from chemscale.training.precision import device, in_precision
from chemscale.training.schedule import rate_factor, step_budget

for library in ("pytorch_lightning", "lightning_fabric"):
    logging.getLogger(library).setLevel(logging.WARNING)


class Cell(pl.LightningModule):
    """One training run: a task, its optimiser and its position in the data, which is the step alone."""

    automatic_optimization = False  # a step takes several parts, and their gradients are summed, not averaged

    def __init__(self, task, halvings: int = 0, precision: dict | None = None):
        super().__init__()
        self.task = task
        self.model = task.model
        self.training_settings = task.settings["training"]
        self.learning_rate = task.settings["learning_rate"] * 0.5**halvings
        self.total_steps = step_budget(task.settings["data"], task.examples_per_step, self.training_settings["steps"])
        self.plateaus = 0  # of the validation loss so far; `Evaluation` counts them
        self.precision = precision or {"precision": "float32", "compiled": False, "probe": "a trial"}
        # buffers, so that checkpoints carry them: (units of work, FLOPs) so far; (sum of losses, steps) since last read
        self.register_buffer("work", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("window", torch.zeros(2, dtype=torch.float64))
        # work and loss of this process since they were last added up over all
        self.register_buffer("recent", torch.zeros(3, dtype=torch.float64), persistent=False)

    def train_dataloader(self) -> Iterable[list]:
        # called after a checkpoint is restored, so the stream goes on with the batch that comes next
        return self.task.batches(
            first=self.trainer.global_step,
            rank=distributed.rank(),
            processes=distributed.processes(),
            accumulate=self.training_settings.get("accumulate", 1),
            device=device(),
        )

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        # optimiser and schedule carry the rate they were saved with; a halved one has to hold after a restart too
        for state in checkpoint["optimizer_states"]:
            for group in state["param_groups"]:
                group["lr"] *= self.learning_rate / group["initial_lr"]
                group["initial_lr"] = self.learning_rate
        for state in checkpoint["lr_schedulers"]:
            state["base_lrs"] = [self.learning_rate] * len(state["base_lrs"])

    def training_step(self, parts: list, index: int) -> torch.Tensor:
        optimiser, total = self.optimizers(), 0.0
        optimiser.zero_grad()
        for number, part in enumerate(parts, 1):
            with in_precision(self.precision["precision"]):
                loss, work = self.task.loss(part)
            last = number == len(parts) or distributed.processes() == 1
            with nullcontext() if last else self.trainer.strategy.block_backward_sync():
                # gradients are averaged over processes, and have to be summed
                self.manual_backward(loss * distributed.processes())
            self.recent[:2] += work.to(self.recent)
            total += loss.detach()
        self.recent[2] += total
        self.window[1] += 1
        self.clip_gradients(optimiser, gradient_clip_val=self.training_settings["clip"])
        optimiser.step()
        self.lr_schedulers().step()
        return total

    def add_up(self) -> None:
        """Add what all processes have done since the last call to `work` and `window`."""
        recent = distributed.summed(self.recent)
        self.work += recent[:2]
        self.window[0] += recent[2]
        self.recent.zero_()

    def mean_training_loss(self) -> float:
        """Mean loss of the steps since the last call."""
        self.add_up()
        total, steps = self.window.tolist()
        self.window.zero_()
        return total / steps

    def configure_optimizers(self):
        # matrices decay; embeddings, biases, norms and scales do not
        embeddings = {id(m.weight) for m in self.model.modules() if isinstance(m, torch.nn.Embedding)}
        decays = [p for p in self.model.parameters() if p.ndim > 1 and id(p) not in embeddings]
        others = [p for p in self.model.parameters() if p.ndim <= 1 or id(p) in embeddings]
        optimiser = torch.optim.AdamW(
            [{"params": decays, "weight_decay": self.training_settings["weight_decay"]},
             {"params": others, "weight_decay": 0.0}],
            lr=self.learning_rate, betas=(0.9, 0.98), fused=True,
        )  # fmt: skip
        settings = self.training_settings
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser,
            lambda step: rate_factor(step, self.total_steps, settings["warmup"], settings["schedule"], self.plateaus),
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def fit(
    cell: Cell,
    evaluation: Evaluation,
    checkpointing: Checkpointing,
    resume: Path | None,
    log: LossLog | None = None,
    until: int | None = None,
) -> None:
    """Train `cell` to its budget or until `evaluation` stops it, from the checkpoint `resume` if there is one.

    With `until` it pauses at that step, its state saved; `log` gets the loss of every step.

    Raises NonFiniteLoss, or Interrupted after a signal to stop (its state is then saved).
    """
    # what is kept in a checkpoint comes before what saves it
    watching = [FiniteLoss(), evaluation.average, evaluation, *([log] if log else [])]
    callbacks = [*watching, checkpointing, ShowProgress(evaluation)]
    with warnings.catch_warnings():
        # advice on loggers, workers and devices; what matters of it is in the record
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
        trainer = pl.Trainer(
            accelerator="gpu" if device() == "cuda" else "cpu",
            max_steps=until or cell.total_steps,
            max_epochs=-1,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **_processes(),
        )
        trainer.fit(cell, ckpt_path=resume, weights_only=False)


def _processes() -> dict:
    """How Lightning joins the processes that `torchrun` or `srun` has started; mostly there is but one."""
    if distributed.processes() == 1:
        return {"devices": 1, "plugins": [LightningEnvironment()]}  # under Slurm, Lightning would requeue by itself
    torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    return {
        "devices": distributed.processes() // distributed.nodes(),
        "num_nodes": distributed.nodes(),
        # buffers differ between processes on purpose: each counts its own work
        "strategy": DDPStrategy(broadcast_buffers=False),
        "plugins": [TorchElasticEnvironment() if torchrun else SLURMEnvironment(auto_requeue=False)],
    }
