"""Failures of the machine end in one sentence that says what to do, and before the work where that can be."""

import errno
from pathlib import Path

import pytest
from helpers.settings import small_cell

from chemscale import cli
from chemscale.files import write_json


def one_line(capsys):
    (line,) = capsys.readouterr().err.strip().split("\n")[-1:]
    return line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "x", "results/a"), "results/a: no space left on device; free some space and call again"),
        (OSError(errno.EDQUOT, "x", "a"), "a: disk quota exceeded; free some of your quota"),
        (OSError(errno.EROFS, "x", "a"), "a: read-only file system; choose a folder that can be written"),
        (PermissionError(errno.EACCES, "x", "a"), "a: permission denied; change the permissions"),
        (OSError(errno.ESTALE, "x", "a"), "a: stale file handle; the network file system lost the file"),
        (RuntimeError("I/O error: No space left on device (os error 28)\nat x"), "(os error 28); free some space"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nSee"), "allocate 2 GiB; raise training.accumulate"),
    ],
)
def test_a_failure_of_the_machine_is_one_sentence(error, said, tmp_path, monkeypatch, capsys, tiny_corpus):
    settings = tmp_path / "settings.json"
    write_json(settings, small_cell("language", tiny_corpus).to_json())

    def fail(*_):
        raise error

    monkeypatch.setattr("chemscale.training.run.train_cell", fail)
    assert cli.main(["train", str(settings), "--out", str(tmp_path / "out")]) == 2
    line = one_line(capsys)
    assert line.startswith("chemscale train: ") and said in line and "Traceback" not in line


def test_a_fault_of_the_program_keeps_its_traceback(tmp_path, monkeypatch, tiny_corpus):
    settings = tmp_path / "settings.json"
    write_json(settings, small_cell("language", tiny_corpus).to_json())
    monkeypatch.setattr("chemscale.training.run.train_cell", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", str(settings), "--out", str(tmp_path / "out")])


@pytest.mark.parametrize("which", ["out", "state"])
def test_a_folder_that_cannot_be_written_is_told_before_training(which, tmp_path, monkeypatch, capsys, tiny_corpus):
    settings = tmp_path / "settings.json"
    write_json(settings, small_cell("language", tiny_corpus).to_json())
    closed = tmp_path / which

    def open_file(path, *args, **kwargs):
        if str(path).startswith(str(closed)):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return write_text(path, *args, **kwargs)

    write_text = Path.write_text
    monkeypatch.setattr(Path, "write_text", open_file)
    monkeypatch.setattr("chemscale.training.run.make_task", lambda *_: pytest.fail("training began"))
    folders = ["--out", str(tmp_path / "out"), "--checkpoints", str(tmp_path / "state")]
    assert cli.main(["train", str(settings), *folders]) == 2
    assert "read-only file system; choose a folder that can be written" in one_line(capsys)
