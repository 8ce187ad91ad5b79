"""Embeddings: what they are, that a batch changes none, which lines have one, and whose neighbours they agree with."""

import gzip
import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem, DataStructs
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

from chemscale.cli import main
from chemscale.embedding import neighbours
from chemscale.embedding.embed import embeddings, read_molecules
from chemscale.embedding.neighbours import neighbour_agreement
from chemscale.errors import ChemscaleError
from chemscale.molecules.store import open_corpus
from chemscale.molecules.vocabulary import UNK


@pytest.fixture(scope="module")
def corpus(tiny_corpus):
    return open_corpus(tiny_corpus)


@pytest.fixture(scope="module", params=[("chemgpt", 16), ("chemgpt-slim", 32)], ids=["chemgpt", "slim"])
def model(request, corpus, write_model, tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("record"), *request.param, corpus.vocabulary)


@pytest.fixture(scope="module")
def molecules(corpus) -> list[list[int]]:
    """Tokens of 60 molecules, of lengths in no order, and one longer than the published shape's window."""
    several = [corpus.tokens[corpus.offsets[row] : corpus.offsets[row + 1]].tolist() for row in range(60)]
    return [*several[:30], [1, *[*range(5, 30)] * 12, 2], *several[30:]]


@pytest.fixture
def record(corpus, write_model, tmp_path):
    write_model(tmp_path / "record", "chemgpt-slim", 8, corpus.vocabulary)
    return tmp_path / "record"


@torch.no_grad()
@pytest.mark.parametrize("pool", ["mean", "last"])
def test_batches_change_no_embedding_and_no_order(model, molecules, pool):
    found = embeddings(model, molecules, pool)
    assert found.shape == (61, model.shape.width) and found.dtype == np.float32
    for tokens, vector in zip(molecules, found, strict=True):
        outputs = model.features(torch.tensor([tokens]))[0]  # (T, W)
        own = [place for place, token in enumerate(tokens) if token not in (0, 1, 2)]
        expected = outputs[-1] if pool == "last" else outputs[own].mean(0)
        np.testing.assert_allclose(vector, expected, atol=2e-5)
    assert np.linalg.norm(found[0] - found[1]) > 0.1  # not all the same


@torch.no_grad()
def test_the_head_reads_the_features(model):
    tokens = torch.arange(5, 30)[None]
    torch.testing.assert_close(model(tokens), model.features(tokens) @ model.tokens.weight.T)


def test_unknown_pool_is_refused(model, molecules):
    with pytest.raises(ChemscaleError, match="mean or last"):
        embeddings(model, molecules, "max")


def test_table_has_a_row_for_every_line(record, corpus, tmp_path, capsys):
    lines = ["OCC", "nonsense", "", "[U]", "c1ccccc1O phenol"]
    (tmp_path / "own.smi").write_text("\n".join(lines) + "\n")
    arguments = ["embed", str(record), str(tmp_path / "own.smi"), "--gpus", "0"]
    assert main([*arguments, "--out", str(tmp_path / "own.parquet")]) == 0
    table = pd.read_parquet(tmp_path / "own.parquet")
    assert table["smiles"].tolist() == ["OCC", "nonsense", "", "[U]", "c1ccccc1O"]
    assert table["reason"].fillna("").tolist() == ["", "unreadable SMILES", "empty", "", ""]
    assert table["embedding"].notna().tolist() == [True, False, False, True, True]
    assert table["unknown"].tolist() == [0, 0, 0, 1, 0]
    assert "3 molecules from 5 lines, 1 with symbols unknown to the model" in capsys.readouterr().err

    assert main([*arguments, "--out", str(tmp_path / "own.npy")]) == 0
    assert "1 × unreadable SMILES, 1 × empty" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load(tmp_path / "own.npy"), np.stack(table["embedding"].dropna()))


def test_molecules_are_the_corpus_ids_whatever_the_file(corpus, tmp_path):
    smiles = pd.read_parquet(corpus.directory / "molecules.parquet")["smiles"][:100]
    with gzip.open(tmp_path / "own.csv.gz", "wt") as file:
        smiles.rename("structure").to_csv(file, index=True)
    read = read_molecules(tmp_path / "own.csv.gz", "structure", corpus.vocabulary, 512)
    assert [token for molecule in read for token in molecule.tokens] == corpus.tokens[: corpus.offsets[100]].tolist()
    assert sum(molecule.unknown for molecule in read) == np.count_nonzero(corpus.tokens[: corpus.offsets[100]] == UNK)


