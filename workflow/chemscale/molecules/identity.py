"""When two records are the same molecule: one rule, used wherever a SMILES is read.

A molecule is its canonical isomeric SMILES as RDKit writes it, without atom maps. So these make no difference: the
order of atoms, Kekulé or aromatic form, atom maps, explicit hydrogens, and how nitro groups and the like are drawn.
These do: isotopes, stereochemistry as far as it is given, formal charges, tautomers, and the components of a mixture.
Molecules that differ in isotopes, stereochemistry or charge alone are counted by chemscale.molecules.audit.
"""

import hashlib
import re
from functools import lru_cache

import numpy as np
from rdkit import Chem
from rdkit.Chem.MolStandardize.rdMolStandardize import Uncharger
from rdkit.rdBase import BlockLogs

DIGEST_BYTES = 16  # two of ten million different molecules share a digest with a probability of 1e-25
STEREO_OR_ISOTOPE = re.compile(r"[@/\\]|\[\d")
NITRO = re.compile(r"O=\[N\+\]\(\[O-\]\)|\[N\+\]\(=O\)\[O-\]")  # charges that every drawing of a neutral group has


def canonical_smiles(text: str, sdf: bool = False) -> tuple[str, str | None]:
    """Return the canonical SMILES of a SMILES, or of a record of an SDF; or an empty text and why there is none."""
    if not text:
        return "", "empty"
    with BlockLogs():
        if sdf:
            molecule = Chem.MolFromMolBlock(text)
            if molecule is None:
                return "", "unreadable SDF record"
            text = Chem.MolToSmiles(molecule)  # from here on treated like all SMILES
        molecule = Chem.MolFromSmiles(text)
        if molecule is None:
            return "", "unreadable SMILES"
        if ":" in text and any(atom.HasProp("molAtomMapNumber") for atom in molecule.GetAtoms()):
            for atom in molecule.GetAtoms():
                atom.SetAtomMapNum(0)
            molecule = Chem.MolFromSmiles(Chem.MolToSmiles(molecule))  # so that hydrogens that had maps are merged
        if not molecule.GetNumAtoms():
            return "", "no atoms"
        return Chem.MolToSmiles(molecule), None


@lru_cache(maxsize=1024)  # a file of geometries repeats the same names
def canonical_name(text: str) -> str:
    """Return the canonical SMILES of a SMILES; any other text as it is."""
    return canonical_smiles(text)[0] or text


def without_stereo(smiles: str) -> str:
    """Return a canonical SMILES without stereochemistry and isotopes."""
    if not STEREO_OR_ISOTOPE.search(smiles):
        return smiles
    return Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False)


def without_charge(smiles: str) -> str:
    """Return a canonical SMILES without its charges: protons are added or removed, other charges set to zero."""
    if "[" not in smiles or not re.search(r"[+-]\d*\]", NITRO.sub("", smiles)):
        return smiles
    with BlockLogs():
        molecule = Uncharger().uncharge(Chem.MolFromSmiles(smiles))
    for atom in molecule.GetAtoms():
        # a charge that a neighbour balances, as in a nitro group, belongs to the drawing and not to the molecule
        if not any(atom.GetFormalCharge() * other.GetFormalCharge() < 0 for other in atom.GetNeighbors()):
            atom.SetFormalCharge(0)
    return Chem.MolToSmiles(molecule)


def digest(content: bytes) -> bytes:
    """Return the 128-bit digest of `content`."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def first_occurrences(digests: np.ndarray) -> np.ndarray:
    """Return for each of `digests` (N, 2) uint64 the index (N,) int64 of the first one equal to it, maybe its own."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: equal ones keep their order
    new = np.ones(len(order), bool)  # where in `order` another digest begins
    new[1:] = (np.diff(digests[order], axis=0) != 0).any(1)
    first = np.empty(len(order), np.int64)
    first[order] = order[new][np.cumsum(new) - 1]
    return first
