"""Nothing is lost: a training killed at any moment ends in the same bits, and one cell has one writer."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from helpers.settings import changed, sweep_of

from chemscale.config.cell_settings import CellSettings

ARMS = ["language", "potential"]


def start(
    settings: CellSettings, directory: Path, name: str = "cell", checkpoint_seconds: float = 0
) -> subprocess.Popen:
    """Train in a process of its own, saving a checkpoint after every step unless told otherwise."""
    path = directory / f"{name}.json"
    path.write_text(json.dumps(settings.to_json()))
    command = [sys.executable, "-m", "chemscale.cli", "train", path, "--out", directory / name]
    return subprocess.Popen(
        [*map(str, command), "--checkpoint-seconds", str(checkpoint_seconds)], stderr=subprocess.PIPE, text=True
    )


def wait_for_step(directory: Path, step: int, process: subprocess.Popen) -> None:
    """Return once a checkpoint of at least `step` is there."""
    for _ in range(6000):
        if any(int(path.stem[5:]) >= step for path in directory.glob("step-*.ckpt")):
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    raise AssertionError(f"no checkpoint of step {step} in a minute")


def weights(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


@pytest.mark.parametrize("arm", ARMS)
def test_a_killed_training_ends_in_the_same_bits(arm, cell_settings, tmp_path):
    """Kill −9 at two different steps, and SIGTERM at a third, against an uninterrupted run."""
    average = {"ema": 0.9} if arm == "potential" else {}
    cell_settings = changed(cell_settings, steps=150, **average)  # none ends before its signal comes
    whole = start(cell_settings, tmp_path, "whole", checkpoint_seconds=60)
    assert whole.wait() == 0, whole.stderr.read()

    for step, how, code in ((13, signal.SIGKILL, -signal.SIGKILL), (29, signal.SIGTERM, 75), (41, signal.SIGKILL, -9)):
        attempt = start(cell_settings, tmp_path, "killed")
        wait_for_step(tmp_path / "killed.checkpoints", step, attempt)
        attempt.send_signal(how)
        assert attempt.wait() == code
        assert len(list((tmp_path / "killed.checkpoints").glob("step-*.ckpt"))) <= 3, "old checkpoints are dropped"
    last = start(cell_settings, tmp_path, "killed")
    assert last.wait() == 0
    assert "going on from" in last.stderr.read()

    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    histories = [pd.read_parquet(tmp_path / name / "history.parquet") for name in ("whole", "killed")]
    pd.testing.assert_frame_equal(*histories)
    a, b = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "killed"))
    for key in ("test_loss", "units_seen", "flops", "steps", "best_step", "fingerprint"):
        assert a[key] == b[key], key
    assert (a["attempts"], b["attempts"]) == (1, 4)
    assert not (tmp_path / "killed.checkpoints").exists(), "a finished cell leaves no state behind"


@pytest.mark.parametrize("arm", ["language"])
def test_a_sweep_told_to_stop_goes_on_within_its_trial(arm, cell_settings, tmp_path):
    sweep = sweep_of(cell_settings, learning_rates=[0.001, 0.003, 0.01, 0.03], steps=1600)
    path = tmp_path / "sweep.json"
    path.write_text(json.dumps(sweep.to_json()))
    command = list(map(str, [sys.executable, "-m", "chemscale.cli", "tune", path, "--out"]))
    assert subprocess.run([*command, str(tmp_path / "whole.json")], stderr=subprocess.PIPE).returncode == 0

    attempt = subprocess.Popen([*command, str(tmp_path / "stopped.json")], stderr=subprocess.PIPE, text=True)
    known = tmp_path / "stopped.trials" / "trials.json"
    while not (known.exists() and "stopped" in known.read_text()):
        assert attempt.poll() is None, attempt.stderr.read()
        time.sleep(0.01)
    time.sleep(0.5)  # now it trains the second trial, save on a slow machine: between trials it ends at once
    attempt.send_signal(signal.SIGTERM)
    code, said = attempt.wait(), attempt.stderr.read()
    assert code == -signal.SIGTERM or (code == 75 and "call again to go on" in said)
    assert subprocess.run([*command, str(tmp_path / "stopped.json")], stderr=subprocess.PIPE).returncode == 0
    whole, stopped = (json.loads((tmp_path / name).read_text()) for name in ("whole.json", "stopped.json"))
    for sweep in (whole, stopped):
        assert all(trial.pop("seconds") for trial in sweep["trials"])
    assert stopped["trials"] == whole["trials"] and stopped["rule"] == whole["rule"]


@pytest.mark.parametrize("arm", ["language"])
def test_a_stale_checkpoint_is_refused(arm, cell_settings, tmp_path):
    cell_settings = changed(cell_settings, steps=400)  # not over before it is killed
    attempt = start(cell_settings, tmp_path)
    wait_for_step(tmp_path / "cell.checkpoints", 10, attempt)
    attempt.kill()
    attempt.wait()
    other = start(changed(cell_settings, learning_rate=0.02), tmp_path)
    assert other.wait() == 2
    message = other.stderr.read()
    assert "belong to other settings, data or recipe" in message and "cell.checkpoints" in message
    assert "Traceback" not in message
    assert start(cell_settings, tmp_path).wait() == 0, "the right settings still go on from it"


@pytest.mark.parametrize("arm", ["language"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(arm, cell_settings, tmp_path):
    cell_settings = changed(cell_settings, steps=400)  # not over before it is killed
    attempt = start(cell_settings, tmp_path)
    wait_for_step(tmp_path / "cell.checkpoints", 20, attempt)
    attempt.kill()
    attempt.wait()
    newest = max((tmp_path / "cell.checkpoints").glob("step-*.ckpt"), key=lambda path: int(path.stem[5:]))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1  # one bit
    newest.write_bytes(content)
    again = start(cell_settings, tmp_path)
    assert again.wait() == 0
    message = again.stderr.read()
    assert f"{newest.name}: unreadable" in message and "going on from" in message


@pytest.mark.parametrize("arm", ["language"])
def test_two_writers_train_a_cell_once(arm, cell_settings, tmp_path):
    first = start(cell_settings, tmp_path)
    wait_for_step(tmp_path / "cell.checkpoints", 1, first)
    first.send_signal(signal.SIGSTOP)  # it would end before the second has imported torch
    second = start(cell_settings, tmp_path)
    message = second.stderr.readline()
    first.send_signal(signal.SIGCONT)
    assert first.wait() == 0 and second.wait() == 0
    assert f"another process trains this cell (process {first.pid}" in message
    assert "already trained with these settings" in second.stderr.read()
    assert json.loads((tmp_path / "cell" / "metrics.json").read_text())["attempts"] == 1
