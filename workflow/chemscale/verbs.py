"""What each verb of the command line does with its options. Libraries are imported by the verb that needs them."""

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from chemscale.errors import ChemscaleError
from chemscale.files import read_json
from chemscale.training.devices import gpus

LOG = logging.getLogger(__name__)


def _settings(options: argparse.Namespace) -> dict:
    if options.settings != "-":
        return read_json(options.settings)
    try:
        return json.load(sys.stdin)
    except json.JSONDecodeError as error:
        raise ChemscaleError(f"standard input: not JSON ({error})") from None


def fetch(options: argparse.Namespace) -> None:
    from chemscale.data.sources import fetch

    fetch(options.name, _settings(options), options.out)


def encode(options: argparse.Namespace) -> None:
    from chemscale.molecules.corpus import encode

    encode(options.directory, options.workers)


def label(options: argparse.Namespace) -> None:
    from chemscale.processes import one_thread

    one_thread()
    from chemscale.geometries.labels import label

    label(options.name, _settings(options), options.out, options.workers)


def ingest(options: argparse.Namespace) -> None:
    from chemscale.geometries.ingest import ingest

    source = read_json(options.directory / "source.json")
    path = options.directory / source["file"]
    ingest(source["name"], source["entry"], path, options.directory, source["sha256"])


@contextmanager
def _interruptible(name: str) -> Iterator[None]:
    """Exit with the code for "try again" when the scheduler has stopped a training and its state is saved."""
    from chemscale.training.checkpoints import Interrupted

    try:
        yield
    except Interrupted as interruption:
        LOG.info(f"chemscale {name}: {interruption}; call again to go on")
        raise SystemExit(75) from None  # EX_TEMPFAIL


def tune(options: argparse.Namespace) -> None:
    with gpus(options.gpus):
        from chemscale.tuning.sweep import tune

        with _interruptible("tune"):
            tune(_settings(options), options.out)


def train(options: argparse.Namespace) -> None:
    from chemscale.training.distributed import exec_torchrun, launched

    with gpus(options.gpus):
        checkpoints = options.checkpoints or options.out.with_name(options.out.name + ".checkpoints")
        if options.gpus > 1 and not launched():
            where = ["--out", options.out, "--checkpoints", checkpoints, "--gpus", options.gpus]
            where += ["--checkpoint-seconds", options.checkpoint_seconds]
            exec_torchrun(options.gpus, _settings(options), checkpoints, [str(argument) for argument in where])
        from chemscale.training.run import train_cell
        from chemscale.tuning.learning_rate_rule import resolve_learning_rate

        with _interruptible("train"):
            settings = resolve_learning_rate(_settings(options))
            metrics = train_cell(settings, options.out, checkpoints, options.checkpoint_seconds)
        LOG.info(f"{options.out}: {metrics['status']}, {metrics['reason'] or metrics['ended']}")


def properties(options: argparse.Namespace) -> None:
    from chemscale.generation.quality import write_properties
    from chemscale.molecules.store import open_corpus

    write_properties(open_corpus(options.corpus), options.molecules, options.out)


def generate(options: argparse.Namespace) -> None:

    with gpus(options.gpus, single_thread=False):
        from chemscale.generation.generate import generate

        sampling = ("temperature", "top_k", "top_p", "seed", "batch", "max_tokens")
        summary = generate(
            options.model,
            options.out,
            options.number,
            options.summary,
            options.prefix,
            options.scaffold,
            options.corpus,
            options.properties,
            **{name: getattr(options, name) for name in sampling},
        )
        print(json.dumps(summary, indent=2))


def minima(options: argparse.Namespace) -> None:
    from chemscale.processes import one_thread

    one_thread()
    from chemscale.geometries.store import open_geometries
    from chemscale.simulation.relaxation import write_minima

    write_minima(open_geometries(options.store), options.molecules, options.seed, options.out)


def simulate(options: argparse.Namespace) -> None:
    with gpus(options.gpus):
        from chemscale.simulation.simulate import simulate

        how = {name: getattr(options, name) for name in ("temperature", "picoseconds", "step", "seed")}
        print(json.dumps(simulate(options.model, options.minima, options.out, options.summary, **how), indent=2))


def evaluate(options: argparse.Namespace) -> None:
    with gpus(options.gpus):
        from chemscale.simulation.evaluate import evaluate

        print(json.dumps(evaluate(options.model, options.stores, options.out, options.structures), indent=2))


def collect(options: argparse.Namespace) -> None:
    from chemscale.analysis.collect import collect

    names = (sys.stdin if str(options.cells) == "-" else options.cells.open()).read().split()
    collect(options.results, names, options.out)


def fit(options: argparse.Namespace) -> None:
    from chemscale.analysis.fits import fit_runs
    from chemscale.files import read_table, write_json
    from chemscale.scaling import fit

    table = read_table(options.table)
    common = {"confidence": options.confidence, "draws": options.draws, "seed": options.seed}
    if options.arm:
        content = fit_runs(table, options.arm, **common)
    else:
        names = ("params", "data", "compute", "distinct", "group", "weights", "form", "objective", "delta")
        law = fit(table, options.loss, **{name: getattr(options, name) for name in names}, **common)
        LOG.info(law)
        content = law.to_dict()
    write_json(options.out, content)


def plan(options: argparse.Namespace) -> None:
    from chemscale.files import read_table, write_json
    from chemscale.scaling.allocation.planner import plan_table, target

    table = read_table(options.table)
    if options.family:
        table = table[table["family"] == options.family] if "family" in table else table.iloc[:0]
        if table.empty:
            raise ChemscaleError(f"{options.table}: no rows of the family {options.family}")
    columns = (options.loss, options.params, options.data, options.compute)
    content = plan_table(table, *columns, options.budget, options.goal, target(options.of), options.form)
    LOG.info(content["statement"])
    write_json(options.out, content)


def embed(options: argparse.Namespace) -> None:

    with gpus(options.gpus, single_thread=False):
        from chemscale.embedding.embed import embed

        embed(options.model, options.molecules, options.out, options.pool, options.column, options.neighbours)


def export(options: argparse.Namespace) -> None:
    from chemscale.export.export import export

    export(options.model, options.to, options.out)
