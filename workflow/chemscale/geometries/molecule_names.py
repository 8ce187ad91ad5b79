"""Names of molecules that are SMILES: one name per molecule, with its charge and its unpaired electrons."""

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from rdkit import Chem

from chemscale.molecules.identity import canonical_smiles


class Named(NamedTuple):
    """A molecule by its name; a name that is not a SMILES has no atoms, charge or unpaired electrons."""

    name: str
    z: tuple[int, ...] | None = None  # atomic numbers, hydrogens included, rising
    charge: int = 0
    unpaired: int = 0


@lru_cache(maxsize=100_000)  # a file of geometries repeats the same names
def read_name(text: str) -> Named:
    """Return the molecule of a SMILES, by its canonical name; other texts as they are."""
    smiles, reason = canonical_smiles(text)
    if reason:  # as for hydrogen-bonded or hypervalent ions: at least the charges that are written
        signs = re.findall(r"\[\w+@*\w*([+-])(\d*)(?::\d+)?\]", text)
        return Named(text, charge=sum(int(f"{sign}{count or 1}") for sign, count in signs))
    molecule = Chem.MolFromSmiles(smiles)
    z = sorted(atom.GetAtomicNum() for atom in Chem.AddHs(molecule).GetAtoms())
    unpaired = sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
    return Named(smiles, tuple(z), Chem.GetFormalCharge(molecule), unpaired)


def name_structure(text: str, z: np.ndarray) -> Named:
    """Return the molecule that a file calls `text`, of structures with the atoms `z` (A,).

    A name is taken for a SMILES only if it has these atoms: CO may be the formula of carbon monoxide or methanol.
    """
    named = read_name(text)
    return named if named.z is None or list(named.z) == sorted(z.tolist()) else named._replace(name=text)
