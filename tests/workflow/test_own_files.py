"""A file of the user's: its content decides what is made again, and nothing is lost before its successor is whole."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.io import write
from helpers.clones import plan, snakemake
from rdkit import RDConfig

ENTRY = {"validation": 40, "test": 40, "seed": 0, "max_failure_share": 0.1}
LANGUAGE = {"dataset": "mine", "families": {"chemgpt-slim": {"widths": [8], "learning_rate": 0.01}}, "data": [50]}
POTENTIAL = {
    "dataset": "frames",
    "families": {"schnet": {"widths": [8], "depths": [1], "learning_rate": 0.01}},
    "data": [8],
}
SHORT = {"steps": {"per_sqrt_example": 0, "epochs": 0, "minimum": 8}, "evaluations": 2}


def configured(clone, arm: str, options: dict, name: str, entry: dict) -> str:
    config = {"study": "own", arm: options | {"training": SHORT}, "datasets": {name: entry}}
    (clone / "own.yaml").write_text(yaml.safe_dump(config))
    return "own.yaml"


@pytest.fixture
def molecules(clone):
    """A clone with a study of 300 molecules of the user's, encoded and trained."""
    listed = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text().splitlines()
    smiles = [line.split()[0] for line in listed[:300]]
    (clone / "data").mkdir()
    (clone / "data" / "mine.csv").write_text("\n".join(["smiles", *smiles]) + "\n")
    entry = {"arm": "language", "source": "file", "path": "data/mine.csv", "format": "csv", "max_tokens": 64} | ENTRY
    config = configured(clone, "language", LANGUAGE, "mine", entry)
    snakemake(clone, "training", "--cores", "1", "--configfile", config)
    return clone


def test_molecules_are_read_again_after_an_edit_and_not_after_a_touch(molecules):
    clone, path = molecules, molecules / "data" / "mine.csv"
    corpus, record = clone / "results/data/mine/corpus.json", clone / "results/own/runs"
    before = json.loads(corpus.read_text())
    os.utime(path)
    assert plan(clone, "training", "--configfile", "own.yaml") == {}
    state = path.stat()
    path.write_text(path.read_text().replace("\n", "\nCCCCCCCCCO\n", 1))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # an edit that keeps the time counts too
    again = {"fetch_molecules": 1, "encode": 1, "train": 1, "training": 1}
    assert plan(clone, "training", "--configfile", "own.yaml") == again
    snakemake(clone, "training", "--cores", "1", "--configfile", "own.yaml")
    after = json.loads(corpus.read_text())
    assert after["molecules"]["total"] == before["molecules"]["total"] + 1
    assert after["fingerprint"] != before["fingerprint"]
    assert plan(clone, "training", "--configfile", "own.yaml") == {}
    metrics = [json.loads(file.read_text()) for file in record.rglob("metrics.json")]
    assert [m["train_molecules"] for m in metrics] == [50]


def test_a_training_that_has_finished_is_not_made_again_by_a_job_that_starts_once_more(molecules):
    # as after a head process that died between the end of a training and the mark that it is complete
    [record] = (molecules / "results/own/runs").rglob("metrics.json")
    kept = {file: file.read_bytes() for file in record.parent.iterdir()}
    snakemake(molecules, "training", "--cores", "1", "--configfile", "own.yaml", "--forcerun", "train")
    assert {file: file.read_bytes() for file in record.parent.iterdir()} == kept  # times included
    [log] = (molecules / "logs/own/train").rglob("*.log")
    assert "already trained with these settings" in log.read_text()


def test_an_edit_that_cannot_be_read_costs_nothing_that_was_made(molecules):
    clone, path = molecules, molecules / "data" / "mine.csv"
    kept = {
        file: file.read_bytes()
        for part in ("data/mine", "own/runs")
        for file in (clone / "results" / part).rglob("*.*")
    }
    whole = path.read_text()
    path.write_text(whole + '"CCO\n')  # a quote that is never closed
    said = snakemake(clone, "training", "--cores", "1", "--configfile", "own.yaml", check=False)
    assert "Error in rule encode" in said
    assert f"{len(whole.splitlines()) + 1}" in (clone / "logs/data/mine/encode.log").read_text()
    lost = {str(file) for file, content in kept.items() if not file.exists()}
    assert not lost
    store = [
        file for file in kept if file.suffix in (".npy", ".parquet") or file.name in ("corpus.json", "metrics.json")
    ]
    assert all(file.read_bytes() == kept[file] for file in store)
    path.write_text(whole)
    snakemake(clone, "training", "--cores", "1", "--configfile", "own.yaml")
    assert all(file.read_bytes() == kept[file] for file in store if "mine" in file.parts)


def test_geometries_are_read_again_after_an_edit_and_not_after_a_touch(clone):
    folder = clone / "frames"
    folder.mkdir()
    for number in range(3):
        frames(folder / f"{number}.extxyz", number)
    units = {"energy_unit": "eV", "forces_unit": "eV/angstrom"}
    entry = {"arm": "potential", "source": "file", "path": "frames", "format": "extxyz", "method": "EMT", **units}
    entry |= {"energy": "e", "forces": "f", "validation": 4, "test": 4, "unseen_molecules": 0}
    entry |= {"seed": 0, "max_failure_share": 0.0}
    config = configured(clone, "potential", POTENTIAL, "frames", entry)
    snakemake(clone, "data", "--cores", "1", "--configfile", config)
    for file in folder.iterdir():
        os.utime(file)
    assert plan(clone, "data", "--configfile", config) == {}
    frames(folder / "3.extxyz", 3)
    assert plan(clone, "data", "--configfile", config) == {"fetch_geometries": 1, "ingest": 1, "data": 1}
    snakemake(clone, "data", "--cores", "1", "--configfile", config)
    assert json.loads((clone / "results/data/frames/geometries.json").read_text())["structures"]["total"] == 32
    shutil.rmtree(folder)
    assert plan(clone, "data", "--configfile", config) == {}  # the store is whole without the files it came from
    shutil.rmtree(clone / "results" / "data")
    said = snakemake(clone, "data", "--cores", "1", "--configfile", config, check=False)
    assert "frames" in said and "Missing input" in said


def frames(path, seed: int) -> None:
    """Write eight displaced water molecules with energies and forces of ASE's effective medium theory."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(8):
        atoms = molecule("H2O")
        atoms.positions += rng.normal(0, 0.05, (3, 3))
        atoms.calc = EMT()
        atoms.info["e"], atoms.arrays["f"] = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        made.append(atoms)
    write(path, made, format="extxyz")
