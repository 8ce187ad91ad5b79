"""What watches a training: finite losses, evaluations and best weights, checkpoints and signals, progress."""

import math
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from chemscale.progress import progress
from chemscale.training import distributed
from chemscale.training.averaging import WeightAverage
from chemscale.training.checkpoints import Interrupted, Ledger, StopSignal, save_checkpoint
from chemscale.training.schedule import count_plateaus, warmup_steps, without_gain

STEPS_BETWEEN_CHECKS = 20  # reading a loss waits for the device
WINDOWS_PER_EVALUATION = 4  # points of the training curve between two evaluations
STILL_FALLING = 0.03  # relative gain in error over the last evaluation interval above which a cell is under-trained


class NonFiniteLoss(Exception):
    """A loss, or the weights, became infinite or not a number at `step`."""

    def __init__(self, step: int):
        super().__init__(f"loss not finite at step {step}")
        self.step = step


class FiniteLoss(pl.Callback):
    """Raise NonFiniteLoss soon after it happened, and always before weights are evaluated or saved."""

    def on_train_batch_end(self, trainer, cell, outputs, batch, index) -> None:
        step = trainer.global_step
        if step % STEPS_BETWEEN_CHECKS == 0 or step == cell.total_steps:
            self.check(trainer, cell)

    @staticmethod
    def check(trainer, cell) -> None:
        cell.add_up()
        # one non-finite loss makes the sum non-finite, and a non-finite gradient the weights though the loss was finite
        weights = torch.stack([weight.isfinite().all() for weight in cell.model.parameters()]).all()
        if not (math.isfinite(cell.window[0].item()) and weights):
            raise NonFiniteLoss(trainer.global_step)


class Evaluation(pl.Callback):
    """Evaluate on validation at even steps, keep the history and the best weights, stop when patience is over.

    With `ema` above 0 it is the average of the weights, decaying by that a step, that is evaluated and kept.
    """

    def __init__(self, evaluations: int, patience: int, ema: float = 0.0):
        self.evaluations = evaluations
        self.patience = patience
        self.average = WeightAverage(ema)
        self.best_loss = math.inf
        self.best_step = 0
        self.best_weights: dict[str, torch.Tensor] = {}
        self.history: list[dict] = []
        self.ended = "budget"
        self.training_seconds = 0.0  # evaluations left out
        self.mark = 0.0

    KEPT = ("best_loss", "best_step", "best_weights", "history", "training_seconds")

    def state_dict(self) -> dict:
        self._add_time()
        return {name: getattr(self, name) for name in self.KEPT}

    def load_state_dict(self, state: dict) -> None:
        for name in self.KEPT:
            setattr(self, name, state[name])

    def on_train_start(self, trainer, cell) -> None:
        self.mark = time.perf_counter()
        self._tell_plateaus(cell)

    def _add_time(self) -> None:
        now = time.perf_counter()
        self.training_seconds += now - self.mark
        self.mark = now

    def on_train_batch_end(self, trainer, cell, outputs, batch, index) -> None:
        step = trainer.global_step
        if not _passes(step, cell.total_steps, self.evaluations * WINDOWS_PER_EVALUATION):
            return
        due = _passes(step, cell.total_steps, self.evaluations)
        FiniteLoss.check(trainer, cell)
        self._add_time()
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        row = {
            "step": step,
            "units": cell.work[0].item(),
            "train_loss": cell.mean_training_loss(),
            "learning_rate": rate,
        }
        self.history.append(row)
        if not due:
            return
        with self.average.in_use(cell.model):
            row |= {f"validation_{name}": value for name, value in self._evaluate(cell).items()}
            self._judge(row["validation_loss"], step, cell)
        self._tell_plateaus(cell)
        out_of_patience = without_gain(self.losses())[-1] >= self.patience
        if out_of_patience and step < cell.total_steps:
            self.ended = "patience"
            trainer.should_stop = True

    def _evaluate(self, cell) -> dict[str, float]:
        cell.model.eval()
        metrics = cell.task.evaluate("validation")
        cell.model.train()
        self.mark = time.perf_counter()
        return metrics

    def _judge(self, loss: float, step: int, cell) -> None:
        """Keep the weights if they are the best so far."""
        if not math.isfinite(loss):
            raise NonFiniteLoss(step)
        if loss < self.best_loss:
            self.best_loss, self.best_step = loss, step
            self.best_weights = {name: w.detach().cpu().clone() for name, w in cell.model.state_dict().items()}

    def _tell_plateaus(self, cell) -> None:
        """Count plateaus after the warm-up, from the history alone, so that checkpoints need no more than that.

        The rate of the next step is set by then, so it falls one step later.
        """
        rising = warmup_steps(cell.total_steps, cell.training_settings["warmup"])
        cell.plateaus = count_plateaus(self.losses(rising))

    def losses(self, first: int = 0) -> list[float]:
        """Validation losses in order, from step `first` on."""
        return [row["validation_loss"] for row in self.history if "validation_loss" in row and row["step"] >= first]

    def last_evaluated(self) -> dict:
        """The last row of the history with an evaluation; empty before the first."""
        return next((row for row in reversed(self.history) if "validation_loss" in row), {})

    def undertrained(self, degree: int) -> bool:
        """Whether the validation error still fell by more than `STILL_FALLING` over the last evaluation interval.

        `degree` is the power of the error that the loss is: 2 for a squared error.
        """
        losses = self.losses()
        return self.ended == "budget" and len(losses) > 1 and losses[-1] < losses[-2] * (1 - STILL_FALLING) ** degree


