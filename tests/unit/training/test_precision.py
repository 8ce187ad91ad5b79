"""Precision: what is asked for is used, a probe decides by time and loss, and its choice outlives a restart."""

from itertools import islice

import pytest
import torch
from helpers.settings import changed

from chemscale.files import read_json
from chemscale.training import precision
from chemscale.training.run import train_cell
from chemscale.training.tasks import make_task

ARM = pytest.mark.parametrize("arm", ["language"])


def probing(settings, monkeypatch, worth=0.0):
    monkeypatch.setattr(precision, "MIN_SECONDS_TO_PROBE", worth)
    return make_task(changed(settings, precision="probe"))


def timed(monkeypatch, bfloat16: tuple[float, float]) -> list:
    """Let a step take a second in float32 with loss 2, and `bfloat16` (seconds, loss) in that; list what is timed."""
    calls = []

    def measure(task, batches, name, compiled):
        calls.append((name, compiled))
        seconds, loss = bfloat16 if name == "bfloat16" else (1.0, 2.0)
        return seconds, [loss]

    monkeypatch.setattr(precision, "_measure", measure)
    return calls


@ARM
def test_bfloat16_trains_to_nearly_the_loss_of_float32(arm, cell_settings, tmp_path):
    full = train_cell(cell_settings, tmp_path / "full", tmp_path / "full-state")
    half = train_cell(changed(cell_settings, precision="bfloat16"), tmp_path / "half", tmp_path / "half-state")
    assert (full["precision"], half["precision"]) == ("float32", "bfloat16")
    assert half["test_loss"] != full["test_loss"]
    assert half["test_loss"] == pytest.approx(full["test_loss"], rel=0.01)


@ARM
@pytest.mark.parametrize(
    ("bfloat16", "chosen"),
    [((0.5, 2.001), "bfloat16"), ((0.95, 2.001), "float32"), ((0.5, 2.1), "float32"), ((0.5, float("nan")), "float32")],
    ids=["faster", "hardly faster", "another loss", "no loss"],
)
def test_a_probe_takes_what_is_faster_and_agrees(arm, bfloat16, chosen, cell_settings, tmp_path, monkeypatch):
    task = probing(cell_settings, monkeypatch)
    timed(monkeypatch, bfloat16)
    settled = precision.choose_precision(task, 100, tmp_path)
    assert settled["precision"] == chosen and not settled["compiled"]
    assert [t["precision"] for t in settled["probe"]] == ["float32", "bfloat16"]


@ARM
def test_a_choice_outlives_a_restart(arm, cell_settings, tmp_path, monkeypatch):
    task = probing(cell_settings, monkeypatch)
    calls = timed(monkeypatch, (0.5, 2.0))
    first = precision.choose_precision(task, 100, tmp_path)
    count = len(calls)
    timed(monkeypatch, (2.0, 2.0))
    assert precision.choose_precision(task, 100, tmp_path) == first and len(calls) == count


@ARM
def test_short_runs_are_not_probed_and_say_so(arm, cell_settings, tmp_path, monkeypatch):
    metrics = train_cell(changed(cell_settings, precision="probe"), tmp_path / "cell", tmp_path / "state")
    assert metrics["precision"] == "float32" and metrics["probe"].startswith("not worth it for")
    assert read_json(tmp_path / "cell" / "metrics.json")["probe"] == metrics["probe"]


@ARM
def test_a_probe_leaves_the_run_as_it_was(arm, cell_settings, tmp_path, monkeypatch):
    plain = train_cell(cell_settings, tmp_path / "plain", tmp_path / "plain-state")
    monkeypatch.setattr(precision, "MIN_SECONDS_TO_PROBE", 0.0)
    monkeypatch.setattr(precision, "MAX_TIME_RATIO", 0.0)  # float32 stays
    probed = train_cell(changed(cell_settings, precision="probe"), tmp_path / "probed", tmp_path / "probed-state")
    assert all(trial["step_seconds"] > 0 for trial in probed["probe"])
    assert probed["test_loss"] == plain["test_loss"] and probed["flops"] == plain["flops"]


@ARM
@pytest.mark.slow  # a minute of compiling
def test_a_compiled_step_has_the_losses_of_the_plain_one(arm, cell_settings):
    task = make_task(cell_settings)
    batches = [parts[0] for parts in islice(task.batches(first=0), 3)]
    _, plain = precision._measure(task, batches, "float32", compiled=False)
    _, compiled = precision._measure(task, batches, "float32", compiled=True)
    assert compiled == pytest.approx(plain, abs=1e-5)
    assert task.trained is task.model and isinstance(task.model, torch.nn.Module)
