"""One molecule, one identity: whatever spells the same molecule is one, and what is near it is counted."""

import numpy as np
import pandas as pd
import pytest
from helpers.small_corpora import ALKANES, made
from rdkit import Chem

from chemscale.errors import ChemscaleError
from chemscale.files import read_json
from chemscale.molecules import shards
from chemscale.molecules.embedded import embedded_molecules
from chemscale.molecules.identity import (
    canonical_name,
    canonical_smiles,
    first_occurrences,
    without_charge,
    without_stereo,
)

SAME = {
    "CO": [
        "CO",
        "OC",
        "[CH3:1][OH:2]",
        "[CH3:2][OH:1]",
        "[CH3][OH]",
        "[H]OC([H])([H])[H]",
        "[H:3][O:2][CH3:1]",
        "[CH3:0][OH:0]",
    ],
    "O": ["O", "[OH2]", "[H:1][O:2][H:3]", "[H][O:7][H]"],
    "[2H]O[2H]": ["[2H]O[2H]", "[2H:1][O:2][2H:3]"],
    "c1ccccc1": ["c1ccccc1", "C1=CC=CC=C1", "[cH:1]1[cH:2][cH:3][cH:4][cH:5][cH:6]1", "C:1:C:C:C:C:C1"],
    "C[C@@H](N)O": ["C[C@H](O)N", "[CH3:1][C@H:2]([OH:3])[NH2:4]", "[H][C@@](C)(O)N"],
    "F/C=C/F": ["F/C=C/F", "F\\C=C\\F", "[F:1]/[CH:2]=[CH:3]/[F:4]", "[H:5]/[C:1]([F:3])=[C:2](/[H:6])[F:4]"],
    "O=[N+]([O-])c1ccccc1": ["O=N(=O)c1ccccc1", "[O-:3][N+:2](=[O:1])c1ccccc1"],
    "[Cl-].[Na+]": ["[Na+].[Cl-]", "[Na+:1].[Cl-:2]"],
}


@pytest.mark.parametrize("smiles", SAME)
def test_spellings_of_a_molecule_are_one(smiles):
    assert {canonical_smiles(text) for text in SAME[smiles]} == {(smiles, None)}


def test_isotopes_stereo_charge_and_tautomers_are_different_molecules():
    different = ["CO", "[13CH3]O", "C[C@H](O)N", "C[C@@H](O)N", "CC(O)N", "CC(=O)O", "CC(=O)[O-]", "CC=O", "C=CO"]
    assert len({canonical_smiles(text)[0] for text in different}) == len(different)


def test_what_is_no_molecule_says_why():
    assert canonical_smiles("") == ("", "empty")
    assert canonical_smiles("C1CC") == ("", "unreadable SMILES")
    assert canonical_smiles("nonsense", sdf=True) == ("", "unreadable SDF record")
    nothing = Chem.MolToMolBlock(Chem.MolFromSmiles(""))
    assert canonical_smiles(nothing, sdf=True) == ("", "no atoms")
    assert canonical_name("C(O)C") == "CCO" and canonical_name("CH4") == "CH4"


def test_molecules_without_atom_maps_are_as_rdkit_writes_them():
    for smiles, _ in list(embedded_molecules(["nci"]))[:500]:
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is not None and ":" not in smiles:
            assert canonical_smiles(smiles)[0] == Chem.MolToSmiles(molecule)


def test_random_spellings_with_maps_come_back(tiny_corpus):
    for smiles in pd.read_parquet(tiny_corpus / "molecules.parquet")["smiles"][:200]:
        molecule = Chem.MolFromSmiles(smiles)
        for number, atom in enumerate(molecule.GetAtoms(), 1):
            atom.SetAtomMapNum(number)
        for text in (Chem.MolToSmiles(molecule), Chem.MolToSmiles(molecule, doRandom=True)):
            assert canonical_smiles(text) == (smiles, None)


