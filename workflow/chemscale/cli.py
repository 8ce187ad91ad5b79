"""The command line: one verb for each rule of the workflow, and what it takes."""

import argparse
import logging
import sys
from pathlib import Path

from chemscale import __version__, verbs
from chemscale.errors import ChemscaleError


def main(arguments: list[str] | None = None) -> int:
    """Run one verb. Exit code: 0, 2 for a mistake the message explains, 75 when interrupted but resumable."""
    options = parser().parse_args(arguments)
    log_to_stderr()
    try:
        options.run(options)
    except ChemscaleError as error:
        print(f"chemscale {options.verb}: {error}", file=sys.stderr)
        return 2
    return 0


def log_to_stderr(verbose: bool = False) -> None:
    """Write what the library logs to stderr, as plain messages; if `verbose`, with time and module, and debugging."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Format("%(asctime)s %(name)s: %(message)s" if verbose else "%(message)s"))
    log = logging.getLogger("chemscale")
    log.handlers[:] = [handler]
    log.setLevel(logging.DEBUG if verbose else logging.INFO)


class _Format(logging.Formatter):
    """Put the level before the message where it is a warning or worse."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"{record.levelname.lower()}: {text}" if record.levelno >= logging.WARNING else text


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="chemscale", description="Scaling studies of deep chemical models.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, run, about: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(run=run)
        return command

    v = verb("fetch", verbs.fetch, "Make a dataset's raw file available and check it.")
    v.add_argument("name", help="name of the dataset")
    _add_settings(v, "the dataset's registry entry as JSON")
    v.add_argument("--out", type=Path, required=True, help="directory of the dataset")

    v = verb("encode", verbs.encode, "Turn raw molecules into a token store of SELFIES.")
    v.add_argument("directory", type=Path, help="directory of the dataset, after fetch")
    v.add_argument("--workers", type=int, default=1, help="processes")

    v = verb("label", verbs.label, "Make molecules' geometries and label them with energies and forces.")
    v.add_argument("name", help="name of the dataset")
    _add_settings(v, "the dataset's registry entry as JSON")
    v.add_argument("--out", type=Path, required=True, help="directory of the dataset")
    v.add_argument("--workers", type=int, default=1, help="processes")

    v = verb("ingest", verbs.ingest, "Turn a file of labelled geometries into a geometry store.")
    v.add_argument("directory", type=Path, help="directory of the dataset, after fetch")

    v = verb("tune", verbs.tune, "Find learning rates at the cheap end and the rule that carries them to other widths.")
    _add_settings(v, "the sweep's settings as JSON")
    v.add_argument("--out", type=Path, required=True, help="JSON file to write")
    _add_gpus(v)

    v = verb("train", verbs.train, "Train one cell to its record; call it again after an interruption and it goes on.")
    _add_settings(v, "the cell's settings as JSON")
    v.add_argument("--out", type=Path, required=True, help="directory of the record")
    v.add_argument("--checkpoints", type=Path, help="directory of the state; default: OUT with .checkpoints appended")
    v.add_argument("--checkpoint-seconds", type=float, default=60, help="time between two checkpoints")
    _add_gpus(v)

    v = verb(
        "properties", verbs.properties, "Compute properties of training molecules that generated ones are held to."
    )
    v.add_argument("corpus", type=Path, help="directory of the dataset, after encode")
    v.add_argument("--molecules", type=int, required=True, help="the first ones of the training split")
    v.add_argument("--out", type=Path, required=True, help="Parquet file to write")

    v = verb("generate", verbs.generate, "Sample molecules from a trained ChemGPT and say how good they are.")
    v.add_argument("model", type=Path, help="record of a language cell, or its model.safetensors")
    v.add_argument("--number", type=int, default=1000, help="molecules")
    v.add_argument("--temperature", type=float, default=1.0, help="divides the logits; 0: always the likeliest token")
    v.add_argument("--top-k", type=int, help="draw from that many likeliest tokens only")
    v.add_argument("--top-p", type=float, help="draw from the fewest tokens that reach this probability only")
    v.add_argument("--seed", type=int, default=0, help="of the random numbers")
    v.add_argument("--batch", type=int, default=500, help="molecules at a time; changes no result")
    v.add_argument("--max-tokens", type=int, help="longest molecule, [BOS] and [EOS] included; default: the context")
    begin = v.add_mutually_exclusive_group()
    begin.add_argument("--prefix", metavar="SELFIES|SMILES", help="how every molecule begins; all brackets: SELFIES")
    begin.add_argument("--scaffold", metavar="SMILES", help="begin with this, and count the molecules that keep it")
    v.add_argument("--corpus", type=Path, help="dataset the model was trained on, to compare with")
    v.add_argument("--properties", type=Path, help="of training molecules, by that verb; default: computed anew")
    v.add_argument("--out", type=Path, required=True, help="table to write, .csv or .parquet")
    v.add_argument("--summary", type=Path, help="JSON file to write; default: OUT with the suffix .json")
    _add_gpus(v)

    v = verb("minima", verbs.minima, "Pick molecules that potentials are simulated on, and relax them by xTB.")
    v.add_argument("store", type=Path, help="directory of the dataset, after label or ingest")
    v.add_argument("--molecules", type=int, default=16, help="of those kept whole out of training")
    v.add_argument("--seed", type=int, default=0, help="of which ones")
    v.add_argument("--out", type=Path, required=True, help="Parquet file to write")

    v = verb("simulate", verbs.simulate, "Run dynamics and relaxations with a trained potential and judge them.")
    v.add_argument("model", type=Path, help="record of a potential cell, or its model.safetensors")
    v.add_argument("minima", type=Path, help="molecules to start from, by that verb")
    v.add_argument("--temperature", type=float, default=500.0, help="in K")
    v.add_argument("--picoseconds", type=float, default=0.5, help="length of the dynamics")
    v.add_argument("--step", type=float, default=0.5, help="time step in fs")
    v.add_argument("--seed", type=int, default=0, help="of velocities and of the heat bath")
    v.add_argument("--out", type=Path, required=True, help="Parquet file to write, a row a molecule")
    v.add_argument("--summary", type=Path, help="JSON file to write; default: OUT with the suffix .json")
    _add_gpus(v)

    v = verb("evaluate", verbs.evaluate, "Say a trained potential's errors on any geometries, by split and by size.")
    v.add_argument("model", type=Path, help="record of a potential cell, or its model.safetensors")
    v.add_argument("stores", type=Path, nargs="+", metavar="store", help="directory of a dataset, with its geometries")
    v.add_argument("--structures", type=int, help="at most, of each split; default: all")
    v.add_argument("--out", type=Path, required=True, help="JSON file to write")
    _add_gpus(v)

    v = verb("collect", verbs.collect, "Gather the records of a study's cells into one table.")
    v.add_argument("results", type=Path, help="directory of the study's results")
    v.add_argument(
        "--cells", type=Path, required=True, help="file with the names of all cells, one a line; - for stdin"
    )
    v.add_argument("--out", type=Path, required=True, help="directory of the tables")

    v = verb("fit", verbs.fit, "Fit scaling laws: all those of one arm of a study, or one to any table.")
    v.add_argument("table", type=Path, help="runs.parquet, or any Parquet or CSV table")
    what = v.add_mutually_exclusive_group(required=True)
    what.add_argument("--arm", choices=["language", "potential"], help="fit everything of this arm of a runs table")
    what.add_argument("--loss", metavar="COL", help="column of losses of any table; with the columns below")
    v.add_argument("--form", help="law to fit (docs/scaling.md); default: by the columns")
    v.add_argument("--params", metavar="COL", help="column of parameter counts")
    v.add_argument("--data", metavar="COL", help="column of amounts of data seen")
    v.add_argument("--distinct", metavar="COL", help="column of distinct examples among them, for data seen repeatedly")
    v.add_argument("--compute", metavar="COL", help="column of compute")
    v.add_argument("--group", metavar="COL", help="column of what is also resampled whole, such as runs")
    v.add_argument("--weights", metavar="COL", help="column of weights")
    v.add_argument("--objective", default="huber", help="huber, lad, least_squares, least_squares_log[1p]")
    v.add_argument("--delta", type=float, help="Huber's δ of log residuals; default: from their spread")
    v.add_argument("--confidence", type=float, default=0.9, help="coverage asked of intervals")
    v.add_argument("--draws", type=int, default=500, help="bootstrap draws")
    v.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    v.add_argument("--out", type=Path, required=True, help="JSON file to write")
    v = verb(
        "plan", verbs.plan, "Say what to train next on a budget: to narrow a number most, or to lower the loss most."
    )
    v.add_argument("table", type=Path, help="runs.parquet, or any Parquet or CSV table")
    v.add_argument("--loss", metavar="COL", required=True, help="column of losses")
    v.add_argument("--params", metavar="COL", required=True, help="column of parameter counts")
    v.add_argument("--data", metavar="COL", required=True, help="column of amounts of data")
    v.add_argument("--compute", metavar="COL", help="column of costs, in FLOPs or device seconds; default: 6 N D")
    v.add_argument("--family", help="only the rows of this family")
    v.add_argument("--budget", type=float, required=True, help="in the unit of the costs")
    v.add_argument("--goal", choices=["interval", "loss"], default="interval", help="narrow a number or lower the loss")
    v.add_argument("--of", default="a", help="the number to narrow: alpha, beta, E, a, or the loss at N=…,D=…")
    v.add_argument("--form", default="joint", help="law of N and D")
    v.add_argument("--out", type=Path, required=True, help="JSON file to write")

    v = verb("embed", verbs.embed, "Embed molecules by a trained language model.")
    v.add_argument("model", type=Path, help="record of a run, or its model.safetensors")
    v.add_argument("molecules", type=Path, help="SMILES: one a line, or a .csv with --column; in .gz or .zip or not")
    v.add_argument("--column", metavar="COL", help="column of SMILES; default: found by name or content")
    v.add_argument("--pool", choices=["mean", "last"], default="mean", help="over a molecule's symbols, or at [EOS]")
    v.add_argument("--neighbours", type=int, metavar="K", help="also compare K nearest neighbours with those by ECFP4")
    v.add_argument("--out", type=Path, required=True, help=".parquet with every line, or .npy of the accepted ones")
    _add_gpus(v)

    v = verb("export", verbs.export, "Write a trained model in the format of another tool.")
    v.add_argument("model", type=Path, help="record of a run, or its model.safetensors")
    v.add_argument(
        "--to", required=True, metavar="TARGET", help="hf: a language model for transformers; ase: a potential for ASE"
    )
    v.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write: new, or an earlier export")

    return top


def _add_settings(command: argparse.ArgumentParser, about: str) -> None:
    command.add_argument("settings", metavar="SETTINGS.json", help=f"{about}; - for stdin")


def _add_gpus(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--gpus", type=int, default=1, help="0: stay on the CPU; 1: use a GPU if any; several: as many"
    )


if __name__ == "__main__":
    sys.exit(main())
