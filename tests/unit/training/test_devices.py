"""A machine's GPUs are leased one by one, and a lease ends with its process."""

import logging
import os
import subprocess
import sys

import pytest

from chemscale.errors import ChemscaleError
from chemscale.training.devices import gpus, lease, lease_gpus

HOLD = "import sys, pathlib; from chemscale.training.devices import lease; " \
       "l = lease(['0', '1'], pathlib.Path(sys.argv[1])); print('leased', flush=True); sys.stdin.read()"  # fmt: skip


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """Leases set CUDA_VISIBLE_DEVICES, which later tests must not inherit."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")


def test_each_process_gets_a_device_of_its_own(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    directory = tmp_path / "leases"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "leased\n"
    first = lease(["0", "1"], directory)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1", "device 0 is taken by the other process"
    holder.kill()
    holder.wait()
    second = lease(["0", "1"], directory)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0", "a killed process gives its device back"
    for lock in first + second:
        lock.close()


def test_several_devices_are_leased_together_or_not_at_all(tmp_path, monkeypatch):
    directory = tmp_path / "leases"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    [taken] = lease(["0", "1", "2"], directory)

    def give_back(seconds):
        # nothing is held while waiting: another process could take both that are free
        both = lease(["0", "1", "2"], directory, count=2)
        assert len(both) == 2
        for lock in [*both, taken]:
            lock.close()

    monkeypatch.setattr("chemscale.training.devices.time.sleep", give_back)
    assert len(lease(["0", "1", "2"], directory, count=3)) == 3 and os.environ["CUDA_VISIBLE_DEVICES"] == "0,1,2"


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A machine whose `nvidia-smi` lists two GPUs."""
    listing = tmp_path / "nvidia-smi"
    listing.write_text("#!/bin/sh\necho 'GPU 0: a'\necho 'GPU 1: b'\n")
    listing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("chemscale.training.devices.tempfile.gettempdir", lambda: str(tmp_path))


def test_more_devices_than_there_are_is_an_error(two_gpus):
    with pytest.raises(ChemscaleError, match="--gpus 3: only 2 GPUs available"), gpus(3):
        pass


def test_a_schedulers_choice_is_kept(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert lease_gpus(1) == [] and os.environ["CUDA_VISIBLE_DEVICES"] == "3"


def test_more_preset_devices_than_needed_are_leased_among(two_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5a/7")
    first = lease_gpus(1)
    assert len(first) == 1 and os.environ["CUDA_VISIBLE_DEVICES"] == "2"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5a/7")
    second = lease_gpus(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-5a/7", "device 2 is taken"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with pytest.raises(ChemscaleError, match="--gpus 3: only 2 GPUs available in CUDA_VISIBLE_DEVICES = 2,3"):
        lease_gpus(3)
    monkeypatch.setenv("SLURM_JOB_ID", "17")  # another job, whose GPUs are numbered by themselves
    third = lease_gpus(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"
    for lock in first + second + third:
        lock.close()


def test_a_job_that_asked_for_a_gpu_and_has_none_ends(monkeypatch, caplog):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with gpus(None):
        assert not caplog.records
    with caplog.at_level(logging.WARNING, logger="chemscale"), gpus(1):
        assert "--gpus 1: this machine has no GPU; going on with the CPU" in caplog.text
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with (
        pytest.raises(ChemscaleError, match="--gpus 1: this job has no GPU, and its time limit counts on one"),
        gpus(1),
    ):
        pass
    with gpus(0):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_lease_lasts_for_the_block(two_gpus):
    for _ in range(2):
        with gpus(1), gpus(0):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "" and os.environ["OMP_NUM_THREADS"] == "1"
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    with gpus(2):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_a_lease_outlives_exec(two_gpus, tmp_path):
    """As `chemscale train --gpus 2` becomes torchrun."""
    code = (
        "import os, sys\nfrom chemscale.training.devices import gpus\nwith gpus(1):\n"
        "    os.execv(sys.executable, [sys.executable, '-c', \"print('ready', flush=True); input()\"])"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout.readline() == "ready\n"
    with gpus(1):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1", "the program that replaced the first still holds device 0"
    process.communicate("\n")
    with gpus(1):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
