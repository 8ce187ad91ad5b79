"""The training loop: one step, and what follows it.

Lightning owns the loop, the devices and the processes. What happens in a step stands in `TrainingModule`, in the order
in which it happens: `training_step`, then `on_train_batch_end`.
"""

import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from chemscale.progress import progress
from chemscale.training import distributed
from chemscale.training.checkpoints import Checkpointing
from chemscale.training.devices import device
from chemscale.training.evaluation import Evaluation, NonFiniteLoss
from chemscale.training.precision import FLOAT32, in_precision
from chemscale.training.schedule import count_plateaus, lr_factor, warmup_steps
from chemscale.training.state_file import StateFiles
from chemscale.training.tasks import Task

BETAS = (0.9, 0.98)  # of AdamW
STEPS_BETWEEN_CHECKS = 20  # reading a loss waits for the device

for library in ("pytorch_lightning", "lightning_fabric"):
    logging.getLogger(library).setLevel(logging.WARNING)


class TrainingModule(pl.LightningModule):
    """One training: a task, its optimiser, its evaluations and its position in the data, which is the step alone.

    With `keep_losses` it keeps the loss of every step, which waits for the device when it is read.
    """

    automatic_optimization = False  # a step takes several micro-batches, whose gradients are summed, not averaged
    work: torch.Tensor
    window: torch.Tensor
    recent: torch.Tensor
    checkpointing: Checkpointing
    show_progress: Callable[..., None]

    def __init__(
        self,
        task: Task,
        evaluation: Evaluation,
        halvings: int = 0,
        precision: dict[str, Any] = FLOAT32,
        keep_losses: bool = False,
    ):
        super().__init__()
        self.task = task
        self.model = task.model
        self.evaluation = evaluation
        self.training_settings = task.settings.training
        self.learning_rate = float(task.settings.learning_rate) * 0.5**halvings
        self.total_steps = self.training_settings.steps.budget(task.settings.data, task.examples_per_step)
        self.precision = dict(precision)
        self.losses: list[torch.Tensor] | None = [] if keep_losses else None
        # buffers, so that checkpoints carry them: (units of work, FLOPs) so far; (sum of losses, steps) since last read
        self.register_buffer("work", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("window", torch.zeros(2, dtype=torch.float64))
        # work and loss of this process since they were last added up over all processes
        self.register_buffer("recent", torch.zeros(3, dtype=torch.float64), persistent=False)

    # before the first step

    def configure_optimizers(self) -> Any:
        """Return AdamW and its schedule: matrices decay; embeddings, biases, norms and scales do not."""
        embeddings = {id(m.weight) for m in self.model.modules() if isinstance(m, torch.nn.Embedding)}
        decays = [p for p in self.model.parameters() if p.ndim > 1 and id(p) not in embeddings]
        others = [p for p in self.model.parameters() if p.ndim <= 1 or id(p) in embeddings]
        settings = self.training_settings
        groups = [{"params": decays, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=self.learning_rate, betas=BETAS, fused=True)
        schedule = LambdaLR(
            optimiser,
            lambda step: lr_factor(step, self.total_steps, settings.warmup, settings.schedule, self.plateaus),
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def plateaus(self) -> int:
        """Plateaus of the validation loss so far, after the warm-up; the learning rate falls one step later."""
        rising = warmup_steps(self.total_steps, self.training_settings.warmup)
        return count_plateaus(self.evaluation.losses(rising))

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add what Lightning does not know of."""
        checkpoint["identity"] = self.checkpointing.identity
        checkpoint["evaluation"] = self.evaluation.state()
        checkpoint["losses"] = None if self.losses is None else torch.tensor(self.read_losses(), dtype=torch.float64)

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Restore what `on_save_checkpoint` added, and the learning rate of this attempt, which may be halved."""
        self.evaluation.restore(checkpoint["evaluation"])
        if self.losses is not None:
            self.losses = list(checkpoint["losses"])
        for state in checkpoint["optimizer_states"]:
            for group in state["param_groups"]:
                group["lr"] *= self.learning_rate / group["initial_lr"]
                group["initial_lr"] = self.learning_rate
        for state in checkpoint["lr_schedulers"]:
            state["base_lrs"] = [self.learning_rate] * len(state["base_lrs"])

    def train_dataloader(self) -> Iterable[list]:
        """Return the stream of batches; it begins after the last step, since checkpoints are restored by then."""
        return self.task.batches(
            first=self.trainer.global_step,
            rank=distributed.rank(),
            processes=distributed.processes(),
            accumulate=self.training_settings.accumulate,
            device=device(),
        )

    def on_train_start(self) -> None:
        """Start clocks, average, signals and progress where the checkpoint left them."""
        self.evaluation.average.start(self.model)
        self.evaluation.clock = time.perf_counter()
        self.checkpointing.start()
        self.show_progress(self.trainer.global_step)

    # every step

    def training_step(self, micro_batches: list, index: int) -> torch.Tensor:
        """Return the loss of a batch after one step down its gradient."""
        optimiser, total = cast(LightningOptimizer, self.optimizers()), torch.zeros((), device=self.device)
        optimiser.zero_grad()
        for number, micro_batch in enumerate(micro_batches, 1):
            with in_precision(self.precision["precision"]):
                loss, work = self.task.loss(micro_batch)
            last = number == len(micro_batches) or distributed.processes() == 1
            with nullcontext() if last else cast(DDPStrategy, self.trainer.strategy).block_backward_sync():
                # gradients are averaged over processes, and have to be summed
                self.manual_backward(loss * distributed.processes())
            self.recent[:2] += work.to(self.recent)
            total += loss.detach()
        self.recent[2] += total
        self.window[1] += 1
        self.clip_gradients(optimiser.optimizer, gradient_clip_val=self.training_settings.clip)
        optimiser.step()
        cast(LRScheduler, self.lr_schedulers()).step()
        return total

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        """Check, average, evaluate, save and show progress, in this order."""
        step, evaluation = self.trainer.global_step, self.evaluation
        if step % STEPS_BETWEEN_CHECKS == 0 or step == self.total_steps:
            self.require_finite()
        if self.losses is not None:
            self.losses.append(outputs["loss"].detach())
        evaluation.average.update(self.model, step)
        if evaluation.point_due(step, self.total_steps):
            self.add_point(step)
        if evaluation.due(step, self.total_steps):
            self.evaluate()
            if evaluation.out_of_patience() and step < self.total_steps:
                evaluation.ended = "patience"
                self.trainer.should_stop = True
        self.checkpointing.after_step(self)
        losses = evaluation.losses()
        self.show_progress(1, f"validation loss {losses[-1]:.4f}" if losses else "")

    # what a step calls now and then

    def require_finite(self) -> None:
        """Raise NonFiniteLoss if a loss since the last point, or a weight, is not finite.

        It comes before every evaluation and every checkpoint.
        """
        self.add_up()
        # one non-finite loss makes the sum non-finite; a non-finite gradient, the weights though the loss was finite
        weights = torch.stack([weight.isfinite().all() for weight in self.model.parameters()]).all()
        if not (math.isfinite(self.window[0].item()) and weights):
            raise NonFiniteLoss(self.trainer.global_step)

    def add_up(self) -> None:
        """Add to `work` and `window` what all processes have done since the last call."""
        recent = distributed.summed(self.recent)
        self.work += recent[:2]
        self.window[0] += recent[2]
        self.recent.zero_()

    def add_point(self, step: int) -> None:
        """Add a point to the training curve: the mean loss since the last one, and the rate of the next step."""
        self.require_finite()
        self.evaluation.add_time()
        total, steps = self.window.tolist()
        self.window.zero_()
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        point = {"step": step, "units": self.work[0].item(), "train_loss": total / steps, "learning_rate": rate}
        self.evaluation.history.append(point)

    def evaluate(self) -> None:
        """Evaluate the model, or the average of its weights, on validation."""
        with self.evaluation.average.applied(self.model):
            self.model.eval()
            metrics = self.task.evaluate("validation")
            self.model.train()
            self.evaluation.add(metrics, self.model)

    def read_losses(self) -> list[float]:
        """Return the losses of all steps so far."""
        return [loss.item() for loss in self.losses or []]


def fit(module: TrainingModule, checkpointing: Checkpointing, resume: Path | None, until: int | None = None) -> None:
    """Train `module` to its budget or until its patience is over, from the checkpoint `resume` if there is one.

    With `until` it pauses at that step, its state saved. Raises NonFiniteLoss, or Interrupted after a signal to stop
    (the state is then saved).
    """
    module.checkpointing = checkpointing
    with warnings.catch_warnings(), progress(module.total_steps, "training", "steps") as module.show_progress:
        # advice on loggers, workers and devices; what matters of it is in the record
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
        trainer = pl.Trainer(
            accelerator="gpu" if device() == "cuda" else "cpu",
            max_steps=until or module.total_steps,
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **_processes(),
        )
        trainer.fit(module, ckpt_path=resume)


def _processes() -> dict:
    """Return how Lightning joins the processes that `torchrun` or `srun` has started; mostly there is only one."""
    if distributed.processes() == 1:
        return {
            "devices": 1,
            "plugins": [StateFiles(), LightningEnvironment()],
        }  # under Slurm, Lightning would requeue by itself
    torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    return {
        "devices": distributed.processes() // distributed.nodes(),
        "num_nodes": distributed.nodes(),
        # buffers differ between processes on purpose: each counts its own work
        "strategy": DDPStrategy(broadcast_buffers=False),
        "plugins": [StateFiles(), TorchElasticEnvironment() if torchrun else SLURMEnvironment(auto_requeue=False)],
    }
