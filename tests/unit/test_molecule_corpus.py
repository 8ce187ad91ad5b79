"""The token store: what goes in comes out, in an order every subset is a prefix of; what is refused is kept."""

import contextlib
import math
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import selfies
from rdkit import Chem, RDConfig

from chemscale.errors import ChemscaleError
from chemscale.files import fingerprint, read_json, sha256, write_json
from chemscale.molecules import integrity, shards, shuffle
from chemscale.molecules.corpus import encode, open_corpus
from chemscale.molecules.distinct import first_occurrences
from chemscale.molecules.selfies import canonical, translate
from chemscale.molecules.sources import fetch
from chemscale.molecules.tokenise import tokenise
from chemscale.molecules.vocabulary import BOS, DOT, EOS, PAD, SPECIAL, UNK, symbols_of, unigram_entropy

ALKANES = ["C" * n for n in range(1, 41)]
ENTRY = {
    "arm": "language",
    "source": "file",
    "format": "lines",
    "validation": 5,
    "test": 5,
    "seed": 0,
    "max_tokens": 64,
    "max_failure_share": 0.5,
}
STORED = ["tokens.npy", "offsets.npy", "vocabulary.json", "molecules.parquet", "failures.parquet", "corpus.json"]


def made(directory: Path, lines: list[str], workers: int = 1, **changes) -> dict:
    """Header of a store of `lines` in `directory`."""
    directory.mkdir(exist_ok=True)
    raw = directory / "own.smi"
    raw.write_text("".join(line + "\n" for line in lines))
    fetch("own", ENTRY | changes | {"path": str(raw)}, directory)
    return encode(directory, workers)


def test_tokens_spell_the_molecules_that_went_in(tiny_corpus):
    corpus = open_corpus(tiny_corpus)
    smiles = pd.read_parquet(tiny_corpus / "molecules.parquet")["smiles"]
    unknown = compared = 0
    for row, molecule in enumerate(smiles):
        tokens = corpus.tokens[corpus.offsets[row] : corpus.offsets[row + 1]]
        assert tokens[0] == BOS and tokens[-1] == EOS
        if UNK in tokens:
            unknown += 1
            continue
        assert canonical(symbols_of(tokens, corpus.vocabulary)) == molecule
        compared += 1
    assert compared > 350
    assert unknown <= sum(corpus.header["unknown"].values())


def test_ids_are_the_special_symbols_then_the_sorted_ones_of_training(tiny_corpus):
    corpus = open_corpus(tiny_corpus)
    assert corpus.vocabulary[:5] == ["[PAD]", "[BOS]", "[EOS]", "[UNK]", "."] == SPECIAL
    assert (PAD, BOS, EOS, UNK, DOT) == (0, 1, 2, 3, 4)
    assert corpus.vocabulary[5:] == sorted(corpus.vocabulary[5:])
    train = np.concatenate([corpus.tokens[corpus.offsets[r] : corpus.offsets[r + 1]] for r in corpus.rows("train")])
    assert set(np.unique(train)) | {PAD, UNK, DOT} == set(range(len(corpus.vocabulary)))
    assert UNK not in train and PAD not in corpus.tokens


def test_a_mixture_keeps_its_dot(tmp_path):
    made(tmp_path, [*ALKANES, "Cl.CN"], seed=1)
    corpus = open_corpus(tmp_path)
    row = list(pd.read_parquet(tmp_path / "molecules.parquet")["smiles"]).index("CN.Cl")
    tokens = corpus.tokens[corpus.offsets[row] : corpus.offsets[row + 1]]
    assert tokens[3] == DOT


def test_one_molecule_written_three_ways_is_one(tmp_path):
    header = made(tmp_path, [*ALKANES, "OCC", "C(O)C", "CCO"])
    assert (header["lines"], header["molecules"]["total"], header["duplicates"]) == (43, 41, 2)
    molecules = pd.read_parquet(tmp_path / "molecules.parquet")
    assert molecules["smiles"].is_unique
    assert set(molecules["smiles"]) == {*ALKANES, "CCO"}
    assert molecules.set_index("smiles").loc["CCO", "origin"] == "41"  # the line it was first met on


def test_enantiomers_are_two_molecules(tmp_path):
    header = made(tmp_path, [*ALKANES, "C[C@H](N)O", "C[C@@H](N)O"])
    assert header["molecules"]["total"] == 42


