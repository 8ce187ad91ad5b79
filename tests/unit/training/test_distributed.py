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
from helpers.settings import changed
from safetensors.torch import load_file

from chemscale.files import read_json
from chemscale.training import distributed
from chemscale.training.run import train_cell

arms = pytest.mark.parametrize("arm", ["language", "potential"])


def command(settings, directory, name, processes=2):
    (directory / "settings.json").write_text(json.dumps(settings.to_json()))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    where = ["--out", str(directory / name), "--checkpoints", str(directory / f"{name}-state"), "--gpus", "0"]
    return [*torchrun, "-m", "chemscale.cli", "train", str(directory / "settings.json"), *where]


def losses(record):
    history = pd.read_parquet(record / "history.parquet")
    return history[["train_loss", "validation_loss"]].to_numpy()


@arms
def test_two_processes_reach_the_losses_of_one(arm, cell_settings, tmp_path):
    """Over Gloo on the CPU. Batches hold up to 60 molecules, whose tokens or atoms the two never share evenly."""
    alone = train_cell(cell_settings, tmp_path / "alone", tmp_path / "alone-state")
    subprocess.run(command(cell_settings, tmp_path, "two"), check=True, capture_output=True)
    together = read_json(tmp_path / "two" / "metrics.json")
    assert together["processes"] == 2 and alone["processes"] == 1
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "alone"), abs=1e-5, nan_ok=True)
    measured = [name for name in alone if name.startswith(("test_", "unseen_", "validation_loss"))]
    assert len(measured) > 5
    for quantity in measured:
        assert together[quantity] == pytest.approx(alone[quantity], abs=1e-5)
    assert together["units_seen"] == alone["units_seen"]
    assert together["flops"] == pytest.approx(alone["flops"], rel=1e-12)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("alone", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


@pytest.mark.parametrize("arm", ["language"])
def test_two_processes_stop_together_and_go_on_as_if_never_stopped(arm, cell_settings, tmp_path):
    cell_settings = changed(cell_settings, steps=300)
    subprocess.run(command(cell_settings, tmp_path, "whole"), check=True, capture_output=True)
    often = [*command(cell_settings, tmp_path, "cut"), "--checkpoint-seconds", "0"]
    run = subprocess.Popen(often, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while not list((tmp_path / "cut-state").glob("step-*.ckpt")) and run.poll() is None:
            time.sleep(0.01)
        second = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True).stdout.split()[1]
        os.kill(int(second), signal.SIGUSR1)  # one of the two is told
        assert run.wait(60) != 0
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert not (tmp_path / "cut").exists()
    subprocess.run(command(cell_settings, tmp_path, "cut"), check=True, capture_output=True)
    assert losses(tmp_path / "cut") == pytest.approx(losses(tmp_path / "whole"), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("arm", ["potential"])
def test_plateaus_lower_the_rate_of_all_processes(arm, cell_settings, tmp_path):
    """At a rate that soon brings no gain. Weights averaged over processes of other rates would have other losses."""
    cell_settings = changed(cell_settings, learning_rate=0.05, schedule="plateau", evaluations=20, patience=20)
    alone = train_cell(cell_settings, tmp_path / "alone", tmp_path / "alone-state")
    subprocess.run(command(cell_settings, tmp_path, "two"), check=True, capture_output=True)
    rates = [pd.read_parquet(tmp_path / name / "history.parquet")["learning_rate"] for name in ("alone", "two")]
    assert rates[0].iloc[-1] <= 0.025 and rates[0].equals(rates[1])
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "alone"), rel=1e-3, nan_ok=True)
    assert alone["ended"] == "budget"


@arms
def test_accumulated_parts_give_the_losses_of_whole_batches(arm, cell_settings, tmp_path):
    whole = train_cell(cell_settings, tmp_path / "whole", tmp_path / "whole-state")
    parts = train_cell(changed(cell_settings, accumulate=3), tmp_path / "parts", tmp_path / "parts-state")
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), abs=1e-5, nan_ok=True)
    assert parts["steps"] == whole["steps"] and parts["units_seen"] == whole["units_seen"]


@pytest.mark.parametrize("arm", ["language"])
def test_a_command_asked_for_two_devices_starts_two_processes(arm, cell_settings, tmp_path):
    """Without GPUs the two train on the CPU; settings come by standard input, as from the rule."""
    settings = changed(cell_settings, steps=10).to_json()
    train = [sys.executable, "-m", "chemscale.cli", "train", "-", "--out", str(tmp_path / "cell"), "--gpus", "2"]
    subprocess.run(train, input=json.dumps(settings), text=True, check=True, capture_output=True)
    metrics = read_json(tmp_path / "cell" / "metrics.json")
    assert metrics["processes"] == 2 and metrics["status"] == "finished"
    assert not (tmp_path / "cell.checkpoints").exists()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (1, 1, 0)),
        ({"WORLD_SIZE": "8", "GROUP_WORLD_SIZE": "2", "RANK": "5"}, (8, 2, 5)),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "3"}, (8, 2, 3)),
        # a batch script that asked for eight tasks and runs one training after the other
        ({"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_PROCID": "0"}, (1, 1, 0)),
    ],
    ids=["alone", "torchrun", "srun", "sbatch"],
)
def test_processes_are_counted_from_what_started_them(environment, expected, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("SLURM_", "WORLD", "GROUP", "RANK"))]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (distributed.processes(), distributed.nodes(), distributed.rank()) == expected
