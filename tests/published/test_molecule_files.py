"""Real files of molecules in their original formats, kept beside the checkout: what the ingest makes of them."""

import gzip
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest

from chemscale.data.sources import fetch
from chemscale.generation.filters import passes_filters
from chemscale.generation.metrics import diversity, fragments, similarity_of_counts
from chemscale.molecules.corpus import encode
from chemscale.molecules.reading import layout_of, read_lines
from chemscale.molecules.store import open_corpus
from chemscale.molecules.vocabulary import DOT

SMILES = Path(__file__).parents[3] / "shared" / "data" / "smiles"
pytestmark = pytest.mark.skipif(not SMILES.exists(), reason="the files are not at ../shared/data/smiles")
ENTRY = {
    "arm": "language",
    "source": "file",
    "validation": 500,
    "test": 500,
    "seed": 0,
    "max_tokens": 512,
    "max_failure_share": 0.01,
}


def made(path: Path, directory: Path) -> dict:
    fetch("own", ENTRY | {"path": str(path)}, directory)
    return encode(directory, workers=2)


def test_the_first_lines_of_pubchem_10m(tmp_path):
    header = made(SMILES / "pubchem-10m_first6000.txt", tmp_path)
    assert (header["lines"], header["molecules"]["total"], header["duplicates"]) == (6000, 5995, 0)
    assert header["failures"]["reasons"] == {"not encodable in SELFIES": 3, "longer than 512 tokens": 2}
    assert header["tokens"] == {"stored": 255_138, "symbols": 243_148}
    # the whole set is said to have 40.7 symbols a molecule
    assert header["tokens_per_molecule"]["symbols"] == pytest.approx(40.56, abs=0.005)
    assert header["vocabulary"]["size"] == 63


def test_the_validation_split_of_zinc_250k(tmp_path):
    header = made(SMILES / "zinc" / "valid.txt", tmp_path)
    assert (header["lines"], header["molecules"]["total"]) == (24_445, 24_445)
    assert header["failures"]["total"] == 0
    assert header["tokens"] == {"stored": 963_325, "symbols": 914_435}
    assert len(open_corpus(tmp_path).tokens) == 963_325


def test_the_test_split_of_moses_has_its_column_and_all_its_molecules(tmp_path):
    layout = layout_of(SMILES / "moses" / "test.csv.gz")
    assert (layout.form, layout.names[layout.column], layout.header) == ("csv", "SMILES", True)
    assert sum(1 for _ in read_lines(SMILES / "moses" / "test.csv.gz", layout)) == 176_074
    with gzip.open(SMILES / "moses" / "test.csv.gz", "rt") as file:
        (tmp_path / "some.csv").write_text("".join(islice(file, 5_001)))
    header = made(tmp_path / "some.csv", tmp_path / "store")
    assert (header["molecules"]["total"], header["failures"]["total"]) == (5_000, 0)


def test_moses_measures_its_own_test_split_as_published():
    """All molecules of the set pass the filters it was made by; IntDiv and IntDiv2 of its train split: 0.857, 0.851."""
    with gzip.open(SMILES / "moses" / "test.csv.gz", "rt") as file:
        smiles = file.read().split()[1::88]
    assert len(smiles) > 2_000 and all(map(passes_filters, smiles[:400]))
    assert diversity(smiles, 1).value == pytest.approx(0.857, abs=0.002)
    assert diversity(smiles, 2).value == pytest.approx(0.851, abs=0.002)
    assert similarity_of_counts(fragments, smiles[::2], smiles[1::2]).value > 0.99


@pytest.mark.parametrize(
    ("name", "lines", "dots"), [("pubchem_standin", 646_340, True), ("pubchem_standin_flat", 595_482, False)]
)
def test_the_zip_like_pubchem_10m_is_read_whole(tmp_path, name, lines, dots):
    path = SMILES / f"{name}.txt.zip"
    layout = layout_of(path)
    assert layout.form == "lines"
    assert sum(1 for _ in read_lines(path, layout)) == lines
    own = tmp_path / "own.smi"
    own.write_text("".join(f"{line.text} {line.number}\n" for line in islice(read_lines(path, layout), 5_000)))
    header = made(own, tmp_path / "store")
    # distinct upstream, and they stay so
    assert header["duplicates"] == 0 and header["failures"]["total"] < 25
    assert (DOT in open_corpus(tmp_path / "store").tokens) == dots
    assert pd.read_parquet(tmp_path / "store" / "molecules.parquet")["origin"].astype(int).max() <= 5_000
