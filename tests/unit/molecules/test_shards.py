"""Encoding in shards: the same store by any number of processes, after a kill, and by a plain loop."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import selfies
from helpers.small_corpora import ALKANES, ENTRY, made
from rdkit import Chem, RDConfig

from chemscale.data.sources import fetch
from chemscale.errors import ChemscaleError
from chemscale.files import sha256
from chemscale.molecules import corpus as corpus_module
from chemscale.molecules import shards
from chemscale.molecules.corpus import encode
from chemscale.molecules.encoding import tokenise
from chemscale.molecules.store import open_corpus
from chemscale.molecules.vocabulary import BOS, EOS, SPECIAL, UNK

STORED = ["tokens.npy", "offsets.npy", "vocabulary.json", "molecules.parquet", "failures.parquet", "corpus.json"]


def test_the_same_bytes_whatever_the_number_of_processes(tmp_path, tiny_corpus, monkeypatch):
    lines = (tiny_corpus / "own.smi").read_text().splitlines() * 3  # duplicates across the shards
    made(tmp_path, lines, workers=1)
    before = {file: sha256(tmp_path / file) for file in STORED}
    monkeypatch.setattr(shards, "SHARD_LINES", 500)
    monkeypatch.setattr(corpus_module, "ROW_GROUP", 100)
    assert encode(tmp_path, workers=2)["duplicates"] > 700
    # neither do the sizes of the parts show, but in how Parquet files are cut into groups of rows
    arrays = [file for file in STORED if not file.endswith(".parquet")]
    assert {file: sha256(tmp_path / file) for file in arrays} == {file: before[file] for file in arrays}
    monkeypatch.undo()
    encode(tmp_path, workers=2)
    assert {file: sha256(tmp_path / file) for file in STORED} == before


def test_the_store_is_what_a_plain_loop_makes(tmp_path, tiny_corpus, monkeypatch):
    lines = [*(tiny_corpus / "own.smi").read_text().splitlines(), "OCC", "no", "CCO", "[Na+].[Cl-]"]
    monkeypatch.setattr(shards, "SHARD_LINES", 70)
    monkeypatch.setattr(corpus_module, "ROW_GROUP", 64)
    made(tmp_path, lines, seed=4, validation=30, test=40)
    molecules = {}  # canonical SMILES to symbols, in the order of the file
    for line in lines:
        molecule = Chem.MolFromSmiles(line)
        if molecule is None:
            continue
        smiles = Chem.MolToSmiles(molecule)
        with contextlib.suppress(selfies.EncoderError):
            symbols = list(selfies.split_selfies(selfies.encoder(smiles)))
            if len(symbols) <= 62:
                molecules.setdefault(smiles, symbols)
    order = np.random.default_rng(4).permutation(len(molecules))
    stored = [list(molecules.items())[place] for place in order]
    vocabulary = SPECIAL + sorted({symbol for _, symbols in stored[70:] for symbol in symbols} - {"."})
    ids = {symbol: n for n, symbol in enumerate(vocabulary)}
    tokens = [[BOS, *(ids.get(symbol, UNK) for symbol in symbols), EOS] for _, symbols in stored]

    corpus = open_corpus(tmp_path)
    assert corpus.vocabulary == vocabulary
    assert corpus.tokens.tolist() == [token for molecule in tokens for token in molecule]
    assert corpus.offsets.tolist() == np.cumsum([0, *map(len, tokens)]).tolist()
    assert list(pd.read_parquet(tmp_path / "molecules.parquet")["smiles"]) == [smiles for smiles, _ in stored]


KILLED = """
import sys
from chemscale.molecules import corpus, shards
shards.SHARD_LINES = 250
if __name__ == "__main__":
    corpus.encode(sys.argv[1], workers=2)
"""


def test_after_a_kill_nothing_finished_is_done_again(tmp_path, monkeypatch):
    nci = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text().splitlines()
    monkeypatch.setattr(shards, "SHARD_LINES", 250)
    made(tmp_path / "whole", nci)
    fetch("own", ENTRY | {"path": str(tmp_path / "whole" / "own.smi")}, tmp_path / "killed")
    (tmp_path / "killed.py").write_text(KILLED)
    process = subprocess.Popen([sys.executable, str(tmp_path / "killed.py"), str(tmp_path / "killed")])
    there = tmp_path / "killed" / "shards"
    while len(list(there.glob("[0-9]*.arrow"))) < 4:
        assert process.poll() is None
        time.sleep(0.01)
    workers = [
        Path("/proc", pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(worker.exists() for worker in workers):
        assert time.monotonic() < deadline, "workers outlive the process they work for"
        time.sleep(0.05)
    finished = set(there.glob("[0-9]*.arrow"))
    assert 4 <= len(finished) < 20 and not (tmp_path / "killed" / "corpus.json").exists()

    made_now, translate_shard = set(), shards.translate_shard
    monkeypatch.setattr(
        shards, "translate_shard", lambda path, *rest: made_now.add(path) or translate_shard(path, *rest)
    )
    encode(tmp_path / "killed")
    assert len(made_now) == 20 - len(finished) and not made_now & finished
    assert not there.exists()
    for file in ("tokens.npy", "offsets.npy", "vocabulary.json", "molecules.parquet", "failures.parquet"):
        assert sha256(tmp_path / "killed" / file) == sha256(tmp_path / "whole" / file)


def test_shards_of_other_settings_are_not_taken(tmp_path, monkeypatch):
    with pytest.raises(ChemscaleError, match="too few for test"):
        made(tmp_path, ALKANES, validation=35)  # after its shards are made
    there = tmp_path / "shards" / "000000.arrow"
    before = there.stat().st_mtime_ns
    with pytest.raises(ChemscaleError, match="too few for test"):
        made(tmp_path, ALKANES, validation=36)
    assert there.stat().st_mtime_ns == before  # a split shows in no shard
    assert made(tmp_path, ALKANES, max_tokens=30)["failures"]["total"] == 12


def test_tokenise_is_split_selfies_for_many(tiny_corpus):
    smiles = ["[Na+].[Cl-]", "C", *pd.read_parquet(tiny_corpus / "molecules.parquet")["smiles"]]
    strings = [selfies.encoder(molecule) for molecule in smiles]
    ids, offsets, symbols = tokenise(strings)
    assert ids.dtype == np.uint16 and len(offsets) == len(strings) + 1
    for n, string in enumerate(strings):
        found = [symbols[token] for token in ids[offsets[n] : offsets[n + 1]]]
        assert found == list(selfies.split_selfies(string))
    assert symbols[:3] == ["[Na+1]", ".", "[Cl-1]"] and len(set(symbols)) == len(symbols)
    assert [len(part) for part in tokenise([])] == [0, 1, 0]
