"""Molecules that come with RDKit, and those that an entry of geometries asks for."""

import pytest

from chemscale.errors import ChemscaleError
from chemscale.molecules.embedded import molecules_of, small_molecules


def test_small_molecules_are_neutral_small_and_distinct():
    smiles = small_molecules(6, 1000)
    assert len(smiles) == len(set(smiles)) == 91
    assert not any("." in s or "+" in s or "-]" in s or "Cl" in s for s in smiles)
    assert small_molecules(6, 5) == smiles[:5]


def test_too_few_molecules_of_a_size_are_an_error():
    entry = {"min_heavy_atoms": 4, "max_heavy_atoms": 4, "molecules": 900}
    with pytest.raises(ChemscaleError, match=r"larger\.molecules = 900: .* only \d+ of 4 to 4 heavy atoms"):
        molecules_of("larger", entry)
