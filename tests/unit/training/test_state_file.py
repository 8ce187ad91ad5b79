"""State files: what was written comes back, every changed byte is found, and nothing in them runs."""

import math
import pickle
import random

import numpy as np
import pytest
import torch

from chemscale.errors import ChemscaleError
from chemscale.training.checkpoints import newest_checkpoint
from chemscale.training.state_file import read_state, write_state

STATE = {
    "identity": "abc",
    "optimizer_states": [
        {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.randn(4, 3)}}, "betas": (0.9, 0.95)}
    ],
    "loops": {"done": True, "none": None, "rate": 0.1, "infinite": math.inf, "text": "µ"},
    "bytes": torch.arange(7, dtype=torch.uint8),
    "half": torch.randn(2).bfloat16(),
    "empty": torch.zeros(0, 3),
    "array": np.arange(6, dtype=np.int64).reshape(2, 3),
    "number": np.float64(2.5),
}


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.equal(b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_a_state_comes_back_as_it_was(tmp_path):
    tied = torch.randn(5)
    state = STATE | {"tied": {"one": tied, "other": tied}, "part": torch.randn(4, 4)[:, 1]}
    write_state(tmp_path / "a", state)
    assert same(read_state(tmp_path / "a"), state)


def test_every_changed_byte_is_found(tmp_path):
    path = tmp_path / "step-1.ckpt"
    write_state(path, STATE)
    whole = path.read_bytes()
    dice = random.Random(0)
    places = [0, 31, 32, 39, 40, len(whole) - 1, *(dice.randrange(len(whole)) for _ in range(200))]
    for place in places:
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << dice.randrange(8)
        path.write_bytes(spoilt)
        with pytest.raises(ChemscaleError, match=r"step-1\.ckpt: damaged"):
            read_state(path)
    for length in (0, 10, 32, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ChemscaleError, match=r"step-1\.ckpt: damaged"):
            read_state(path)


class Run:
    """A pickle of this would leave a file behind."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_is_not_run_and_training_says_that_it_starts_from_zero(tmp_path, caplog):
    torch.save({"state": Run(str(tmp_path / "was here"))}, tmp_path / "step-999999.ckpt")
    (tmp_path / "step-1000000.ckpt").write_bytes(pickle.dumps(Run(str(tmp_path / "was here"))))
    assert newest_checkpoint(tmp_path, "abc") is None
    assert not (tmp_path / "was here").exists()
    assert "no checkpoint can be read; training starts from zero" in caplog.text


def test_the_newest_whole_checkpoint_counts(tmp_path, caplog):
    for step in (5, 10, 20):
        write_state(tmp_path / f"step-{step}.ckpt", STATE | {"step": step})
    spoilt = bytearray((tmp_path / "step-20.ckpt").read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    (tmp_path / "step-20.ckpt").write_bytes(spoilt)
    assert newest_checkpoint(tmp_path, "abc") == tmp_path / "step-10.ckpt"
    assert "step-20.ckpt: unreadable" in caplog.text


def test_what_cannot_be_kept_is_refused(tmp_path):
    with pytest.raises(TypeError, match="function: no part of a state"):
        write_state(tmp_path / "a", {"hook": lambda: None})
    assert not (tmp_path / "a").exists()
