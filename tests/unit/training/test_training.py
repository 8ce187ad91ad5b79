"""A cell's record: what it must hold, and what happens when losses are not finite."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers.settings import changed
from safetensors.torch import load_file

from chemscale.config.cell_settings import CellSettings
from chemscale.errors import ChemscaleError
from chemscale.files import read_json
from chemscale.geometries.labels import label
from chemscale.training.attempts import Attempts
from chemscale.training.checkpoints import Checkpointing, newest_checkpoint
from chemscale.training.evaluation import Evaluation, WeightAverage
from chemscale.training.loop import BETAS, TrainingModule, fit
from chemscale.training.run import train_cell
from chemscale.training.tasks import make_task
from chemscale.training.tasks.potential import PotentialTask

ARMS = ["language", "potential"]


@pytest.mark.parametrize("arm", ARMS)
def test_record_is_complete_and_consistent(arm, cell_settings, tmp_path):
    metrics = train_cell(cell_settings, tmp_path / "cell", tmp_path / "state")
    assert json.loads((tmp_path / "cell" / "metrics.json").read_text()) == metrics
    assert metrics["status"] == "finished" and metrics["steps"] == 60

    groups = [metrics[f"parameters_{g}"] for g in ("embedding", "position", "matrices", "scalars", "head")]
    assert sum(groups) == metrics["parameters_total"]
    assert metrics["parameters"] == metrics["parameters_total"] - groups[0] - groups[1]

    unit = metrics["unit"]
    assert metrics["units_seen"] == pytest.approx(metrics["epochs"] * metrics[f"train_{unit}"])
    assert metrics["flops_6nd"] == 6 * metrics["parameters"] * metrics["units_seen"]
    assert 0 < metrics["gemm_share"] < 1 and metrics["peak_memory_host_mb"] < 4096
    assert (metrics["adam_beta1"], metrics["adam_beta2"]) == BETAS

    history = pd.read_parquet(tmp_path / "cell" / "history.parquet")
    evaluated = history.dropna(subset="validation_loss")
    assert len(evaluated) == 5 and evaluated["validation_loss"].min() == metrics["validation_loss_best"]
    assert evaluated.set_index("step")["validation_loss"].idxmin() == metrics["best_step"]
    assert history["train_loss"].iloc[-1] < 0.9 * history["train_loss"].iloc[0], "it learns"


@pytest.mark.parametrize("arm", ARMS)
def test_saved_weights_give_the_reported_test_loss(arm, cell_settings, tmp_path):
    metrics = train_cell(cell_settings, tmp_path / "cell", tmp_path / "state")
    task = make_task(cell_settings)
    task.model.load_state_dict(load_file(tmp_path / "cell" / "model.safetensors"))
    again = task.evaluate("test")
    assert again["loss"] == pytest.approx(metrics["test_loss"], rel=1e-12)
    assert again["loss"] != task.evaluate("validation")["loss"]


@pytest.mark.parametrize("arm", ["potential"])
def test_the_average_of_the_weights_is_what_is_evaluated_and_kept(arm, cell_settings, tmp_path, monkeypatch):
    seen = []
    update = WeightAverage.update

    def watched(self, model, step):
        update(self, model, step)
        seen.append([p.detach().clone() for p in model.parameters()])

    monkeypatch.setattr(WeightAverage, "update", watched)
    metrics = train_cell(changed(cell_settings, ema=0.9, schedule="constant"), tmp_path / "cell", tmp_path / "state")
    kept = load_file(tmp_path / "cell" / "model.safetensors")
    model = make_task(cell_settings).model
    average = [p.detach().clone() for p in model.parameters()]
    for number, weights in enumerate(seen[: metrics["best_step"]], 1):
        decay = min(0.9, (1 + number) / (10 + number))
        average = [decay * a + (1 - decay) * w for a, w in zip(average, weights, strict=True)]
    names = [name for name, _ in model.named_parameters()]
    for name, expected, own in zip(names, average, seen[metrics["best_step"] - 1], strict=True):
        torch.testing.assert_close(kept[name], expected, rtol=1e-4, atol=1e-5)
        assert own.numel() < 20 or not torch.allclose(kept[name], own, rtol=1e-4, atol=1e-5)
    task = make_task(cell_settings)
    task.model.load_state_dict(kept)
    assert task.evaluate("validation")["loss"] == pytest.approx(metrics["validation_loss_best"], rel=1e-12)


@pytest.mark.parametrize("arm", ["language"])
def test_evaluation_is_a_sum_over_tokens_not_a_mean_of_batches(arm, cell_settings, monkeypatch):
    task = make_task(cell_settings)
    whole = task.evaluate("test")
    monkeypatch.setattr("chemscale.training.tasks.language.EVALUATION_TOKENS", 100)
    assert task.evaluate("test") == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("arm", ["potential"])
def test_a_store_of_one_molecule_is_tested_on_its_own_geometries_alone(arm, cell_settings, tmp_path):
    entry = read_json(Path(cell_settings.dataset) / "geometries.json")["entry"]
    entry |= {"smiles": ["CCO"], "unseen_molecules": 0, "geometries_per_molecule": 100, "max_heavy_atoms": 3}
    label("one", entry | {"molecules": 1, "validation": 15, "test": 15}, tmp_path / "store", workers=1)
    metrics = train_cell(changed(cell_settings, dataset=str(tmp_path / "store")), tmp_path / "cell", tmp_path / "state")
    assert metrics["test_force_mae"] > 0 and not [name for name in metrics if name.startswith("unseen")]


@pytest.mark.parametrize("arm", ["potential"])
def test_force_error_counts_every_component_once(arm, cell_settings, monkeypatch):
    task = make_task(cell_settings)
    whole = task.evaluate("test")
    monkeypatch.setattr("chemscale.training.tasks.potential.EVALUATION_ATOMS", 20)
    assert task.evaluate("test") == pytest.approx(whole, rel=1e-4)
    assert whole["force_mae"] <= whole["force_rmse"] and whole["force_mae_se"] < whole["force_mae"] / 3


@pytest.mark.parametrize("arm", ARMS)
def test_flops_per_step_are_what_pytorch_counts(arm, cell_settings):
    """For any batch, not only for those the potential's two coefficients were solved from."""
    from chemscale.models.accounting import counted_flops

    task = make_task(cell_settings)
    (batch,) = next(iter(task.batches(first=3)))
    if arm == "language":
        shortest = int((batch.tokens != 0).sum(1).min())  # no padding, which the counter would count
        batch = batch._replace(tokens=batch.tokens[:, :shortest])
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        counted = counted_flops(lambda: task.loss(batch)[0].backward())
    assert task.loss(batch)[1][1].item() == pytest.approx(counted, rel=1e-9)


