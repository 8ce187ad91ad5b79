"""Records of text to molecules in SELFIES, and back."""

from typing import NamedTuple

import selfies
from rdkit import Chem
from rdkit.rdBase import BlockLogs


class Translated(NamedTuple):
    """What became of one record."""

    smiles: str  # canonical and isomeric; as it was read where it is refused
    selfies: str  # empty where it is refused
    reason: str | None  # why it is refused: a short text, the same for all of its kind


def translate(texts: list[str], max_tokens: int, sdf: bool = False) -> list[Translated]:
    """Canonical SMILES and SELFIES of SMILES strings, or of records of an SDF.

    SELFIES 2 (Krenn et al., Mach. Learn.: Sci. Technol. 1, 045024 (2020); Lo et al., Digital Discovery 2, 897 (2023)),
    with `.` between the parts of a mixture. `max_tokens` counts [BOS] and [EOS].
    """
    # stage after stage: molecule by molecule, RDKit and selfies drive each other out of the processor's caches, which
    # takes a fifth longer
    with BlockLogs():
        read = [_canonical_smiles(text, sdf) for text in texts]
    translated = []
    for text, (smiles, reason) in zip(texts, read, strict=True):
        encoded = ""
        if reason is None:
            encoded, reason = _selfies(smiles, max_tokens)
        translated.append(Translated(smiles if reason is None else text, encoded, reason))
    return translated


def readable(text: str, sdf: bool = False) -> bool:
    """Whether a text is the SMILES, or a record of an SDF, of at least one atom."""
    with BlockLogs():
        molecule = Chem.MolFromMolBlock(text) if sdf else Chem.MolFromSmiles(text.strip())
    return molecule is not None and molecule.GetNumAtoms() > 0


def canonical(symbols: list[str]) -> str:
    """Canonical SMILES of the molecule that SELFIES symbols spell; any order of known symbols spells one."""
    with BlockLogs():
        return Chem.CanonSmiles(selfies.decoder("".join(symbols)))


def _canonical_smiles(text: str, sdf: bool) -> tuple[str, str | None]:
    """Canonical SMILES, or why there is none."""
    if not text:
        return "", "empty"
    if sdf:
        molecule = Chem.MolFromMolBlock(text)
        if molecule is None:
            return "", "unreadable SDF record"
        text = Chem.MolToSmiles(molecule)  # from here on the way of all SMILES
    molecule = Chem.MolFromSmiles(text)
    if molecule is None:
        return "", "unreadable SMILES"
    return Chem.MolToSmiles(molecule), None


def _selfies(smiles: str, max_tokens: int) -> tuple[str, str | None]:
    """SELFIES, or why there are none."""
    try:
        encoded = selfies.encoder(smiles)
    # not only its own EncoderError: an aromatic bond to a halogen ends in KeyError, deep nesting in RecursionError
    except Exception:
        return "", "not encodable in SELFIES"
    if selfies.len_selfies(encoded) + 2 > max_tokens:
        return "", f"longer than {max_tokens} tokens"
    return encoded, None
