"""Quality of molecules: definitions against cases counted by hand."""

import pandas as pd
import pytest
from scipy.stats import wasserstein_distance

from chemscale.cli import main
from chemscale.generation.quality import (
    MAX_COMPARED,
    distances,
    internal_diversity,
    properties,
    reference,
    scaffold_kept,
    shares,
)
from chemscale.molecules.store import open_corpus


def table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["smiles", "valid", "novel", "finished"]).astype(
        {"valid": bool, "novel": "boolean"}
    )


def test_shares_of_a_known_list():
    """Eight: five valid ones of three kinds, of which two are novel; one not ended; two that ended but are nothing."""
    rows = [("CCO", True, True, True)] * 3 + [("CCN", True, False, True), ("CCC", True, True, True)]
    rows += [("CCCC", False, None, False), (None, False, None, True), (None, False, None, True)]
    assert shares(table(rows)) == {
        "generated_molecules": 8,
        "generated_ended": 7 / 8,
        "generated_valid": 5 / 8,
        "generated_unique": 3 / 5,
        "generated_novel": 2 / 3,
    }


def test_novelty_is_unknown_without_a_corpus_and_all_without_molecules():
    assert shares(table([("CCO", True, None, True)]))["generated_novel"] is None
    nothing = shares(table([]))
    assert nothing.pop("generated_molecules") == 0 and set(nothing.values()) == {None}


def test_seen_looks_among_the_asked_rows_only(tiny_corpus):
    corpus = open_corpus(tiny_corpus)
    smiles = pd.read_parquet(tiny_corpus / "molecules.parquet")["smiles"]
    rows = corpus.rows("train", 50)
    inside, outside = smiles[rows[0]], smiles[rows[-1] + 1]
    asked = [inside, smiles[rows[-1]], outside, smiles[rows[0] - 1], "C[Xe]"]
    assert corpus.seen(rows, asked) == {inside, smiles[rows[-1]]}
    assert outside in corpus.seen(corpus.rows("train", 51), asked)


def test_diversity_counts_every_ordered_pair_and_each_molecule_with_itself():
    assert internal_diversity(["CCO"] * 4) == pytest.approx(0, abs=1e-6)
    # methane and water share no bit, so of nine pairs five are alike
    assert internal_diversity(["C", "C", "O"]) == pytest.approx(4 / 9, abs=1e-6)
    assert internal_diversity([]) is None
    assert internal_diversity(["C"] * MAX_COMPARED + ["O"] * 50) == pytest.approx(0, abs=1e-6), "only the first ones"


def test_properties_of_known_molecules():
    """Aspirin: weight 180.16 Da; QED 0.55 and SA 1.58 as RDKit has them, logP 1.31 after Crippen."""
    aspirin = properties(["CC(=O)Oc1ccccc1C(=O)O", "C", "C"])
    assert aspirin.columns.tolist() == ["smiles", "logp", "qed", "sa", "weight"]
    assert aspirin.iloc[0, 1:].tolist() == pytest.approx([1.3101, 0.5501, 1.58, 180.159], abs=0.005)
    assert aspirin["weight"].tolist()[1:] == pytest.approx([16.043, 16.043], abs=1e-3)
    assert len(properties([])) == 0


def values(numbers: list[float]) -> pd.DataFrame:
    return pd.DataFrame({name: numbers for name in ("logp", "qed", "sa", "weight")}, dtype=float)


def test_distances_of_shifted_values_and_their_floor():
    training = values([0, 1, 2, 3, 4, 5, 6, 7])
    found = distances(values([2, 3, 4, 5, 6, 7, 8, 9]), training)
    assert found["wasserstein_logp"] == pytest.approx(2)
    # as many as there are would leave no others, so the floor is that of the halves: 0 to 3 against 4 to 7
    assert found["wasserstein_logp_floor"] == pytest.approx(4)
    # of three molecules: the parts 0 to 2 and 3 to 5 against all others, the rest is left out
    three = distances(values([1, 1, 1]), training)
    parts = [wasserstein_distance([0, 1, 2], [3, 4, 5, 6, 7]), wasserstein_distance([3, 4, 5], [0, 1, 2, 6, 7])]
    assert three["wasserstein_sa_floor"] == pytest.approx(sum(parts) / 2)
    assert set(distances(values([]), training).values()) == {None}


def test_a_sample_of_the_training_set_comes_out_at_the_floor(tiny_corpus):
    corpus = open_corpus(tiny_corpus)
    training = reference(corpus, 250)
    found = distances(training.iloc[200:], training.iloc[:200].reset_index(drop=True))
    assert 0.3 < found["wasserstein_weight"] / found["wasserstein_weight_floor"] < 3


def test_scaffold_kept_and_equal():
    smiles = ["c1ccccc1", "Cc1ccccc1O", "c1ccc(-c2ccccc2)cc1", "C1CCCCC1"]
    assert scaffold_kept(smiles, "c1ccccc1") == {"scaffold_kept": 3 / 4, "scaffold_equal": 2 / 4}
    assert scaffold_kept([], "c1ccccc1") == {"scaffold_kept": None, "scaffold_equal": None}


def test_properties_verb_writes_the_first_training_molecules_or_all(tiny_corpus, tmp_path):
    smiles = pd.read_parquet(tiny_corpus / "molecules.parquet")["smiles"]
    corpus = open_corpus(tiny_corpus)
    for asked, there in ((20, 20), (10_000, corpus.header["molecules"]["train"])):
        out = tmp_path / f"{asked}.parquet"
        assert main(["properties", str(tiny_corpus), "--molecules", str(asked), "--out", str(out)]) == 0
        assert pd.read_parquet(out)["smiles"].tolist() == smiles.iloc[corpus.rows("train", there)].tolist()