@pytest.mark.parametrize(
    ("smiles", "neutral"),
    [
        ("CC(=O)[O-]", "CC(=O)O"),
        ("C[NH3+]", "CN"),
        ("[NH3+]CC(=O)[O-]", "NCC(=O)O"),
        ("c1cc[n-]c1", "c1cc[nH]c1"),
        ("[Fe+3]", "[Fe]"),
        ("[NH3+]c1ccc([N+](=O)[O-])cc1", "Nc1ccc([N+](=O)[O-])cc1"),
        ("[O-][n+]1ccccc1", "[O-][n+]1ccccc1"),
    ],
)
def test_charges_are_taken_off_and_those_of_a_drawing_stay(smiles, neutral):
    assert without_charge(smiles) == neutral == without_charge(neutral)


def test_stereo_and_isotopes_are_taken_off():
    assert without_stereo("C[C@@H](N)O") == without_stereo("C[C@H](N)O") == "CC(N)O"
    assert without_stereo("F/C=C/F") == without_stereo("F/C=C\\F") == "FC=CF"
    assert without_stereo("[13CH3]O") == "CO" and without_stereo("[NH4+]") == "[NH4+]"


def test_atom_maps_defeat_no_duplicate(tmp_path):
    def mapped(smiles: str, first: int) -> str:
        molecule = Chem.MolFromSmiles(smiles)
        for number, atom in enumerate(molecule.GetAtoms(), first):
            atom.SetAtomMapNum(number)
        return Chem.MolToSmiles(molecule)

    lines = [text for smiles in ALKANES for text in (smiles, mapped(smiles, 1), mapped(smiles, 7))]
    header = made(tmp_path, lines)
    assert (header["molecules"]["total"], header["duplicates"]) == (40, 80)
    assert read_json(tmp_path / "vocabulary.json")["symbols"][5:] == ["[C]"]


def test_the_audit_counts_held_out_molecules_that_are_near_to_train(tmp_path):
    acids = [f"{chain}C(=O)O" for chain in ALKANES[:20]]
    chiral = [f"{chain}C[C@H](F)O" for chain in ALKANES[:20]]
    others = [f"{chain}C(=O)[O-]" for chain in ALKANES[:20]] + [f"{chain}C[C@@H](F)O" for chain in ALKANES[:20]]
    header = made(tmp_path, [*acids, *chiral, *others], test=20, validation=10)
    smiles = pd.read_parquet(tmp_path / "molecules.parquet")["smiles"].tolist()
    splits = {"test": smiles[:20], "validation": smiles[20:30]}
    train = smiles[30:]
    for split, held_out in splits.items():
        found = header["audit"][split]
        assert found["molecules"] == len(held_out) and found["in_train"] == len(set(held_out) & set(train)) == 0
        for reduce, name in ((without_stereo, "without_stereo"), (without_charge, "without_charge")):
            known = set(map(reduce, train))
            assert found[f"in_train_{name}"] == sum(reduce(text) in known for text in held_out) > 0
    assert header["audit"]["statement"].startswith("No molecule of test, validation is in train. Held-out")
    assert f"isotopes: test {header['audit']['test']['in_train_without_stereo']} of 20" in header["audit"]["statement"]


def test_the_audit_finds_a_leak(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "first_occurrences", lambda digests: np.arange(len(digests)))
    with pytest.raises(ChemscaleError, match="held-out molecules are in train too, such as C"):
        made(tmp_path, ALKANES * 3)
    assert not (tmp_path / "corpus.json").exists()


def test_the_first_of_equal_digests_wins_whatever_half_differs():
    digests = np.array([[5, 1], [2, 1], [5, 2], [5, 1], [2, 1], [1, 5], [5, 1]], np.uint64)
    assert first_occurrences(digests).tolist() == [0, 1, 2, 0, 1, 5, 0]
    assert first_occurrences(np.empty((0, 2), np.uint64)).tolist() == []
