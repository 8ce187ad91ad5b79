"""The structural filters of MOSES: molecules that a medicinal chemist would not want to follow up."""

import csv
from functools import cache
from pathlib import Path

from rdkit import Chem, RDConfig
from rdkit.rdBase import BlockLogs

ELEMENTS = {"H", "C", "N", "O", "F", "S", "Cl", "Br"}
MAX_RING = 7  # atoms
# Polykovskiy et al., Front. Pharmacol. 11, 565644 (2020); matched with explicit hydrogens
UNWANTED = {
    "acetal": "[#8]-!@[#6;!H0]-!@[#8]",
    "aldehyde": "[#6;!H0]=[#8]",
    "alkyl halide": "[F,Cl,Br,I][C]([#6])([H])[H]",
    "aminal": "[#7]-!@[#6;!H0;!H1]-!@[#7]",
    "aniline": "[H][#7]([H])-[#6]-1=[#6]-[#6]=[#6]-[#6]=[#6]-1",
    "azide": "[#7]~!@[#7]~!@[#7]",
    "aziridine": "[#6]-1-[#6]-[#7]-1",
    "azo": "[#7]=!@[#7]",
    "disulfide": "[#16]~[#16]",
    "epoxide": "[#6]-1-[#6]-[#8]-1",
    "furan": "[#8]-1-[#6]([H])=[#6]([H])-[#6]=[#6]-1-*",
    "halogenated heteroarene": "[Cl,Br,I]-c(:*):[!#1;!#6]:*",
    "hydrazine": "[#6]~!@[#7]~!@[#7]~!@[#6]",
    "imine": "[#7;!H0]=!@[#6]-!@[#6,#7,#8,#16]",
    "isocyanate": "[#6]-[#7]=[#6]=[#8]",
    "Michael acceptor, amide": "[#7]-!@[#6](=[#8])-!@[#6;!H0]=!@[#6]",
    "Michael acceptor, nitrile": "[#7]#[#6]-[#6]=!@[#6]",
    "Michael acceptor, sulfone": "[#6]=!@[#6]-[#16](=[#8])=[#8]",
    "thiophene": "[#16]-1-[#6]([H])=[#6]([H])-[#6]=[#6]-1-*",
    "3 bromine atoms": ".".join(["[Br]"] * 3),
    "4 chlorine atoms": ".".join(["[Cl]"] * 4),
    "7 fluorine atoms": ".".join(["[F]"] * 7),
}


def passes_filters(smiles: str) -> bool:
    """Return whether a molecule passes the filters of MOSES.

    It has no charged atoms, no elements but ELEMENTS, no rings of more than MAX_RING atoms, none of the UNWANTED groups
    and no group of PAINS (Baell, Holloway, J. Med. Chem. 53, 2719 (2010)).
    """
    molecule = Chem.MolFromSmiles(smiles)
    if any(atom.GetFormalCharge() or atom.GetSymbol() not in ELEMENTS for atom in molecule.GetAtoms()):
        return False
    if any(len(ring) > MAX_RING for ring in molecule.GetRingInfo().AtomRings()):
        return False
    molecule = Chem.AddHs(molecule)
    return not any(molecule.HasSubstructMatch(group) for group in _groups())


@cache
def _groups() -> list[Chem.Mol]:
    """Return the groups of UNWANTED and of PAINS, whose SMARTS come with RDKit."""
    with open(Path(RDConfig.RDDataDir) / "Pains" / "wehi_pains.csv", newline="") as file, BlockLogs():
        return [Chem.MolFromSmarts(smarts) for smarts in [*UNWANTED.values(), *(row[0] for row in csv.reader(file))]]
