"""Commands in children of a warm process: the same as by themselves, for output, exit code, signals and death."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chemscale.cli import warm

PROGRAM = """
import os, sys
from chemscale.cli import warm
{before}
code = warm.run_warm(sys.argv[1:])
print("code", code, flush=True)
sys.exit(99 if code is None else code)
"""
# commands that do nothing but show what a child is given; the libraries of a training would take seconds to import
SERVER = """
import os, sys, time, signal
from chemscale.cli import warm
import chemscale.cli
warm.IMPORTED = ()
def main(arguments):
    kind = arguments[1]
    if kind == "show":
        print(os.getcwd(), os.environ["SHOWN"], sys.argv[1:], sys.stdin.read(), flush=True)
        print("to stderr", file=sys.stderr)
        return 7
    if kind == "exit":
        sys.exit(75)
    if kind == "fail":
        raise ValueError("of the command")
    if kind == "wait":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
        print("waiting", os.getpid(), flush=True)
        while True:
            time.sleep(0.02)  # a signal just before a long sleep would be seen after it
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
chemscale.cli.main = main
warm.serve(sys.argv[1])
"""


@pytest.fixture
def socket_path(tmp_path):
    """Where a warm process listens that is owned by this one; it is ended afterwards."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    path = folder / f"warm-{os.getpid()}"
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(path)])
    while not path.exists():
        assert server.poll() is None
        time.sleep(0.02)
    time.sleep(0.1)  # between bind and listen
    yield path
    server.kill()
    server.wait()


def client(path, *arguments, **changes):
    environment = os.environ | {"CHEMSCALE_WARM": str(path), "OMP_NUM_THREADS": "1", "SHOWN": "of the client"}
    command = [sys.executable, "-c", PROGRAM.format(before=""), "train", *arguments, "--gpus", "0"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, text=True, **pipes | changes)


def test_a_child_has_the_folder_environment_arguments_and_streams_of_its_command(socket_path, tmp_path):
    process = client(socket_path, "show", cwd=tmp_path)
    out, err = process.communicate("given")
    assert out == f"{tmp_path} of the client {['train', 'show', '--gpus', '0']} given\ncode 7\n"
    assert err == "to stderr\n" and process.returncode == 7


@pytest.mark.parametrize(("kind", "code", "said"), [("exit", 75, ""), ("fail", 1, "ValueError: of the command")])
def test_a_command_ends_as_its_child_ends(socket_path, kind, code, said):
    process = client(socket_path, kind)
    out, err = process.communicate("")
    assert process.returncode == code and out == f"code {code}\n" and said in err


def test_a_signal_reaches_the_child(socket_path):
    process = client(socket_path, "wait")
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 75


def test_a_killed_child_kills_its_command_alike(socket_path):
    process = client(socket_path, "die")
    process.communicate("")
    assert process.returncode == -signal.SIGKILL


def test_a_child_dies_with_its_command_and_others_go_on(socket_path):
    other = client(socket_path, "wait")
    other.stdout.readline()
    process = client(socket_path, "wait")
    child = int(process.stdout.readline().split()[1])
    process.kill()
    process.wait()
    ends = time.time() + 10
    while Path(f"/proc/{child}").exists() and time.time() < ends:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()
    other.send_signal(signal.SIGTERM)
    assert other.wait(timeout=10) == 75


def test_the_second_command_starts_the_warm_process_and_both_run_by_themselves(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(command))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("CHEMSCALE_WARM", raising=False)
    assert warm.run_warm(["train", "-", "--gpus", "0"]) is None and not started  # nobody offered
    warm.offer()
    path = os.environ["CHEMSCALE_WARM"]
    for command in (["train", "-", "--gpus", "1"], ["train", "-"], ["fit", "--gpus", "0"], []):
        assert warm.run_warm(command) is None
    counts = []
    for _ in range(4):
        assert warm.run_warm(["train", "-", "--gpus", "0"]) is None
        counts.append(len(started))
    assert counts == [0, 1, 1, 1] and started[0][-1] == path


def test_an_offer_removes_what_dead_processes_have_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CHEMSCALE_WARM", "")
    warm.offer()
    folder = Path(os.environ["CHEMSCALE_WARM"]).parent
    ended = subprocess.Popen(["true"])
    ended.wait()
    names = [f"warm-{ended.pid}", f"warm-{ended.pid}.one", f"warm-{os.getpid()}.one"]
    for name in names:
        (folder / name).touch()
    warm.offer()
    assert [path.name for path in folder.iterdir()] == names[2:]


def test_a_folder_that_others_can_write_is_not_used(socket_path):
    socket_path.parent.chmod(0o777)
    process = client(socket_path, "show")
    out, _ = process.communicate("")
    assert out == "code None\n" and process.returncode == 99


def test_the_warm_process_ends_with_its_owner(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    owner = subprocess.Popen(["sleep", "60"])
    path = folder / f"warm-{owner.pid}"
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(path)])
    while not path.exists():
        time.sleep(0.02)
    owner.kill()
    owner.wait()
    assert server.wait(timeout=10) == 0
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_training_in_a_child_has_the_record_of_one_by_itself(tiny_corpus, tmp_path):
    from helpers.settings import small_cell

    settings = json.dumps(small_cell("language", tiny_corpus).to_json())
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    path = folder / f"warm-{os.getpid()}"
    server = subprocess.Popen([sys.executable, "-m", "chemscale.cli.warm", str(path)])
    while not path.exists():
        time.sleep(0.1)
    time.sleep(0.2)
    found = {}
    for name, given in (("warm", {"CHEMSCALE_WARM": str(path)}), ("alone", {"CHEMSCALE_WARM": ""})):
        command = ["chemscale", "train", "-", "--out", str(tmp_path / name), "--gpus", "0"]
        environment = os.environ | given | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, input=settings, text=True, check=True, env=environment)
        found[name] = json.loads((tmp_path / name / "metrics.json").read_text())
    server.kill()
    server.wait()
    assert found["warm"]["startup_cpu_seconds"] < 0.3 * found["alone"]["startup_cpu_seconds"]
    assert found["warm"]["test_loss"] == found["alone"]["test_loss"]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in found]
    assert weights[0] == weights[1]
