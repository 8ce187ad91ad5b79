"""Any file of molecules is scored by one command."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rdkit.Chem import Descriptors, MolFromSmiles
from scipy.stats import wasserstein_distance

from chemscale.cli import main
from chemscale.generation import score as score_module
from chemscale.generation.score import read_smiles, score

METRICS = ["valid", "unique@1000", "unique@10000", "Novelty", "IntDiv", "IntDiv2", "SNN", "Frag", "Scaf", "Filters"]
METRICS += ["FCD", "logp", "qed", "sa", "weight"]


@pytest.fixture
def files(tmp_path, tiny_corpus):
    smiles = pd.read_parquet(tiny_corpus / "molecules.parquet")["smiles"].tolist()
    (tmp_path / "test.smi").write_text("\n".join(smiles[100:200]))
    (tmp_path / "train.csv").write_text("id,smiles\n" + "".join(f"{n},{text}\n" for n, text in enumerate(smiles[:40])))
    generated = [*smiles[:60], *smiles[:10], "C1CC", "nonsense", "", "[CH3:1][CH2:2][OH:3]"]
    (tmp_path / "own.csv").write_text("smiles,score\n" + "".join(f"{text},1\n" for text in generated))
    return tmp_path, smiles


def test_a_file_is_scored_by_one_command(files, capsys):
    directory, smiles = files
    out = directory / "scores.json"
    arguments = [directory / "own.csv", "--reference", directory / "test.smi", "--train", directory / "train.csv"]
    assert main(["score", *map(str, arguments), "--out", str(out)]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == json.loads(out.read_text())
    assert list(content["metrics"]) == METRICS
    assert content["molecules"] == {"generated": 74, "valid": 71, "reference": 100, "known": 40}
    value = {name: found["value"] for name, found in content["metrics"].items()}
    valid = {*smiles[:60], "CCO"}
    assert value["valid"] == 71 / 74 and value["unique@1000"] == value["unique@10000"] == len(valid) / 71
    assert value["Novelty"] == len(valid - set(smiles[:40])) / len(valid)
    assert value["FCD"] is None
    for name, found in content["metrics"].items():
        assert name == "FCD" or found["low"] <= found["value"] <= found["high"], name


def test_novelty_without_training_molecules_is_against_the_reference(files):
    directory, _ = files
    found = score(directory / "test.smi", directory / "test.smi")["metrics"]
    assert found["Novelty"]["value"] == 0 and found["SNN"]["value"] == pytest.approx(1)
    assert found["Frag"]["value"] == pytest.approx(1) and found["weight"]["value"] == 0
    assert found["valid"] == {"value": 1, "low": pytest.approx(0.9737, abs=1e-3), "high": 1}


def test_distances_are_wassersteins(files):
    directory, smiles = files
    found = score(directory / "train.csv", directory / "test.smi")["metrics"]["weight"]
    weights = [[Descriptors.MolWt(MolFromSmiles(text)) for text in part] for part in (smiles[:40], smiles[100:200])]
    assert found["value"] == pytest.approx(wasserstein_distance(*weights))


def test_fcd_is_taken_from_its_library(files, monkeypatch):
    directory, _ = files

    class Distance:
        """Stands for the library, whose network is not at hand: one activation pair per molecule."""

        def __init__(self, device, n_jobs):
            pass

        def get_predictions(self, smiles):
            return np.array([[len(text), text.count("C")] for text in smiles], float)

        def metric(self, reference, generated):
            return abs(reference["mu"] - generated["mu"]).sum() + abs(np.trace(reference["sigma"] - generated["sigma"]))

    monkeypatch.setitem(sys.modules, "fcd_torch", SimpleNamespace(FCD=Distance))
    monkeypatch.setattr(score_module.importlib.util, "find_spec", lambda name: True)
    found = score(directory / "train.csv", directory / "test.smi")["metrics"]["FCD"]
    assert found["value"] > 0 and found["low"] <= found["value"] <= found["high"] and found["high"] > found["low"]


def test_nothing_valid_is_no_traceback(files):
    directory, _ = files
    (directory / "bad.csv").write_text("smiles,x\nC1CC,1\nnonsense,2\n")
    found = score(directory / "bad.csv", directory / "test.smi")["metrics"]
    assert found["valid"]["value"] == 0
    assert all(found[name]["value"] is None for name in METRICS[1:])


def test_blank_lines_at_the_end_are_no_molecules(tmp_path):
    (tmp_path / "a.smi").write_text("CCO\n\nCN\n\n\n")
    assert read_smiles(tmp_path / "a.smi") == ["CCO", "", "CN"]


def test_mistakes_are_explained(files, capsys):
    directory, _ = files
    (directory / "empty.smi").write_text("")
    (directory / "bad.smi").write_text("nonsense\n")

    def message(*arguments: str) -> str:
        assert main(["score", *(str(directory / a) if a.endswith(".smi") else a for a in arguments)]) == 2
        return capsys.readouterr().err

    assert "no such file" in message("nowhere.smi", "--reference", "test.smi")
    assert "empty.smi: the file is empty" in message("empty.smi", "--reference", "test.smi")
    assert "bad.smi: holds no molecule" in message("test.smi", "--reference", "bad.smi")
    assert "--reference" in message("test.smi")
    assert "confidence = 95" in message("test.smi", "--reference", "test.smi", "--confidence", "95")
