"""What a training asks of Slurm, with a stub of scontrol that says what Slurm 22.05 says."""

import os
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from chemscale.training import slurm


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A function that puts a stub of scontrol on the PATH which shows this job, and returns the file of its calls."""

    def write(state: str = "RUNNING", minutes: float = 60, requeue: int = 1, code: int = 0) -> Path:
        end = datetime.now() + timedelta(minutes=minutes)
        shown = f"JobId=7 JobState={state} Requeue={requeue} EndTime={end:%Y-%m-%dT%H:%M:%S} NodeList=n1"
        stub, calls = tmp_path / "scontrol", tmp_path / "calls"
        stub.write_text(f'#!/bin/sh\necho "$@" >>{calls}\n[ "$1" = show ] && echo "{shown}" || exit {code}\n')
        stub.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("SLURM_JOB_ID", "7")
        monkeypatch.setattr(slurm, "SECONDS_TO_BE_KILLED", 0)
        return calls

    return write


def test_a_running_job_is_requeued(scontrol):
    calls = scontrol()
    slurm.requeue()
    assert calls.read_text().splitlines() == ["show job -o 7", "requeue 7"]


@pytest.mark.parametrize("said", [{"state": "CANCELLED"}, {"state": "COMPLETING"}, {"requeue": 0}], ids=str)
def test_a_job_that_was_cancelled_or_must_not_be_requeued_ends(scontrol, said):
    calls = scontrol(**said)
    slurm.requeue()
    assert "requeue 7" not in calls.read_text()


def test_other_ranks_leave_it_to_the_first(scontrol, monkeypatch):
    calls = scontrol()
    monkeypatch.setenv("SLURM_PROCID", "1")
    slurm.requeue()
    assert not calls.exists()


def test_a_refusal_is_said(scontrol, caplog):
    scontrol(code=1)
    slurm.requeue()
    assert "does not requeue job 7" in caplog.text


@pytest.mark.parametrize(("minutes", "before"), [(600, 60), (1, 6)])
def test_a_training_stops_shortly_before_the_limit(scontrol, minutes, before):
    scontrol(minutes=minutes)
    assert slurm.stop_time() == pytest.approx(time.time() + 60 * minutes - before, abs=3)


def test_nothing_is_asked_outside_slurm(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert slurm.stop_time() is None
    slurm.requeue()
