"""Compiled training of potentials: the same numbers as eager for batches of any size, and eager where it must be."""

import itertools
import logging

import pytest
import torch
from helpers.settings import small_cell

from chemscale.errors import Interrupted
from chemscale.files import read_json, write_json
from chemscale.geometries import keys
from chemscale.training import compilation, compiled_step
from chemscale.training.checkpoints import StopSignal
from chemscale.training.run import train_cell
from chemscale.training.tasks import make_task

SLOW = [  # take a minute or two to compile
    pytest.param(family, 2, marks=pytest.mark.slow) for family in ("mpnn", "spookynet", "allegro", "nequip-l1")
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """What the compiler keeps serves all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        yield


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No test knows what another has compiled."""
    monkeypatch.setattr(compilation, "STEPS", {})


@pytest.fixture
def worth_it(monkeypatch):
    monkeypatch.setattr(compilation, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(compilation, "CACHED_SECONDS", 0.0)
    monkeypatch.setattr(compilation, "MAX_TIME_RATIO", 10.0)


def cell(dataset, **changes):
    return small_cell("potential", dataset, **{"width": 12, "batch_atoms": 100, "learning_rate": 0.003} | changes)


def batches_of(task, count):
    """Batches of several sizes, one of few atoms among them."""
    whole = [parts[0] for parts in itertools.islice(task.batches(first=0), count)]
    few = make_task(task.settings.model_copy(update={"training": task.training.model_copy(update={"batch_atoms": 20})}))
    return [*whole, next(iter(few.batches(first=0)))[0]]


@pytest.mark.parametrize(("family", "depth"), [("schnet", 1), ("painn", 2), *SLOW])
def test_loss_and_gradients_are_those_of_eager_at_every_size(family, depth, tiny_geometries):
    task = make_task(cell(tiny_geometries, family=family, depth=depth))
    batches = batches_of(task, 5)
    example = next(one.batch for one in batches if compiled_step.distinct_sizes(task.model, one.batch))
    step = compiled_step.CompiledStep(task.model, task.step_loss, example)
    sizes = set()
    for one in batches:
        sizes.add((len(one.batch[keys.Z]), len(one.batch[keys.PAIR_I])))
        found = []
        for loss_of in (task.step_loss, step):
            task.model.zero_grad()
            loss = loss_of(task.model, one.batch, one.molecules, one.atoms)
            (3 * loss).backward()
            found.append([loss.detach(), *(p.grad.clone() for p in task.model.parameters() if p.grad is not None)])
        assert step.serves(one.batch) and compilation._difference(*found) < 1e-5
    assert len(sizes) >= 5


def test_a_whole_training_ends_as_in_eager(tiny_geometries, tmp_path, worth_it, monkeypatch):
    settings = cell(tiny_geometries, data=100, steps=1000)
    compiled = train_cell(settings, tmp_path / "one", tmp_path / "one-state")
    monkeypatch.setattr(compiled_step, "compiler", lambda: None)
    eager = train_cell(settings, tmp_path / "other", tmp_path / "other-state")
    assert (compiled["compiled"], eager["compiled"]) == (True, False)
    assert eager["probe"] == "no C++ compiler is installed"
    assert compiled["probe"]["difference"] < 1e-5 and compiled["probe"]["compilation_seconds"] > 0
    for name in ("validation_loss", "test_loss", "test_force_mae"):
        assert compiled[name] == pytest.approx(eager[name], rel=1e-5)
    assert compiled["fingerprint"] == eager["fingerprint"]


def test_a_killed_training_goes_on_compiled_to_the_same_bits(tiny_geometries, tmp_path, worth_it, monkeypatch):
    settings = cell(tiny_geometries, data=100, steps=60)
    whole = train_cell(settings, tmp_path / "whole", tmp_path / "whole-state")
    with monkeypatch.context() as patch:
        calls = itertools.count()
        patch.setattr(StopSignal, "__bool__", lambda self: next(calls) >= 25)
        with pytest.raises(Interrupted):
            train_cell(settings, tmp_path / "killed", tmp_path / "killed-state")
    monkeypatch.setattr(compilation, "FIRST_SECONDS", 1e9)  # would not be chosen again
    monkeypatch.setattr(compilation, "CACHED_SECONDS", 1e9)
    monkeypatch.setattr(compilation, "STEPS", {})
    resumed = train_cell(settings, tmp_path / "killed", tmp_path / "killed-state")
    assert resumed["attempts"] == 2 and resumed["compiled"] and resumed["probe"]["compiled_seconds"] > 0
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed"))
    assert one == other and resumed["test_loss"] == whole["test_loss"]


def test_short_trainings_stay_eager_and_say_so(tiny_geometries, tmp_path):
    metrics = train_cell(cell(tiny_geometries), tmp_path / "cell", tmp_path / "state")
    assert not metrics["compiled"] and metrics["probe"].startswith("not worth it for ")


def test_what_an_earlier_run_measured_decides(tiny_geometries, tmp_path, monkeypatch):
    task = make_task(cell(tiny_geometries))
    note = tiny_geometries.parent / ".compiled" / f"{task.compiled_key}.json"
    monkeypatch.setattr(compilation, "FIRST_SECONDS", 0.0)
    try:
        of_torch = {"torch": torch.__version__}
        note.parent.mkdir(exist_ok=True)
        write_json(note, {"eager_seconds": 1.0, "compiled_seconds": 0.999} | of_torch)  # hardly gains
        chosen = compilation.choose_compilation(task, 100, tmp_path / "one")
        assert chosen["probe"].startswith("not worth it for ")
        write_json(note, {"failed": "could not be compiled: RuntimeError"} | of_torch)
        chosen = compilation.choose_compilation(task, 10**9, tmp_path / "other")
        assert chosen["probe"] == "could not be compiled: RuntimeError"
    finally:
        note.unlink()


def fail(*_):
    raise RuntimeError("g++: no such instruction\nand more")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((compiled_step, "_compile", fail), "could not be compiled: RuntimeError"),
        ((compilation, "_difference", lambda *_: 0.01), "gradients differed by 0.01"),
        ((compilation, "_difference", lambda *_: float("nan")), "gradients differed by nan"),
        ((compiled_step, "distinct_sizes", lambda *_: False), "no batch has sizes that differ from those of the model"),
    ],
    ids=["compiler fails", "other gradients", "no gradients", "no example"],
)
def test_a_step_that_cannot_be_trusted_is_not_taken(
    change, said, tiny_geometries, tmp_path, worth_it, monkeypatch, caplog
):
    monkeypatch.setattr(*change)
    task = make_task(cell(tiny_geometries, loss={"energy": 0.5, "force": 0.5}))  # of which nothing is noted
    monkeypatch.setattr(compilation, "_keep", lambda note, found: compilation._eager(found["failed"]))
    with caplog.at_level(logging.WARNING, logger="chemscale"):
        chosen = compilation.choose_compilation(task, 100, tmp_path)
    assert not chosen["compiled"] and task.step is None
    assert chosen["probe"] == said
    assert read_json(tmp_path / "compiled.json") == chosen
    if change[1] in ("_compile", "_difference"):
        assert "training is not compiled" in caplog.text and "\n" not in caplog.messages[-1]


def test_processors_of_different_kinds_share_no_code(tmp_path, monkeypatch):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    compiled_step.use_cache(tmp_path)
    import os

    assert os.path.dirname(os.environ["TORCHINDUCTOR_CACHE_DIR"]) == str(tmp_path)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/elsewhere")
    compiled_step.use_cache(tmp_path)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/elsewhere"


def test_batches_that_the_graph_cannot_hold_are_told_apart(tiny_geometries):
    task = make_task(cell(tiny_geometries))
    (one,) = next(iter(task.batches(first=0)))
    step = object.__new__(compiled_step.CompiledStep)
    step.keys = sorted(one.batch.keys() - {keys.PAIR_I, keys.PAIR_J})
    assert step.serves(one.batch)
    assert not step.serves(one.batch | {"charge": torch.zeros(1)})
    alone = one.batch | {keys.N_ATOMS: one.batch[keys.N_ATOMS][:1]}
    assert not step.serves(alone)