def _passes(step: int, total: int, parts: int) -> bool:
    """Whether `step` is the first to complete another of `parts` equal parts of `total` steps."""
    return step * parts // total > (step - 1) * parts // total


class LossLog(pl.Callback):
    """Keep the training loss of every step; reading it waits for the device."""

    def __init__(self):
        self.losses: list[torch.Tensor] = []

    def state_dict(self) -> dict:
        return {"losses": self.read()}

    def load_state_dict(self, state: dict) -> None:
        self.losses = list(torch.from_numpy(state["losses"]))

    def on_train_batch_end(self, trainer, cell, outputs, batch, index) -> None:
        self.losses.append(outputs["loss"].detach())

    def read(self) -> np.ndarray:
        """Losses of all steps so far, (steps,) f64."""
        return np.array([loss.item() for loss in self.losses])


class Checkpointing(pl.Callback):
    """Save the whole state every `interval` seconds, where a run pauses, and when the scheduler asks to stop."""

    def __init__(self, directory: Path, identity: str, interval: float, ledger: Ledger):
        self.directory = directory
        self.identity = identity
        self.interval = interval
        self.ledger = ledger
        self.stop = StopSignal()

    def on_train_start(self, trainer, cell) -> None:
        self.stop.install()
        self.last = time.monotonic()

    def on_train_batch_end(self, trainer, cell, outputs, batch, index) -> None:
        if trainer.should_stop or trainer.global_step >= cell.total_steps:
            return  # finished: the record comes next
        pause = trainer.global_step == trainer.max_steps
        # several processes must agree to save, which costs them time at every step they ask
        if distributed.processes() > 1 and not pause and trainer.global_step % STEPS_BETWEEN_CHECKS:
            return
        stop = distributed.any_process(bool(self.stop))
        if distributed.any_process(stop or pause or time.monotonic() - self.last >= self.interval):
            FiniteLoss.check(trainer, cell)
            save_checkpoint(trainer, self.directory, self.identity)
            self.ledger.note()
            self.last = time.monotonic()
        if stop:
            raise Interrupted(f"a signal to stop: state saved at step {trainer.global_step}")


class ShowProgress(pl.Callback):
    """Steps done, with the losses of the last evaluation."""

    def __init__(self, evaluation: Evaluation):
        self.evaluation = evaluation
        self.shown = ExitStack()

    def on_train_start(self, trainer, cell) -> None:
        self.tick = self.shown.enter_context(progress(cell.total_steps, "training", "steps"))
        self.tick(trainer.global_step)

    def on_train_batch_end(self, trainer, cell, outputs, batch, index) -> None:
        losses = self.evaluation.losses()
        self.tick(1, f"validation loss {losses[-1]:.4f}" if losses else "")

    def on_train_end(self, trainer, cell) -> None:
        self.shown.close()

    def on_exception(self, trainer, cell, exception) -> None:
        self.shown.close()
