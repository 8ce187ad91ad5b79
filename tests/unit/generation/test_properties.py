"""Properties of molecules and the distances of their distributions, against cases counted by hand."""

import pandas as pd
import pytest
from scipy.stats import wasserstein_distance

from chemscale.cli import main
from chemscale.generation.properties import distances, properties, reference
from chemscale.molecules.store import open_corpus


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


def test_properties_verb_writes_the_first_training_molecules_or_all(tiny_corpus, tmp_path):
    smiles = pd.read_parquet(tiny_corpus / "molecules.parquet")["smiles"]
    corpus = open_corpus(tiny_corpus)
    for asked, there in ((20, 20), (10_000, corpus.header["molecules"]["train"])):
        out = tmp_path / f"{asked}.parquet"
        assert main(["properties", str(tiny_corpus), "--molecules", str(asked), "--out", str(out)]) == 0
        assert pd.read_parquet(out)["smiles"].tolist() == smiles.iloc[corpus.rows("train", there)].tolist()
