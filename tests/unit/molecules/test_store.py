"""Stores that are damaged, unfinished, mixed up or of another SELFIES are refused."""

from importlib.metadata import version

import pytest
from helpers.small_corpora import ALKANES, made

from chemscale.errors import ChemscaleError
from chemscale.files import fingerprint, read_json, sha256, write_json
from chemscale.molecules import store
from chemscale.molecules.corpus import encode
from chemscale.molecules.store import open_corpus
from chemscale.molecules.vocabulary import SPECIAL


def test_an_altered_raw_file_is_refused_with_both_hashes(tmp_path):
    made(tmp_path, ALKANES)
    right = read_json(tmp_path / "source.json")["sha256"]
    raw = tmp_path / "own.smi"
    raw.write_text(raw.read_text() + "CCO\n")
    with pytest.raises(ChemscaleError, match=f"sha256 {sha256(raw)} instead of {right}"):
        encode(tmp_path)
    # what was made of the old file is not left to be taken for what the new one gives
    assert not (tmp_path / "corpus.json").exists()
    raw.unlink()
    with pytest.raises(ChemscaleError, match=f"own.smi: no such file; its sha256 was {right}"):
        encode(tmp_path)


@pytest.mark.parametrize("file", ["tokens.npy", "offsets.npy"])
def test_a_truncated_array_is_refused(tmp_path, file):
    made(tmp_path, ALKANES)
    data = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(data[:-16])
    with pytest.raises(ChemscaleError, match=f"{file}: damaged or altered"):
        open_corpus(tmp_path)


def test_parts_of_different_stores_do_not_open_together(tmp_path):
    made(tmp_path / "a", ALKANES)
    made(tmp_path / "b", [*ALKANES, "CCO"])
    for file, message in [("tokens.npy", "damaged or altered"), ("vocabulary.json", "not the vocabulary")]:
        kept = (tmp_path / "a" / file).read_bytes()
        (tmp_path / "a" / file).write_bytes((tmp_path / "b" / file).read_bytes())
        with pytest.raises(ChemscaleError, match=message):
            open_corpus(tmp_path / "a")
        (tmp_path / "a" / file).write_bytes(kept)
    assert len(open_corpus(tmp_path / "a").rows("train")) == 30


def test_an_unfinished_store_is_refused(tmp_path):
    with pytest.raises(ChemscaleError, match=r"corpus\.json: no such file"):
        open_corpus(tmp_path)


def test_another_selfies_spells_differently(tmp_path):
    made(tmp_path, ALKANES)
    header = read_json(tmp_path / "corpus.json")
    major, minor, patch = version("selfies").split(".")
    write_json(tmp_path / "corpus.json", header | {"versions": {"selfies": f"{major}.{minor}.{int(patch) + 1}"}})
    assert open_corpus(tmp_path).header["versions"]["selfies"] != version("selfies")
    write_json(tmp_path / "corpus.json", header | {"versions": {"selfies": "1.0.4"}})
    with pytest.raises(ChemscaleError, match=r"made with selfies 1\.0\.4, but .* spell molecules differently; encode"):
        open_corpus(tmp_path)


def test_another_vocabulary_is_refused_although_it_is_whole(tmp_path):
    made(tmp_path, ALKANES)
    other = [*SPECIAL, "[N]"]
    write_json(tmp_path / "vocabulary.json", {"symbols": other, "sha256": fingerprint(other)})
    with pytest.raises(ChemscaleError, match=r"vocabulary\.json: not the vocabulary that the tokens were made with"):
        open_corpus(tmp_path)


def test_large_files_are_hashed_once_and_after_every_change(tmp_path, monkeypatch):
    hashed = []
    monkeypatch.setattr(store, "ALWAYS_HASHED", 500)  # bytes; offsets.npy has 456, tokens.npy 1928
    made(tmp_path, ALKANES)
    require = store.require_unaltered
    monkeypatch.setattr(store, "require_unaltered", lambda d, hashes: hashed.append(set(hashes)) or require(d, hashes))
    open_corpus(tmp_path)
    (tmp_path / "checked.json").unlink()
    open_corpus(tmp_path)
    open_corpus(tmp_path)
    small = {"offsets.npy", "vocabulary.json"}
    assert hashed == [small, {"tokens.npy"} | small, small]
    whole = (tmp_path / "tokens.npy").read_bytes()
    (tmp_path / "tokens.npy").write_bytes(whole[:-2] + b"xx")  # of the same size
    with pytest.raises(ChemscaleError, match=r"tokens\.npy: damaged or altered"):
        open_corpus(tmp_path)
    (tmp_path / "tokens.npy").write_bytes(whole)
    open_corpus(tmp_path)
    assert hashed[-1] == {"tokens.npy"} | small


def test_smiles_of_scattered_molecules_come_in_the_order_of_the_store(tiny_corpus):
    corpus = open_corpus(tiny_corpus)
    every = [text for part in corpus.smiles(corpus.rows("train")) for text in part.to_pylist()]
    first = corpus.rows("train")[0]
    rows = corpus.rows("train", 20, repetition=1)
    chosen = [text for part in corpus.smiles(rows) for text in part.to_pylist()]
    assert chosen == [every[row - first] for row in sorted(rows)]
    assert corpus.seen(rows, every) == set(chosen)
