"""A cell's record: what it must hold, and what happens when losses are not finite."""

import json
import math

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from chemscale.errors import ChemscaleError
from chemscale.training.cell import make_task, train_cell
from chemscale.training.loop import Cell
from chemscale.training.tune import best_rate, rate_rule, training_speed_estimate, tune

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


@pytest.mark.parametrize("arm", ["language"])
def test_evaluation_is_a_sum_over_tokens_not_a_mean_of_batches(arm, cell_settings, monkeypatch):
    task = make_task(cell_settings)
    whole = task.evaluate("test")
    monkeypatch.setattr("chemscale.training.language.EVALUATION_TOKENS", 100)
    assert task.evaluate("test") == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("arm", ["potential"])
def test_force_error_counts_every_component_once(arm, cell_settings, monkeypatch):
    task = make_task(cell_settings)
    whole = task.evaluate("test")
    monkeypatch.setattr("chemscale.training.potential.EVALUATION_ATOMS", 20)
    assert task.evaluate("test") == pytest.approx(whole, rel=1e-4)
    assert whole["force_mae"] <= whole["force_rmse"] and whole["force_mae_se"] < whole["force_mae"] / 3


@pytest.mark.parametrize("arm", ARMS)
def test_flops_per_step_are_what_pytorch_counts(arm, cell_settings):
    """For any batch, not only for those the potential's two coefficients were solved from."""
    from chemscale.models.accounting import counted_flops

    task = make_task(cell_settings)
    batch = next(iter(task.batches(first=3)))
    if arm == "language":
        batch = batch[:, : int((batch != 0).sum(1).min())]  # no padding, which the counter would count
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        counted = counted_flops(lambda: task.loss(batch)[0].backward())
    assert task.loss(batch)[1][1].item() == pytest.approx(counted, rel=1e-9)


@pytest.mark.parametrize("arm", ["language"])
def test_optimiser_decays_matrices_only_and_all_parameters_are_in_it(arm, cell_settings):
    cell = Cell(make_task(cell_settings))
    decays, others = cell.configure_optimizers()["optimizer"].param_groups
    assert {p.ndim for p in decays["params"]} == {2} and others["weight_decay"] == 0
    assert len(decays["params"]) + len(others["params"]) == len(list(cell.model.parameters()))
    assert any(p is cell.model.tokens.weight for p in others["params"])


def poison(monkeypatch, above: float) -> None:
    """Make the loss NaN at steps 20 to 22 whenever the learning rate is higher than `above`."""
    honest = Cell.training_step

    def step(self, batch, index):
        loss = honest(self, batch, index)
        if self.learning_rate > above and 20 <= self.trainer.global_step <= 22:
            self.window[0] += math.nan
            return loss * math.nan
        return loss

    monkeypatch.setattr(Cell, "training_step", step)


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
    settings = cell_settings | {"learning_rate": 1e30}
    metrics = train_cell(settings, tmp_path / "cell", tmp_path / "state")
    assert metrics["status"] == "failed" and metrics["halvings"] == 3


def test_a_killed_sweep_goes_on_with_the_trial_it_was_at(tmp_path, monkeypatch):
    calls = []

    def trial(settings, width, rate):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(rate)
        return {"tse": abs(math.log(rate / 0.01)) + 1, "validation_loss": 1.0}

    monkeypatch.setattr("chemscale.training.tune._trial", trial)
    settings = {"family": "schnet", "tune": {"widths": [8], "learning_rates": [0.001, 0.01, 0.1]}}
    with pytest.raises(KeyboardInterrupt):
        tune(settings, tmp_path / "rates.json")
    calls.clear()
    assert len(tune(settings, tmp_path / "rates.json")["trials"]) == 3
    assert calls == [0.1] and not (tmp_path / "rates.trials").exists()


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
        train_cell(cell_settings | {"data": 100_000}, tmp_path / "cell", tmp_path / "state")


def test_tse_matches_the_published_oracle(checkout):
    """Values of the authors' notebook on their own log: notes on the paper, 5.2. TSE there sums epochs before T."""
    log = checkout.parent / "shared" / "data" / "tpe" / "metrics.csv"
    if not log.exists():
        pytest.skip("the authors' log lies in ../shared, which this checkout does not have beside it")
    table = pd.read_csv(log)
    column = next(name for name in table if name.startswith("train_loss"))
    losses = table.dropna(subset=column)[column].to_numpy()
    assert training_speed_estimate(losses[: 10 * 63], 63) == pytest.approx(129.8276312691825, rel=1e-12)


def test_best_rate_is_refined_between_neighbours_and_flagged_at_an_edge():
    def trials(values):
        return [{"learning_rate": 10.0**-k, "tse": tse} for k, tse in zip((4, 3, 2, 1), values, strict=True)]

    # a parabola in log10(rate) with its minimum at -2.5
    inside = best_rate(16, trials([(k - 2.5) ** 2 for k in (4, 3, 2, 1)]))
    assert inside["learning_rate"] == pytest.approx(10**-2.5) and not inside["edge"]
    assert best_rate(16, trials([1, 2, 3, 4])) == {"width": 16, "learning_rate": pytest.approx(1e-4), "edge": True}
    diverged = best_rate(16, trials([3, 2, 1, None]))
    assert diverged["edge"] and diverged["learning_rate"] == pytest.approx(1e-2)


def sweep(slope: float, widths=(16, 32, 64)) -> list[dict]:
    """Trials whose log TSE is a parabola about a best rate of 0.01·(width/16)^slope, other heights for other widths."""
    return [
        {
            "width": width,
            "learning_rate": rate,
            "tse": 10 / width * math.exp(0.05 * (math.log(rate / 0.01) - slope * math.log(width / 16)) ** 2),
        }
        for width in widths
        for rate in (0.0025, 0.005, 0.01, 0.02, 0.04)
    ]


@pytest.mark.parametrize(("slope", "kept"), [(-0.5, -0.5), (-2.0, -1.0), (0.7, 0.0)])
def test_rule_carries_rates_to_other_widths_within_sane_slopes(slope, kept):
    rule = rate_rule(sweep(slope))
    assert rule["slope"] == pytest.approx(kept, abs=1e-6)
    if slope == kept:
        assert math.exp(rule["intercept"] + rule["slope"] * math.log(256)) == pytest.approx(0.01 * 16**slope)


def test_rule_of_one_width_and_of_a_sweep_with_a_diverged_trial():
    one = rate_rule(sweep(-0.5, widths=(32,)))
    assert one["slope"] == 0 and math.exp(one["intercept"]) == pytest.approx(0.01 * 2**-0.5)
    diverged = sweep(-0.5)
    diverged[4]["tse"] = None
    assert rate_rule(diverged)["slope"] == pytest.approx(-0.5, abs=1e-6)


@pytest.mark.parametrize("arm", ARMS)
def test_tuned_rate_reaches_the_cell(arm, cell_settings, tmp_path):
    sweep = {"widths": [8], "learning_rates": [1e-4, 1e-2, 1e-1], "data": 60, "steps": 20}
    tuned = tune(cell_settings | {"tune": sweep}, tmp_path / "rates.json")
    assert len(tuned["trials"]) == 3 and tuned["best"][0]["width"] == 8
    settings = cell_settings | {"learning_rate": "tuned", "tuning": str(tmp_path / "rates.json")}
    metrics = train_cell(settings, tmp_path / "cell", tmp_path / "state")
    rule = tuned["rule"]
    assert metrics["learning_rate"] == pytest.approx(math.exp(rule["intercept"]) * 8 ** rule["slope"])
    assert metrics["learning_rate"] > 1e-3