def test_mistakes_are_explained(record, tmp_path, capsys):
    def message(molecules: str, out: str, *more: str) -> str:
        paths = [str(record), str(tmp_path / molecules), "--out", str(tmp_path / out)]
        assert main(["embed", *paths, *more]) == 2
        assert not (tmp_path / out).exists()
        return capsys.readouterr().err

    (tmp_path / "none.smi").write_text("")
    (tmp_path / "bad.smi").write_text("nonsense\n")
    (tmp_path / "one.smi").write_text("C\nC\n")
    (tmp_path / "two.smi").write_text("C\nCC\n")
    (tmp_path / "own.csv").write_text("id,structure\n1,C\n")
    assert ".parquet or .npy" in message("two.smi", "out.csv")
    assert "no such file" in message("nowhere.smi", "out.npy")
    assert "the file is empty" in message("none.smi", "out.npy")
    assert "is a molecule (1 × unreadable SMILES); use a file of SMILES" in message("bad.smi", "out.npy")
    assert "one of id, structure" in message("own.csv", "out.npy", "--column", "nosuch")
    assert "at least 2 different molecules" in message("one.smi", "out.npy", "--neighbours", "1")
    assert "must be 1 to 1" in message("two.smi", "out.npy", "--neighbours", "2")


PAIRS = ["CCO", "CCCO", "c1ccccc1", "Cc1ccccc1"]  # two and two alike


def test_neighbours_by_hand():
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in PAIRS]
    tanimoto = np.array([[DataStructs.TanimotoSimilarity(a, b) for b in prints] for a in prints])
    pairs = (tanimoto[0, 1] + tanimoto[2, 3]) / 2
    alike = np.array([[1, 0], [0.9, 0.1], [0.1, 1], [0, 0.9]])
    found = neighbour_agreement(alike, PAIRS, k=1)
    assert found["overlap"] == 1 and found["overlap_by_chance"] == pytest.approx(1 / 3)
    assert found["tanimoto"]["embedding"] == found["tanimoto"]["ecfp4"] == pytest.approx(pairs)
    assert found["tanimoto"]["random"] == pytest.approx(tanimoto[np.triu_indices(4, 1)].mean())
    # Spearman: Pearson's of the ranks
    cosine = [a @ b / np.sqrt(a @ a * (b @ b)) for a, b in combinations(alike, 2)]
    ranks = pd.DataFrame({"cosine": cosine, "tanimoto": tanimoto[np.triu_indices(4, 1)]}).rank()
    assert found["spearman"] == pytest.approx(ranks["cosine"].corr(ranks["tanimoto"]))

    crossed = neighbour_agreement(alike[[0, 2, 1, 3]], PAIRS, k=1)
    assert crossed["overlap"] == 0 and crossed["spearman"] < 0
    assert crossed["tanimoto"]["embedding"] == pytest.approx((tanimoto[0, 2] + tanimoto[1, 3]) / 2)
    assert neighbour_agreement(alike, PAIRS, k=3)["overlap"] == 1


def test_molecules_compared_are_different_and_no_more_than_the_most(monkeypatch):
    twice, vectors = PAIRS * 2, np.random.default_rng(0).normal(size=(8, 3))
    assert neighbour_agreement(vectors, twice, k=1) == neighbour_agreement(vectors[:4], PAIRS, k=1)
    monkeypatch.setattr(neighbours, "MAX_COMPARED", 3)
    found = neighbour_agreement(vectors, twice, k=1)
    assert (found["molecules"], found["sampled_from"]) == (3, 4)
    with pytest.raises(ChemscaleError, match="1 to 2"):
        neighbour_agreement(vectors, twice, k=3)


def test_neighbours_are_written_beside_the_embeddings(record, tmp_path):
    (tmp_path / "own.smi").write_text("\n".join(PAIRS))
    arguments = ["embed", str(record), str(tmp_path / "own.smi"), "--out", str(tmp_path / "own.npy")]
    assert main([*arguments, "--neighbours", "2", "--pool", "last"]) == 0
    beside = json.loads((tmp_path / "own.neighbours.json").read_text())
    assert beside == {"pool": "last"} | neighbour_agreement(np.load(tmp_path / "own.npy"), PAIRS, 2)
