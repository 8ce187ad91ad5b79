"""One record of text to a molecule in SELFIES, and back."""

import selfies
from rdkit import Chem
from rdkit.rdBase import BlockLogs


class Refused(ValueError):
    """Why a line gives no molecule: a short reason, the same for all lines of its kind."""


def translate(text: str, max_tokens: int) -> tuple[str, str]:
    """Canonical isomeric SMILES of a SMILES string, and its SELFIES.

    SELFIES 2 (Krenn et al., Mach. Learn.: Sci. Technol. 1, 045024 (2020); Lo et al., Digital Discovery 2, 897 (2023)),
    with `.` between the parts of a mixture. `max_tokens` counts [BOS] and [EOS]. Raises Refused.
    """
    if not text:
        raise Refused("empty")
    with BlockLogs():
        molecule = Chem.MolFromSmiles(text)
    if molecule is None:
        raise Refused("unreadable SMILES")
    smiles = Chem.MolToSmiles(molecule)
    try:
        encoded = selfies.encoder(smiles)
    # not only its own EncoderError: an aromatic bond to a halogen ends in KeyError, deep nesting in RecursionError
    except Exception:
        raise Refused("not encodable in SELFIES") from None
    if selfies.len_selfies(encoded) + 2 > max_tokens:
        raise Refused(f"longer than {max_tokens} tokens")
    return smiles, encoded


def smiles_of_record(record: str) -> str:
    """SMILES of a record of an SDF; from there it goes the way of all SMILES. Raises Refused."""
    with BlockLogs():
        molecule = Chem.MolFromMolBlock(record)
    if molecule is None:
        raise Refused("unreadable SDF record")
    return Chem.MolToSmiles(molecule)


def readable(text: str) -> bool:
    """Whether a text is the SMILES of at least one atom."""
    with BlockLogs():
        molecule = Chem.MolFromSmiles(text.strip())
    return molecule is not None and molecule.GetNumAtoms() > 0


def canonical(symbols: list[str]) -> str:
    """Canonical SMILES of the molecule that SELFIES symbols spell; any order of known symbols spells one."""
    with BlockLogs():
        return Chem.CanonSmiles(selfies.decoder("".join(symbols)))
