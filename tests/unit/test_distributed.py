"""Several processes, or several parts of a batch, train what one process trains on whole batches."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from chemscale.files import read_json
from chemscale.training.cell import train_cell


def command(settings, directory, name, processes=2):
    (directory / "settings.json").write_text(json.dumps(settings))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    where = ["--out", str(directory / name), "--checkpoints", str(directory / f"{name}-state"), "--gpus", "0"]
    return [*torchrun, "-m", "chemscale.cli", "train", str(directory / "settings.json"), *where]


def losses(record):
    history = pd.read_parquet(record / "history.parquet")
    return history[["train_loss", "validation_loss"]].to_numpy()


@pytest.mark.parametrize("arm", ["language"])
def test_two_processes_reach_the_losses_of_one(arm, cell_settings, tmp_path):
    """Over Gloo on the CPU. Batches hold up to 60 molecules, whose tokens the two never share evenly."""
    alone = train_cell(cell_settings, tmp_path / "alone", tmp_path / "alone-state")
    subprocess.run(command(cell_settings, tmp_path, "two"), check=True, capture_output=True)
    together = read_json(tmp_path / "two" / "metrics.json")
    assert together["processes"] == 2 and alone["processes"] == 1
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "alone"), abs=1e-5, nan_ok=True)
    for quantity in ("test_loss", "test_loss_se", "test_loss_per_molecule", "validation_loss_best"):
        assert together[quantity] == pytest.approx(alone[quantity], abs=1e-5)
    assert together["units_seen"] == alone["units_seen"] and together["flops"] == alone["flops"]
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("alone", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


@pytest.mark.parametrize("arm", ["language"])
def test_two_processes_stop_together_and_go_on_as_if_never_stopped(arm, cell_settings, tmp_path):
    cell_settings["training"]["steps"] |= {"minimum": 400, "maximum": 400}
    subprocess.run(command(cell_settings, tmp_path, "whole"), check=True, capture_output=True)
    run = subprocess.Popen(command(cell_settings, tmp_path, "cut"), stderr=subprocess.DEVNULL, start_new_session=True)
    state = tmp_path / "cut-state"
    try:
        while not (state / "attempts.json").exists() and run.poll() is None:
            time.sleep(0.02)
        time.sleep(1.0)
        children = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True).stdout.split()
        os.kill(int(children[1]), signal.SIGUSR1)  # one of the two is told
        assert run.wait(60) != 0
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    if not (tmp_path / "cut" / "metrics.json").exists():
        assert list(state.glob("step-*.ckpt"))
    subprocess.run(command(cell_settings, tmp_path, "cut"), check=True, capture_output=True)
    assert losses(tmp_path / "cut") == pytest.approx(losses(tmp_path / "whole"), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("arm", ["language"])
def test_accumulated_parts_give_the_losses_of_whole_batches(arm, cell_settings, tmp_path):
    whole = train_cell(cell_settings, tmp_path / "whole", tmp_path / "whole-state")
    cell_settings["training"]["accumulate"] = 3
    parts = train_cell(cell_settings, tmp_path / "parts", tmp_path / "parts-state")
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), abs=1e-5, nan_ok=True)
    assert parts["steps"] == whole["steps"] and parts["units_seen"] == whole["units_seen"]
