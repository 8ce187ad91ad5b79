"""The token store: what goes in comes out, in an order every subset is a prefix of; what is refused is kept."""

import math

import numpy as np
import pandas as pd
import pytest
from helpers.small_corpora import ALKANES, made

from chemscale.errors import ChemscaleError
from chemscale.molecules.encoding import to_smiles, translate
from chemscale.molecules.store import open_corpus
from chemscale.molecules.vocabulary import BOS, DOT, EOS, PAD, SPECIAL, UNK, symbols_of, unigram_entropy


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
        assert to_smiles(symbols_of(tokens, corpus.vocabulary)) == molecule
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
    with pytest.raises(ChemscaleError, match=f"{count + 1} molecules requested from .*, which holds {count}"):
        corpus.rows("train", count + 1)
    with pytest.raises(ChemscaleError, match="no split 'holdout'"):
        corpus.rows("holdout")


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
    with pytest.raises(ChemscaleError, match=r"own.max_failure_share = 0.05: 3 of 43 lines were refused") as error:
        made(tmp_path, [*ALKANES, "no", "not", "C*"], max_failure_share=0.05)
    assert "2 × unreadable SMILES" in str(error.value) and str(tmp_path / "failures.parquet") in str(error.value)
    assert len(pd.read_parquet(tmp_path / "failures.parquet")) == 3
    assert not (tmp_path / "corpus.json").exists()


def test_splits_that_leave_nothing_are_an_error(tmp_path):
    with pytest.raises(ChemscaleError, match="40 distinct molecules are too few for test 5, validation 35"):
        made(tmp_path, ALKANES, validation=35)


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


def test_seen_looks_among_the_asked_rows_only(tiny_corpus):
    corpus = open_corpus(tiny_corpus)
    smiles = pd.read_parquet(tiny_corpus / "molecules.parquet")["smiles"]
    rows = corpus.rows("train", 50)
    inside, outside = smiles[rows[0]], smiles[rows[-1] + 1]
    asked = [inside, smiles[rows[-1]], outside, smiles[rows[0] - 1], "C[Xe]"]
    assert corpus.seen(rows, asked) == {inside, smiles[rows[-1]]}
    assert outside in corpus.seen(corpus.rows("train", 51), asked)