def test_splits_are_disjoint_whole_and_nested(tiny_corpus):
    corpus = open_corpus(tiny_corpus)
    rows = [corpus.rows(split) for split in ("train", "validation", "test")]
    assert [len(r) for r in rows[1:]] == [60, 60]
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(corpus.header["molecules"]["total"]))
    assert np.array_equal(corpus.rows("train", 100)[:30], corpus.rows("train", 30))
    assert corpus.rows("train", 7)[0] == 120


def test_another_seed_is_another_order_of_the_same_molecules(tmp_path):
    made(tmp_path / "a", ALKANES, seed=0)
    made(tmp_path / "b", ALKANES, seed=1)
    a, b = (list(pd.read_parquet(tmp_path / d / "molecules.parquet")["smiles"]) for d in "ab")
    assert a != b and sorted(a) == sorted(b)


def test_a_size_beyond_the_split_says_how_many_there_are(tiny_corpus):
    corpus = open_corpus(tiny_corpus)
    count = corpus.header["molecules"]["train"]
    assert len(corpus.rows("train", count)) == count
    with pytest.raises(ChemscaleError, match=f"{count + 1} molecules asked of split 'train', which holds {count}"):
        corpus.rows("train", count + 1)
    with pytest.raises(ChemscaleError, match="no split 'holdout'"):
        corpus.rows("holdout")


def test_the_same_bytes_whatever_the_number_of_processes(tmp_path, tiny_corpus, monkeypatch):
    lines = (tiny_corpus / "own.smi").read_text().splitlines() * 3  # duplicates across the shards
    made(tmp_path, lines, workers=1)
    before = {file: sha256(tmp_path / file) for file in STORED}
    monkeypatch.setattr(shards, "SHARD_LINES", 500)
    monkeypatch.setattr(shuffle, "BUCKET", 100)
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
    monkeypatch.setattr(shuffle, "BUCKET", 64)
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
    with pytest.raises(ChemscaleError, match="cannot be split"):
        made(tmp_path, ALKANES, validation=35)  # after its shards are made
    there = tmp_path / "shards" / "000000.arrow"
    before = there.stat().st_mtime_ns
    with pytest.raises(ChemscaleError, match="cannot be split"):
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


def test_the_first_of_equal_digests_wins_whatever_half_differs():
    digests = np.array([[5, 1], [2, 1], [5, 2], [5, 1], [2, 1], [1, 5], [5, 1]], np.uint64)
    assert first_occurrences(digests).tolist() == [0, 1, 2, 0, 1, 5, 0]
    assert first_occurrences(np.empty((0, 2), np.uint64)).tolist() == []


def test_every_refused_line_is_kept_with_its_reason(tmp_path):
    header = made(tmp_path, [*ALKANES, "C1CC", "", "C*", "C" * 70, "C(C)(C)(C)(C)C"], max_tokens=50)
    failures = pd.read_parquet(tmp_path / "failures.parquet")
    assert failures.values.tolist() == [
        [41, "C1CC", "unreadable SMILES"],
        [42, "", "empty"],
        [43, "C*", "not encodable in SELFIES"],
        [44, "C" * 70, "longer than 50 tokens"],
        [45, "C(C)(C)(C)(C)C", "unreadable SMILES"],
    ]
    assert header["failures"] == {
        "total": 5,
        "reasons": {
            "unreadable SMILES": 2,
            "empty": 1,
            "not encodable in SELFIES": 1,
            "longer than 50 tokens": 1,
        },
    }
    assert header["lines"] == header["molecules"]["total"] + header["duplicates"] + header["failures"]["total"]


def test_max_tokens_counts_the_first_and_the_last():
    assert translate(["CCC"], 5) == [("CCC", "[C][C][C]", None)]
    assert translate(["CCC"], 4) == [("CCC", "", "longer than 4 tokens")]


def test_what_breaks_the_encoder_is_refused_not_raised():
    # RDKit reads it, selfies 2.2 ends in a KeyError that is none of its own exceptions
    assert translate(["OC(:Br)CBr"], 64) == [("OC(:Br)CBr", "", "not encodable in SELFIES")]


def test_a_refused_record_does_not_shift_its_neighbours():
    found = translate(["OCC", "C1CC", "", "[Na+].[Cl-]"], 64)
    assert [row.smiles for row in found] == ["CCO", "C1CC", "", "[Cl-].[Na+]"]
    assert [row.selfies for row in found] == ["[C][C][O]", "", "", "[Cl-1].[Na+1]"]


def test_too_many_refused_lines_fail_the_step(tmp_path):
    with pytest.raises(ChemscaleError, match=r"own: 3 of 43 lines refused, more than max_failure_share 0.05") as error:
        made(tmp_path, [*ALKANES, "no", "not", "C*"], max_failure_share=0.05)
    assert "'unreadable SMILES': 2" in str(error.value) and str(tmp_path / "failures.parquet") in str(error.value)
    assert len(pd.read_parquet(tmp_path / "failures.parquet")) == 3
    assert not (tmp_path / "corpus.json").exists()


