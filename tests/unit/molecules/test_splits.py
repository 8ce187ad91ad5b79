"""Splits that come with the file: kept as they are, and never mixed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chemscale.data.sources import fetch
from chemscale.errors import ChemscaleError
from chemscale.molecules.corpus import encode
from chemscale.molecules.store import open_corpus

ENTRY = {
    "arm": "language",
    "source": "file",
    "split_column": "SPLIT",
    "splits": {"train": "train", "test": "test", "scaffold": "test_scaffolds"},
    "validation": 6,
    "test": 9,
    "seed": 0,
    "max_tokens": 64,
    "max_failure_share": 0.1,
}
TRAIN = ["C" * n for n in range(1, 31)]
TEST = ["C" * n + "N" for n in range(1, 6)]
SCAFFOLD = ["C" * n + "O" for n in range(2, 6)]


def moses(*further: tuple[str, str]) -> list[tuple[str, str]]:
    """Rows as in MOSES, the splits mixed."""
    rows = [(s, "train") for s in TRAIN] + [(s, "test") for s in TEST] + [(s, "test_scaffolds") for s in SCAFFOLD]
    return [rows[n] for n in np.random.default_rng(1).permutation(len(rows))] + list(further)


def made(directory: Path, rows: list[tuple[str, str]], **changes) -> dict:
    """Header of a store of `rows`, SMILES and split."""
    raw = directory / "moses.csv"
    raw.write_text("SMILES,SPLIT\n" + "".join(f"{smiles},{split}\n" for smiles, split in rows))
    fetch("moses", ENTRY | changes | {"path": str(raw)}, directory)
    return encode(directory)


def stored(directory: Path, split: str) -> list[str]:
    smiles = pd.read_parquet(directory / "molecules.parquet")["smiles"]
    return smiles.iloc[open_corpus(directory).rows(split)].tolist()


def test_the_splits_of_the_file_are_kept_and_validation_is_drawn_from_train(tmp_path):
    header = made(tmp_path, moses())
    assert header["splits"] == ["test", "scaffold", "validation", "train"]
    assert header["molecules"] == {"total": 39, "test": 5, "scaffold": 4, "validation": 6, "train": 24}
    assert set(header["unknown"]) == {"test", "scaffold", "validation"}
    corpus = open_corpus(tmp_path)
    assert corpus.final_splits == ("test", "scaffold")
    assert sorted(stored(tmp_path, "test")) == sorted(TEST)
    assert sorted(stored(tmp_path, "scaffold")) == sorted(SCAFFOLD)
    validation, train = stored(tmp_path, "validation"), stored(tmp_path, "train")
    assert len(validation) == 6 and sorted(validation + train) == sorted(TRAIN)
    rows = np.concatenate([corpus.rows(split) for split in corpus.header["splits"]])
    assert np.array_equal(rows, np.arange(39))
    # all symbols of training are known, O and N are not among them
    assert corpus.vocabulary[5:] == ["[C]"] and header["unknown"] == {"test": 5, "scaffold": 4, "validation": 0}


def test_the_seed_draws_validation_and_the_order_and_nothing_else(tmp_path):
    drawn = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        made(tmp_path / str(seed), moses(), seed=seed)
        drawn.append({split: stored(tmp_path / str(seed), split) for split in ("test", "validation", "train")})
    assert set(drawn[0]["validation"]) != set(drawn[1]["validation"])
    assert drawn[0]["train"] != drawn[1]["train"]
    assert set(drawn[0]["test"]) == set(drawn[1]["test"])


def test_a_sample_of_each_test_split_is_kept_where_the_entry_says_so(tmp_path):
    (tmp_path / "all").mkdir()
    made(tmp_path / "all", moses(("CCN", "test")))
    (tmp_path / "some").mkdir()
    header = made(tmp_path / "some", moses(("CCN", "test")), test_each=2, test=4)
    assert header["molecules"] == {"total": 34, "test": 2, "scaffold": 2, "validation": 6, "train": 24}
    assert (header["duplicates"], header["left_out"], header["lines"]) == (1, 5, 40)
    for split in ("validation", "train"):  # drawn as before
        assert stored(tmp_path / "some", split) == stored(tmp_path / "all", split)
    for split in ("test", "scaffold"):
        assert set(stored(tmp_path / "some", split)) < set(stored(tmp_path / "all", split))


def test_a_validation_split_of_the_file_is_kept_too(tmp_path):
    splits = {"train": "train", "validation": "test_scaffolds", "test": "test"}
    header = made(tmp_path, moses(), splits=splits)
    assert header["molecules"] == {"total": 39, "test": 5, "validation": 4, "train": 30}
    assert sorted(stored(tmp_path, "validation")) == sorted(SCAFFOLD)
    assert open_corpus(tmp_path).final_splits == ("test",)


def test_a_test_molecule_inside_train_is_an_error_that_shows_it(tmp_path):
    # the same molecule written otherwise
    rows = [*moses(("NC", "train"), ("OCC", "train"))]
    line = rows.index(("CN", "test")) + 2
    with pytest.raises(ChemscaleError, match="moses: 2 lines hold a molecule that is also in another split") as error:
        made(tmp_path, rows)
    assert f"CN (line {line} test, line 41 train)" in str(error.value)
    assert "CCO (line " in str(error.value) and "a validation or test molecule would be in train" in str(error.value)
    assert not (tmp_path / "corpus.json").exists()


def test_duplicates_within_a_split_are_counted(tmp_path):
    header = made(tmp_path, moses(("CCN", "test"), ("CCC", "train")))
    assert header["duplicates"] == 2 and header["molecules"]["total"] == 39


def test_a_word_the_entry_does_not_know_is_an_error(tmp_path):
    with pytest.raises(
        ChemscaleError, match=r"line 41: split 'valid' is not among .* names test, test_scaffolds, train"
    ):
        made(tmp_path, moses(("CS", "valid")))


def test_splits_that_leave_nothing_to_train_on_are_an_error(tmp_path):
    with pytest.raises(ChemscaleError, match="39 distinct molecules are too few for test 9, scaffold 4, validation"):
        made(tmp_path, moses(), validation=30)
