"""Prefixes and scaffolds: how they are read, where they grow, and which cannot."""

import pytest
import selfies
from rdkit import Chem

from chemscale.errors import ChemscaleError
from chemscale.generation.prompts import growing, prefix_tokens, scaffold_kept
from chemscale.molecules.identity import canonical_smiles
from chemscale.molecules.vocabulary import SPECIAL

VOCABULARY = [*SPECIAL, "[Branch1]", "[C]", "[N]", "[O]", "[Ring1]", "[=C]", "[=Branch1]"]


def test_prefixes_are_selfies_if_all_in_brackets_and_smiles_otherwise():
    assert prefix_tokens("[O][C].[N]", None, VOCABULARY) == [8, 6, 4, 7]
    assert prefix_tokens(" [O] [C].[N]\n", None, VOCABULARY) == [8, 6, 4, 7]
    assert prefix_tokens("NCO", None, VOCABULARY) == [7, 6, 8]
    assert prefix_tokens(None, "OCN", VOCABULARY) == [7, 6, 8], "as canonical SMILES are spelt"
    benzene = [VOCABULARY[token] for token in prefix_tokens("c1ccccc1", None, VOCABULARY)]
    assert "".join(benzene) == "[C][=C][C][=C][C][=C][Ring1][=Branch1]"
    assert prefix_tokens(None, None, VOCABULARY) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[C][S][S][P]", r"\[S\], \[P\] not in the model's vocabulary; use only \[Branch1\], \[C\]"),
        ("CS", r"\[S\] not in the model's vocabulary"),
        ("[C][EOS]", r"\[EOS\] not in"),
        ("[Na+].[Cl-]", "last atom of .*Na.*, but this .* can take no further bond"),
        ("C1CC", "--prefix = 'C1CC': unreadable SMILES"),
        ("", "'': empty"),
    ],
)
def test_prefixes_the_model_cannot_read_are_named(text, message):
    with pytest.raises(ChemscaleError, match=message):
        prefix_tokens(text, None, VOCABULARY)


def grown(scaffold: str) -> str:
    """Canonical SMILES of a scaffold that goes on with a fluorine."""
    return canonical_smiles(selfies.decoder(growing(scaffold) + "[F]"))[0]


@pytest.mark.parametrize(
    ("scaffold", "expected"),
    [
        ("c1ccccc1", "Fc1ccccc1"),
        ("CC", "CCF"),
        ("*CC#N", "N#CCF"),
        ("[*:1]c1ccccc1O", "Oc1ccccc1F"),
        ("Oc1ccc(*)cc1", "Oc1ccc(F)cc1"),
        ("[2*]C1CCNCC1", "FC1CCNCC1"),
        ("*N1CCCCC1", "FN1CCCCC1"),
        ("C[C@H](*)N", "C[C@H](F)N"),
        ("[CH3:1][CH2:2]*", "CCF"),
        ("O=C(*)c1ccccc1", "O=C(F)c1ccccc1"),
        ("*n1cccc1", "Fn1cccc1"),
        ("*C(C)(C)C#N", "FC(C)(C)C#N"),
        ("*[N+](C)(C)C", "F[N+](C)(C)C"),
    ],
)
def test_a_scaffold_grows_at_its_end_or_at_the_mark(scaffold, expected):
    assert grown(scaffold) == Chem.CanonSmiles(expected)


@pytest.mark.parametrize("scaffold", ["CC#N", "CC=O", "C(=O)(N)C=O", "FC(F)F"])
def test_a_scaffold_whose_end_can_take_no_bond_is_refused(scaffold):
    with pytest.raises(ChemscaleError, match=r"can take no further bond; mark the atom to grow at with \*"):
        growing(scaffold)


@pytest.mark.parametrize("scaffold", ["*c1ccc(*)cc1", "*=CC", "*1CCCCC1"])
def test_one_mark_at_one_single_bond(scaffold):
    with pytest.raises(ChemscaleError, match="grow at one atom; mark exactly one atom with a singly bonded"):
        growing(scaffold)


def test_scaffold_kept_and_equal():
    smiles = ["c1ccccc1", "Cc1ccccc1O", "c1ccc(-c2ccccc2)cc1", "C1CCCCC1"]
    assert scaffold_kept(smiles, "c1ccccc1") == {"scaffold_kept": 3 / 4, "scaffold_equal": 2 / 4}
    assert scaffold_kept([], "c1ccccc1") == {"scaffold_kept": None, "scaffold_equal": None}
    for spelling in ("*c1ccccc1", "[cH:1]1ccccc1"):
        assert scaffold_kept(smiles, spelling) == scaffold_kept(smiles, "c1ccccc1")
