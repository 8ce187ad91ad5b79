"""One line of text to a molecule in SELFIES symbols, and back."""

import selfies
from rdkit import Chem
from rdkit.rdBase import BlockLogs


class Refused(ValueError):
    """Why a line gives no molecule: a short reason, the same for all lines of its kind."""


def translate(text: str, max_tokens: int) -> tuple[str, list[str]]:
    """Canonical isomeric SMILES of a SMILES string, and its SELFIES symbols, one a token.

    Symbols are those of SELFIES 2 (Krenn et al., Mach. Learn.: Sci. Technol. 1, 045024 (2020); Lo et al., Digital
    Discovery 2, 897 (2023)), with `.` between the parts of a mixture. `max_tokens` counts [BOS] and [EOS].
    Raises Refused.
    """
    if not text:
        raise Refused("empty")
    with BlockLogs():
        molecule = Chem.MolFromSmiles(text)
    if molecule is None:
        raise Refused("unreadable SMILES")
    smiles = Chem.MolToSmiles(molecule)
    try:
        symbols = list(selfies.split_selfies(selfies.encoder(smiles)))
    # not only its own EncoderError: an aromatic bond to a halogen ends in KeyError, deep nesting in RecursionError
    except Exception:
        raise Refused("not encodable in SELFIES") from None
    if len(symbols) + 2 > max_tokens:
        raise Refused(f"longer than {max_tokens} tokens")
    return smiles, symbols


def canonical(symbols: list[str]) -> str:
    """Canonical SMILES of the molecule that SELFIES symbols spell; any order of known symbols spells one."""
    with BlockLogs():
        return Chem.CanonSmiles(selfies.decoder("".join(symbols)))
