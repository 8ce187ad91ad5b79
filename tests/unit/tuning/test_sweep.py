"""Sweeps of learning rates: trials in pieces, sweeps that are killed, and the rate that reaches a cell."""

import math

import pytest
import torch
from helpers.settings import changed, sweep_of

from chemscale.files import read_json
from chemscale.training.attempts import Attempts
from chemscale.training.checkpoints import Checkpointing, newest_checkpoint
from chemscale.training.evaluation import Evaluation
from chemscale.training.loop import TrainingModule, fit
from chemscale.training.run import train_cell
from chemscale.training.tasks import make_task
from chemscale.training.tasks.potential import PotentialTask
from chemscale.tuning import sweep as tuning
from chemscale.tuning.learning_rate_rule import resolve_learning_rate
from chemscale.tuning.sweep import run_trial, tune

ARMS = ["language", "potential"]


@pytest.mark.parametrize("arm", ARMS)
def test_a_trial_in_two_pieces_ends_in_the_bits_of_one(arm, cell_settings, tmp_path):
    def piece(name, until):
        module = TrainingModule(make_task(cell_settings), Evaluation(1, 1), keep_losses=True)
        (tmp_path / name).mkdir(exist_ok=True)
        keep = Checkpointing(tmp_path / name, "same", 60, Attempts(tmp_path / name))
        fit(module, keep, newest_checkpoint(tmp_path / name, "same"), until)
        return module, module.evaluation, module.read_losses()

    module, evaluation, losses = piece("whole", None)
    for _ in range(2):  # once more, as after a kill between the checkpoint and the list of trials
        half, not_evaluated, first = piece("parts", 23)
        assert len(first) == 23 and first == losses[:23] and not not_evaluated.losses()
    other, again, log = piece("parts", None)
    assert log == losses and again.best_loss == evaluation.best_loss
    assert other.work.tolist() == module.work.tolist() and half.work[1] < module.work[1]
    for name, weight in evaluation.best_weights.items():
        assert torch.equal(again.best_weights[name], weight), name


@pytest.mark.parametrize("arm", ["potential"])
def test_trials_are_evaluated_where_the_rate_falls_upon_it(arm, cell_settings, tmp_path, monkeypatch):
    """Every evaluation finds the same loss, so that the rate falls at the third of five, in the second piece."""
    settings = sweep_of(changed(cell_settings, schedule="plateau"))
    monkeypatch.setattr(PotentialTask, "evaluate", lambda self, split: {"loss": 1.0})
    modules = []

    def kept(*arguments, **keywords):
        modules.append(TrainingModule(*arguments, **keywords))
        return modules[-1]

    monkeypatch.setattr(tuning, "TrainingModule", kept)
    trial = {"width": 8, "batch_tokens": None, "learning_rate": 0.01, "status": "waiting"}
    for name, share in (("one", 0.999), ("two", 0.65)):
        monkeypatch.setattr(tuning, "FIRST_SHARE", share)
        known = run_trial(settings, trial, tmp_path / name)
        assert known["status"] == "stopped" and known["tse"]
        assert run_trial(settings, trial | known, tmp_path / name)["status"] == "finished"
    assert [module.plateaus for module in modules] == [2, 2, 1, 2]
    for weight, other in zip(modules[1].model.parameters(), modules[3].model.parameters(), strict=True):
        assert torch.equal(weight, other)


@pytest.mark.parametrize("arm", ARMS)
def test_a_killed_sweep_goes_on_where_it_was(arm, cell_settings, tmp_path, monkeypatch):
    settings = sweep_of(cell_settings)
    whole = tune(settings, tmp_path / "whole.json")
    calls = []

    def killed_after(count):
        def trial(*arguments, **options):
            if len(calls) == count:
                raise KeyboardInterrupt
            calls.append(arguments[1]["learning_rate"])
            return run_trial(*arguments, **options)

        return trial

    for count in (2, 6):  # in the first shares, and while a trial runs to its end
        monkeypatch.setattr(tuning, "run_trial", killed_after(count))
        with pytest.raises(KeyboardInterrupt):
            tune(settings, tmp_path / "rates.json")
        assert len(read_json(tmp_path / "rates.trials" / "trials.json")["trials"]) == 5
    monkeypatch.setattr(tuning, "run_trial", killed_after(100))
    result = tune(settings, tmp_path / "rates.json")
    finished = sum(trial["status"] == "finished" for trial in whole["trials"])
    assert len(calls) == len(whole["trials"]) + finished and finished >= 2, "no piece is run twice"
    for sweep in (whole, result):
        assert sweep["compute"].pop("seconds") < 60 and sweep["compute"].pop("seconds_full_sweep")
        assert all(trial.pop("seconds") for trial in sweep["trials"])
    assert result == whole and not (tmp_path / "rates.trials").exists()


@pytest.mark.parametrize("arm", ["language"])
def test_what_another_sweep_has_left_is_not_gone_on_with(arm, cell_settings, tmp_path, monkeypatch):
    settings = sweep_of(cell_settings)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(tuning, "next_to_finish", lambda trials: (_ for _ in ()).throw(KeyboardInterrupt))
        tune(settings, tmp_path / "rates.json")
    result = tune(sweep_of(cell_settings, learning_rates=[1e-3, 1e-2, 1e30]), tmp_path / "rates.json")
    # below the rate that diverges, three more are tried
    assert [trial["status"] for trial in result["trials"]] == ["finished", "finished", *4 * ["diverged"]]
    assert result["trials"][2]["tse"] is None and result["trials"][2]["expected_loss"] is None
    assert result["maps"]["tse"]["slope"] is None and result["maps"]["tse"]["reason"].startswith("2 trials")
    assert result["compute"]["flops_share_saved"] == 0


@pytest.mark.parametrize("arm", ["language"])
def test_batches_of_a_sweep_see_equal_tokens_and_have_best_rates_of_their_own(arm, cell_settings, tmp_path):
    settings = sweep_of(cell_settings, batch_tokens=[250, 500], learning_rates=[1e-3, 5e-3, 2e-2], data=200)
    tuned = tune(settings, tmp_path / "rates.json")
    assert [(best["width"], best["batch_tokens"]) for best in tuned["best"]] == [(8, 250), (8, 500)]
    ended = {t["batch_tokens"]: t["flops"] for t in tuned["trials"] if t["status"] == "finished"}
    assert ended[250] == pytest.approx(ended[500], rel=0.05)
    assert 0 <= tuned["rule"]["batch_slope"] <= 1


@pytest.mark.parametrize("arm", ARMS)
def test_tuned_rate_reaches_the_cell(arm, cell_settings, tmp_path):
    tuned = tune(sweep_of(cell_settings, learning_rates=[1e-4, 1e-2, 1e-1]), tmp_path / "rates.json")
    assert len(tuned["trials"]) == 4 and tuned["best"][0]["width"] == 8  # the best of the list is its highest
    settings = changed(cell_settings, learning_rate="tuned", tuning=str(tmp_path / "rates.json"))
    metrics = train_cell(resolve_learning_rate(settings), tmp_path / "cell", tmp_path / "state")
    rule = tuned["rule"]
    assert metrics["learning_rate"] == pytest.approx(math.exp(rule["intercept"]) * 8 ** rule["slope"])
    assert metrics["learning_rate"] > 1e-3