@pytest.mark.parametrize("arm", ["language"])
def test_optimiser_decays_matrices_only_and_all_parameters_are_in_it(arm, cell_settings):
    module = TrainingModule(make_task(cell_settings), Evaluation(1, 1))
    decays, others = module.configure_optimizers()["optimizer"].param_groups
    assert {p.ndim for p in decays["params"]} == {2} and others["weight_decay"] == 0
    assert len(decays["params"]) + len(others["params"]) == len(list(module.model.parameters()))
    assert any(p is module.model.tokens.weight for p in others["params"])


def rates_of(settings: CellSettings, directory: Path, losses: list[float], monkeypatch) -> tuple[dict, pd.Series]:
    """Metrics and rates by step of a cell with schedule plateau whose validation losses are `losses`."""
    settings = changed(settings, schedule="plateau", evaluations=len(losses), patience=4)
    rates = {}
    honest, step = PotentialTask.evaluate, TrainingModule.training_step

    def watched(self, parts, index):
        rates[self.trainer.global_step] = self.trainer.optimizers[0].param_groups[0]["lr"]
        return step(self, parts, index)

    def evaluate(self, split):
        return honest(self, split) | ({"loss": losses[max(rates) * len(losses) // 60]} if split == "validation" else {})

    monkeypatch.setattr(TrainingModule, "training_step", watched)
    monkeypatch.setattr(PotentialTask, "evaluate", evaluate)
    metrics = train_cell(settings, directory / "cell", directory / "state", checkpoint_seconds=0)
    return metrics, pd.Series(rates)


@pytest.mark.parametrize("arm", ["potential"])
def test_plateau_halves_the_rate_after_a_plateau_and_only_then(arm, cell_settings, tmp_path, monkeypatch):
    metrics, rates = rates_of(cell_settings, tmp_path, [3.0, 2.0, 2.1, 2.2, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5], monkeypatch)
    # evaluations are 6 steps apart; a fall holds from the step after next
    falls = rates[rates.diff() < 0]
    assert list(falls.index) == [25, 43] and list(falls) == pytest.approx([0.005, 0.0025])
    assert rates[3:24].nunique() == 1 and rates[10] == 0.01
    assert metrics["ended"] == "patience" and metrics["steps"] == 54 and metrics["best_step"] == 30


@pytest.mark.parametrize("arm", ["potential"])
def test_plateau_and_halving_after_a_non_finite_loss_multiply(arm, cell_settings, tmp_path, monkeypatch):
    poison(monkeypatch, above=0.006)
    metrics, rates = rates_of(cell_settings, tmp_path, [3.0, 3.0, 3.0, 2.0, 1.9], monkeypatch)
    assert metrics["status"] == "finished" and metrics["halvings"] == 1
    assert rates[18] == 0.01 and rates[30] == 0.005 and rates[40] == 0.0025


@pytest.mark.parametrize("arm", ["potential"])
def test_a_plateau_outlives_a_kill(arm, cell_settings, tmp_path, monkeypatch):
    """Stopped before, at and right after the evaluation that lowers the rate: the same bits as in one piece."""
    cell_settings = changed(cell_settings, schedule="plateau", ema=0.9)
    honest = PotentialTask.evaluate
    monkeypatch.setattr(PotentialTask, "evaluate", lambda self, split: honest(self, split) | {"loss": 1.0})

    def train(name: str, until: list) -> TrainingModule:
        (tmp_path / name).mkdir()
        for step in until:
            module = TrainingModule(make_task(cell_settings), Evaluation(5, 5, 0.9))
            keep = Checkpointing(tmp_path / name, "same", 60, Attempts(tmp_path / name))
            fit(module, keep, newest_checkpoint(tmp_path / name, "same"), until=step)
        return module

    whole = train("whole", [None])
    pieces = train("pieces", [20, 36, 37, 50, None])
    rates = {point["step"]: point["learning_rate"] for point in pieces.evaluation.history}
    assert (rates[36], rates[39], rates[60]) == (0.01, 0.005, 0.005)
    assert pieces.plateaus == whole.plateaus == 2
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(pieces.model.state_dict()[name], weight), name


def poison(monkeypatch, above: float) -> None:
    """Make the loss NaN at steps 20 to 22 whenever the learning rate is higher than `above`."""
    honest = TrainingModule.training_step

    def step(self, batch, index):
        loss = honest(self, batch, index)
        if self.learning_rate > above and 20 <= self.trainer.global_step <= 22:
            self.recent[2] += math.nan
            return loss * math.nan
        return loss

    monkeypatch.setattr(TrainingModule, "training_step", step)


@pytest.mark.parametrize("arm", ["language"])
def test_non_finite_loss_halves_the_rate_and_recovers(arm, cell_settings, tmp_path, monkeypatch):
    poison(monkeypatch, above=0.006)
    metrics = train_cell(cell_settings, tmp_path / "cell", tmp_path / "state")
    assert metrics["status"] == "finished" and metrics["halvings"] == 1
    assert math.isfinite(metrics["test_loss"])
    history = pd.read_parquet(tmp_path / "cell" / "history.parquet")
    assert history["learning_rate"].max() <= 0.005


@pytest.mark.parametrize("arm", ["language"])
def test_halving_holds_after_going_back_to_a_checkpoint(arm, cell_settings, tmp_path, monkeypatch):
    """The checkpoint carries the optimiser's old rate, which must not come back with it."""
    poison(monkeypatch, above=0.006)
    metrics = train_cell(cell_settings, tmp_path / "cell", tmp_path / "state", checkpoint_seconds=0)
    assert metrics["status"] == "finished" and metrics["halvings"] == 1
    history = pd.read_parquet(tmp_path / "cell" / "history.parquet").set_index("step")["learning_rate"]
    assert history.loc[:18].max() > 0.0075 and history.loc[24:].max() <= 0.005, (
        "it went on from step 19 at half the rate"
    )


@pytest.mark.parametrize("arm", ARMS)
def test_a_loss_that_is_never_finite_is_recorded_as_failed(arm, cell_settings, tmp_path):
    """With an absurd learning rate, before the first evaluation and with weights that are not finite either."""
    metrics = train_cell(changed(cell_settings, learning_rate=1e30), tmp_path / "cell", tmp_path / "state")
    assert metrics["status"] == "failed" and metrics["halvings"] == 3


@pytest.mark.parametrize("arm", ["potential"])
def test_hopeless_cell_is_recorded_as_failed(arm, cell_settings, tmp_path, monkeypatch):
    poison(monkeypatch, above=0)
    metrics = train_cell(cell_settings, tmp_path / "cell", tmp_path / "state")
    assert metrics["status"] == "failed" and metrics["halvings"] == 3
    assert "loss not finite at steps" in metrics["reason"] and "halved between the tries" in metrics["reason"]
    assert "test_loss" not in metrics
    for file in ("metrics.json", "history.parquet", "model.safetensors", "settings.json"):
        assert (tmp_path / "cell" / file).exists(), "Snakemake waits for every declared output"


@pytest.mark.parametrize("arm", ARMS)
def test_more_data_than_there_is(arm, cell_settings, tmp_path):
    with pytest.raises(ChemscaleError, match=r"100,000"):
        train_cell(changed(cell_settings, data=100_000), tmp_path / "cell", tmp_path / "state")


@pytest.mark.parametrize(
    ("losses", "degree", "collapsed"),
    [
        ([0.585, 1.407], 2, True),  # SchNet at four times its best rate: the loss of no forces
        ([0.484, 0.56], 2, False),  # overfitting
        ([2.0, 1.8, 2.1], 1, False),
        ([2.0, 1.2, 2.1], 1, True),
        ([], 1, False),
    ],
)
def test_a_training_that_lost_what_it_had_learnt_is_flagged(losses, degree, collapsed):
    evaluation = Evaluation(evaluations=3, patience=3)
    model = torch.nn.Linear(1, 1)
    for step, loss in enumerate(losses, 1):
        evaluation.history.append({"step": step})
        evaluation.add({"loss": loss}, model)
    assert evaluation.collapsed(degree) is collapsed