def test_splits_that_leave_nothing_are_an_error(tmp_path):
    with pytest.raises(ChemscaleError, match="40 distinct molecules cannot be split into test 5, validation 35"):
        made(tmp_path, ALKANES, validation=35)


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
    with pytest.raises(ChemscaleError, match=f"own.smi: gone; it had sha256 {right}"):
        encode(tmp_path)


def test_a_symbol_training_lacks_becomes_unknown_and_is_counted(tmp_path):
    splits = set()
    for seed in range(20):
        header = made(tmp_path, [*ALKANES[:10], "[Xe]"], seed=seed, validation=3, test=3)
        corpus = open_corpus(tmp_path)
        row = list(pd.read_parquet(tmp_path / "molecules.parquet")["smiles"]).index("[Xe]")
        split = next(name for name in ("train", "validation", "test") if row in corpus.rows(name))
        tokens = corpus.tokens[corpus.offsets[row] : corpus.offsets[row + 1]].tolist()
        if split == "train":
            assert corpus.vocabulary[tokens[1]] == "[Xe]" and header["unknown"] == {"test": 0, "validation": 0}
        else:
            assert tokens == [BOS, UNK, EOS]
            assert header["unknown"] == {"test": 0, "validation": 0} | {split: 1}
        splits.add(split)
    assert splits == {"train", "validation", "test"}


def test_header_counts_tokens_with_and_without_the_ends(tmp_path):
    header = made(tmp_path, ALKANES)  # 1 + … + 40 = 820 atoms, each a symbol
    assert header["tokens"] == {"stored": 900, "symbols": 820}
    assert header["tokens_per_molecule"] == {"stored": 22.5, "symbols": 20.5}
    assert header["molecules"] == {"total": 40, "test": 5, "validation": 5, "train": 30}


def test_unigram_entropy_is_the_loss_of_knowing_frequencies_only():
    train, other = np.array([0, 2, 6]), np.array([0, 1, 3])
    # with one added to each count of training: 1, 3, 7 of 11
    assert unigram_entropy(train, other) == pytest.approx(-(math.log(3 / 11) + 3 * math.log(7 / 11)) / 4)
    # in the limit of many tokens that of a fair coin
    assert unigram_entropy(np.array([10**9, 10**9]), np.array([5, 5])) == pytest.approx(math.log(2))


def test_the_zero_line_counts_predicted_tokens_only(tmp_path):
    made(tmp_path, ALKANES)
    corpus = open_corpus(tmp_path)
    carbon = {
        split: corpus.lengths(corpus.rows(split)).sum() - 2 * len(corpus.rows(split))
        for split in ("train", "validation")
    }
    # [PAD] [BOS] [EOS] [UNK] . [C]; [EOS] once a molecule, [BOS] never predicted
    train = np.array([1, 1, 31, 1, 1, carbon["train"] + 1])
    log_frequency = np.log(train / train.sum())
    expected = -(5 * log_frequency[EOS] + carbon["validation"] * log_frequency[5]) / (5 + carbon["validation"])
    assert corpus.header["unigram_entropy"] == pytest.approx(expected)


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
    for file, message in [("tokens.npy", "damaged or altered"), ("vocabulary.json", "another vocabulary than")]:
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
    with pytest.raises(ChemscaleError, match=r"made with selfies 1\.0\.4, but .* spelt differently now: encode"):
        open_corpus(tmp_path)


def test_another_vocabulary_is_refused_although_it_is_whole(tmp_path):
    made(tmp_path, ALKANES)
    other = [*SPECIAL, "[N]"]
    write_json(tmp_path / "vocabulary.json", {"symbols": other, "sha256": fingerprint(other)})
    with pytest.raises(ChemscaleError, match=r"vocabulary\.json: another vocabulary than the tokens were made with"):
        open_corpus(tmp_path)


def test_large_files_are_hashed_once_and_after_every_change(tmp_path, monkeypatch):
    hashed = []
    monkeypatch.setattr(integrity, "ALWAYS_HASHED", 500)  # bytes; offsets.npy has 456, tokens.npy 1928
    made(tmp_path, ALKANES)
    require = integrity.require_unaltered
    monkeypatch.setattr(
        integrity, "require_unaltered", lambda d, hashes: hashed.append(set(hashes)) or require(d, hashes)
    )
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
