"""The command line: help, refusals and exit codes. What commands do is tested with what they call."""

import ast
import importlib
import json
import logging
import subprocess
import sys

import pytest
from typer.main import get_command

from chemscale.cli import app, main
from chemscale.errors import Interrupted

PANELS = {
    "Data": ["fetch", "encode", "label", "ingest"],
    "Training": ["tune", "train"],
    "Models": ["generate", "properties", "score", "embed", "export", "minima", "simulate", "evaluate"],
    "Laws": ["fit", "predict", "check", "isoflop", "plan"],
    "Studies": ["cost", "collect", "first-page", "compare"],
}
COMMANDS = get_command(app).commands


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("n,d,loss\n10,1,3\n20,2,2\n")
    return path


def test_help_groups_all_commands():
    grouped = {name: [] for name in PANELS}
    for name, command in COMMANDS.items():
        grouped[command.rich_help_panel].append(name)
    assert grouped == PANELS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_line_of_help_is_a_phrase(name):
    lines = [COMMANDS[name].help, *(parameter.help for parameter in COMMANDS[name].params)]
    assert not [line for line in lines if not line or not line.endswith(".") or line[0] == line[0].lower() != "."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fit missing.csv --loss loss --params n --out f.json", " fit: missing.csv: no such file or folder"),
        ("fit TABLE --loss lost --params n --out f.json", " fit: TABLE: no column lost; the table has n, d, loss"),
        ("fit TABLE --loss loss --params n --form chinchilla --out f.json", " fit: form = "),
        ("fit TABLE --out f.json", " fit: --arm, --loss: give --arm for the table of a study, or --loss for any other"),
        ("fit TABLE --loss loss --arm language --out f.json", " fit: --arm, --loss: give --arm for the table of a"),
        ("plan TABLE --loss loss --params n --data m --budget 1 --out p.json", " plan: TABLE: no column m; the table"),
        ("generate model --out m.csv", " generate: model: no such file or folder"),
        ("train missing.json --out record", " train: missing.json: no such file"),
        ("train TABLE --out record", " train: TABLE: not a JSON file"),
        ("collect results --cells missing --out tables", " collect: missing: no such file or folder"),
        ("fit TABLE --los loss", " fit: No such option: --los (Possible"),
        ("fit", " fit: Missing argument 'table'; see chemscale fit --help"),
        ("fitt", ": No such command 'fitt'. Did you mean 'fit'?; see chemscale --help"),
        ("plan TABLE --goal x", " plan: Invalid value for '--goal'"),
    ],
)
def test_a_mistake_is_one_line_without_a_traceback(arguments, message, table, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([argument.replace("TABLE", str(table)) for argument in arguments.split()]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("chemscale" + message.replace("TABLE", str(table)))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["fit", "--help"],
        ["train", "--help"],
        ["fit", "missing.csv", "--loss", "x", "--params", "n", "--out", "f.json"],
        ["fit", "TABLE", "--loss", "x", "--params", "n", "--out", "f.json"],
        ["fit", "TABLE", "--loss", "loss", "--params", "n", "--form", "x", "--out", "f.json"],
        ["simulate", "missing", "missing", "--out", "f.parquet"],
    ],
    ids=" ".join,
)
def test_help_and_refusals_import_no_heavy_library(arguments, table, tmp_path):
    """They take a third of a second, most of it typer and rich; pandas, scipy and torch take one to eight seconds."""
    arguments = [str(table) if argument == "TABLE" else argument for argument in arguments]
    code = "import sys; from chemscale.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path)
    loaded = set(done.stdout.split("\n")[-2].split())
    assert "chemscale.cli" in loaded and not loaded & {"pandas", "scipy", "torch", "rdkit", "matplotlib", "snakemake"}


def test_an_interrupted_training_asks_to_be_called_again(tmp_path, monkeypatch, capsys):
    def stop(*arguments):
        raise Interrupted("a signal to stop: state saved at step 7")

    monkeypatch.setattr("chemscale.config.cell_settings.CellSettings.from_json", dict)
    monkeypatch.setattr("chemscale.tuning.learning_rate_rule.resolve_learning_rate", stop)
    (tmp_path / "settings.json").write_text("{}")
    assert main(["train", str(tmp_path / "settings.json"), "--out", str(tmp_path / "record"), "--gpus", "0"]) == 75
    assert capsys.readouterr().err == "chemscale train: a signal to stop: state saved at step 7; call again to go on\n"


def test_messages_are_plain_unless_verbose(table, tmp_path, capsys):
    for options in ([], ["--verbose"]):
        assert main([*options, "fit", str(table), "--loss", "x", "--params", "n", "--out", "f"]) == 2
        log = logging.getLogger("chemscale.anywhere")
        log.info("plain")
        log.warning("odd")
    plain, verbose = capsys.readouterr().err.split("plain\n", 1)
    assert plain.count("\n") == 1 and verbose.startswith("warning: odd\n")
    assert "Traceback" in verbose and " chemscale.anywhere: plain\n" in verbose


def test_version_is_printed(capsys):
    from chemscale import __version__

    assert main(["--version"]) == 0 and capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("source", ["file", "-"])
def test_settings_come_from_a_file_or_standard_input(source, tmp_path, monkeypatch):
    import io

    from chemscale.cli.app import read_settings

    (tmp_path / "settings.json").write_text(json.dumps({"width": 8}))
    monkeypatch.setattr("sys.stdin", io.StringIO('{"width": 8}'))
    assert read_settings(str(tmp_path / "settings.json") if source == "file" else "-") == {"width": 8}


def test_what_commands_import_when_they_run_exists(checkout):
    for path in (checkout / "workflow" / "chemscale" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert not [name.name for name in node.names if not hasattr(module, name.name)], path
