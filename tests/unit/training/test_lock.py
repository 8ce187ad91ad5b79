"""One process at a time trains a cell, also on a file system without locks, and a dead owner holds nobody up."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from chemscale.training import lock
from chemscale.training.lock import one_writer


@pytest.fixture(params=["flock", "no flock"])
def way(request, monkeypatch):
    """Both ways to hold the lock."""
    monkeypatch.setattr(lock, "SECONDS_BETWEEN_TRIES", 0.02)
    if request.param == "no flock":

        def refuse(*_):
            raise OSError(errno.ENOTSUP, "Operation not supported")

        monkeypatch.setattr(fcntl, "flock", refuse)
    return request.param


def test_a_second_writer_waits_for_the_first(way, tmp_path, caplog):
    events = []

    def second():
        with one_writer(tmp_path / "state"):
            events.append("second")

    with caplog.at_level("INFO", logger="chemscale"), one_writer(tmp_path / "state"):
        other = threading.Thread(target=second)
        other.start()
        time.sleep(0.2)
        events.append("first done")
    other.join(5)
    assert events == ["first done", "second"]
    assert f"another process trains this cell (process {os.getpid()} on {socket.gethostname()}); waiting" in caplog.text
    assert not list(tmp_path.glob("*.held"))


def test_a_failure_within_frees_the_lock(way, tmp_path):
    with pytest.raises(ValueError, match="within"), one_writer(tmp_path / "state"):
        raise ValueError("within")
    with one_writer(tmp_path / "state"):
        pass


def held_by(tmp_path, owner, age=0.0):
    path = tmp_path / "state.lock.held"
    path.write_text(owner)
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.mark.parametrize("way", ["no flock"], indirect=True)
def test_the_file_of_a_dead_owner_is_taken_over(way, tmp_path, caplog):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    held_by(tmp_path, f"process {ended.pid} on {socket.gethostname()}")
    with caplog.at_level("INFO", logger="chemscale"), one_writer(tmp_path / "state"):
        assert "gives no sign of life" in caplog.text
    held_by(tmp_path, "process 1 on another-node", age=lock.SECONDS_WITHOUT_SIGN + 1)
    with one_writer(tmp_path / "state"):
        pass


@pytest.mark.parametrize("way", ["no flock"], indirect=True)
def test_signs_of_life_from_another_node_are_heeded(way, tmp_path, monkeypatch):
    path = held_by(tmp_path, "process 1 on another-node")

    class Waited(Exception):
        pass

    def give_up(seconds):
        raise Waited

    monkeypatch.setattr(lock.time, "sleep", give_up)
    with pytest.raises(Waited), one_writer(tmp_path / "state"):
        pass
    assert path.exists()
    monkeypatch.undo()
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "no locks")))
    monkeypatch.setattr(lock, "SECONDS_BETWEEN_SIGNS", 0.02)
    path.unlink()
    with one_writer(tmp_path / "state"):
        os.utime(path, (0, 0))
        time.sleep(0.2)
        assert time.time() - path.stat().st_mtime < 5, "the owner touches its file"


def test_another_failure_of_the_lock_is_no_missing_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "input/output error")))
    with pytest.raises(OSError, match="input/output"), one_writer(tmp_path / "state"):
        pass
