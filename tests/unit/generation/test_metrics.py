"""Metrics of MOSES: definitions against cases counted by hand, intervals against repetition."""

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

from chemscale.generation.filters import UNWANTED, passes_filters
from chemscale.generation.metrics import (
    diversity,
    ecfp4,
    fragments,
    jackknifed,
    nearest_similarity,
    novel,
    scaffolds,
    share,
    similarity_of_counts,
    unique,
)


@pytest.fixture(scope="module")
def smiles(tiny_corpus) -> list[str]:
    return pd.read_parquet(tiny_corpus / "molecules.parquet")["smiles"].tolist()


def tanimoto(one: str, other: str) -> float:
    generator = GetMorganGenerator(radius=2, fpSize=1024)
    return DataStructs.TanimotoSimilarity(
        *(generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in (one, other))
    )


def test_shares():
    assert unique(["C", "C", "CC", "CCC"]).value == 3 / 4
    assert unique(["C", "C", "CC", "CCC"], first=2).value == 1 / 2 and unique(["C"], first=1000).value == 1
    assert novel(["C", "C", "CC", "CCC"], ["CC", "O"]).value == 2 / 3
    assert share(0, 0) == unique([]) == (None, None, None)


def test_the_interval_of_a_share_is_wilsons():
    n, p, z = 50, 0.9, 1.6448536
    centre, spread = (p + z**2 / (2 * n)), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = (centre + np.array([-spread, spread])) / (1 + z**2 / n)
    assert share(45, 50, 0.9)[1:] == pytest.approx(tuple(expected))
    assert share(50, 50)[2] == 1 and share(0, 50)[1] == 0


@pytest.mark.parametrize("power", [1, 2])
def test_diversity_takes_the_root_of_each_molecule_as_the_code_of_moses_does(smiles, power):
    chosen = [*smiles[:20], smiles[3]]
    similarity = np.array([[tanimoto(one, other) for one in chosen] for other in chosen])
    expected = 1 - ((similarity**power).mean(0) ** (1 / power)).mean()
    assert diversity(chosen, power).value == pytest.approx(expected, abs=1e-6)


def test_diversity_counts_every_ordered_pair_and_each_molecule_with_itself():
    assert diversity(["CCO"] * 4).value == pytest.approx(0, abs=1e-6)
    # methane and water share no bit, so of nine pairs five are alike
    assert diversity(["C", "C", "O"]).value == pytest.approx(4 / 9, abs=1e-6)
    assert diversity(["C"]).low is None and diversity([]).value is None


def test_snn_is_the_mean_over_molecules_of_the_largest_similarity(smiles):
    expected = np.mean([max(tanimoto(one, other) for other in smiles[50:80]) for one in smiles[:20]])
    found = nearest_similarity(smiles[:20], smiles[50:80])
    assert found.value == pytest.approx(expected, abs=1e-6) and found.low < found.value < found.high
    assert nearest_similarity(smiles[:5], smiles[:5]).value == pytest.approx(1)
    assert nearest_similarity([], smiles).value is nearest_similarity(smiles[:3], []).value is None


def test_frag_and_scaf_are_cosines_of_counts():
    assert sorted(fragments("CCOC")) == ["[3*]OC", "[4*]CC"]
    assert scaffolds("CCc1ccccc1") == [] and scaffolds("Cc1ccc(-c2ccccc2)cc1") == ["c1ccc(-c2ccccc2)cc1"]
    # a: 3, b: 1 against a: 1, c: 1
    assert similarity_of_counts(list, ["aab", "a"], ["ac"]).value == pytest.approx(3 / np.sqrt(10 * 2))
    assert similarity_of_counts(list, ["ab"], ["ba"]).value == pytest.approx(1)
    assert similarity_of_counts(list, ["ab"], ["c"]).value == 0
    assert similarity_of_counts(scaffolds, ["C"], ["CC"]).value is None
    assert similarity_of_counts(list, [], ["c"]).value is None


@pytest.mark.parametrize(
    ("statistic", "truth"), [(np.mean, 1), (lambda x: x.mean() ** 2 / (x**2).mean(), 0.5)], ids=["mean", "ratio"]
)
def test_intervals_hold_the_value_of_many_molecules_as_often_as_they_say(statistic, truth):
    random, held = np.random.default_rng(0), 0
    for _ in range(400):
        x = random.exponential(size=300)
        found = jackknifed(lambda kept, x=x: statistic(x[kept]), 300, 0.9)
        held += found.low <= truth <= found.high
    assert 0.84 < held / 400 < 0.94


def test_the_interval_of_diversity_is_the_spread_of_samples(smiles):
    random = np.random.default_rng(1)
    samples = [diversity(random.choice(smiles, 60, replace=False).tolist()) for _ in range(60)]
    spread = np.std([sample.value for sample in samples])
    half = np.mean([(sample.high - sample.low) / 2 for sample in samples]) / 1.73  # t of 19 degrees of freedom
    assert 0.7 < half / spread < 1.4


UNWANTED_EXAMPLES = {
    "acetal": "COCOC",
    "aldehyde": "CCC=O",
    "alkyl halide": "CCCl",
    "aminal": "CNCNC",
    "azide": "CN=[N+]=[N-]",
    "aziridine": "CC1CN1",
    "azo": "CN=NC",
    "disulfide": "CSSC",
    "epoxide": "CC1CO1",
    "halogenated heteroarene": "Clc1ccccn1",
    "hydrazine": "CNNC",
    "imine": "CC(C)=N",
    "isocyanate": "CN=C=O",
    "Michael acceptor, amide": "C=CC(=O)NC",
    "Michael acceptor, nitrile": "C=CC#N",
    "Michael acceptor, sulfone": "C=CS(=O)(=O)C",
    "3 bromine atoms": "BrC(Br)(Br)C",
    "4 chlorine atoms": "ClC(Cl)(Cl)CCCl",
    "7 fluorine atoms": "FC(F)(F)C(F)(F)C(F)F",
}


@pytest.mark.parametrize("name", UNWANTED_EXAMPLES)
def test_unwanted_groups_are_found(name):
    smiles = UNWANTED_EXAMPLES[name]
    pattern = Chem.MolFromSmarts(UNWANTED[name])
    assert Chem.AddHs(Chem.MolFromSmiles(smiles)).HasSubstructMatch(pattern) and not passes_filters(smiles)
    assert not Chem.AddHs(Chem.MolFromSmiles("CC(=O)Nc1ccc(O)cc1")).HasSubstructMatch(pattern)


@pytest.mark.parametrize(
    ("smiles", "passes"),
    [
        ("CC(=O)Nc1ccc(O)cc1", True),  # paracetamol
        ("C[NH3+]", False),
        ("C[Si](C)(C)C", False),
        ("C1CCCCCC1", True),
        ("C1CCCCCCC1", False),  # eight atoms
        ("O=C1C=CC(=O)C=C1", False),  # a quinone, of PAINS
    ],
)
def test_charges_elements_rings_and_pains(smiles, passes):
    assert passes_filters(smiles) == passes


def test_fingerprints_have_the_bits_asked_for():
    assert ecfp4(["CCO", "C"], 2048).shape == (2, 2048) and ecfp4([]).shape == (0, 1024)
