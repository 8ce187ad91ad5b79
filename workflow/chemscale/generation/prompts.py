"""Beginnings of generated molecules: a prefix or a scaffold, the atom at which it grows, and whether it was kept."""

import re

import selfies
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from chemscale.errors import ChemscaleError
from chemscale.generation.metrics import share
from chemscale.molecules.encoding import to_selfies
from chemscale.molecules.identity import canonical_smiles
from chemscale.molecules.vocabulary import DOT, SPECIAL

ONLY_SYMBOLS = re.compile(r"(\[[^\[\]]*\]|\.)+")
SPELLINGS = 1000  # random ones among which one is looked for that ends where a molecule is to grow


def prefix_tokens(prefix: str | None, scaffold: str | None, vocabulary: list[str]) -> list[int]:
    """Return the token ids that every molecule begins with: SELFIES as they are, SMILES as `growing` writes them.

    A `prefix` of symbols in brackets alone is SELFIES, with or without blanks between them, unless only SMILES spells
    them so, as [Na+].[Cl-]. A `scaffold` is always SMILES.
    """
    text, option = (scaffold, "--scaffold") if prefix is None else (prefix, "--prefix")
    if text is None:
        return []
    ids = {symbol: token for token, symbol in enumerate(vocabulary) if token >= DOT}
    symbols = "".join(text.split())
    encoded = symbols if prefix is not None and _is_selfies(symbols) else growing(text, option)
    unknown = dict.fromkeys(symbol for symbol in selfies.split_selfies(encoded) if symbol not in ids)
    if unknown:
        raise ChemscaleError(
            f"{option} = {text!r}: {', '.join(unknown)} not in the model's vocabulary; use only "
            f"{', '.join(vocabulary[len(SPECIAL) :])}"
        )
    return [ids[symbol] for symbol in selfies.split_selfies(encoded)]


def _is_selfies(text: str) -> bool:
    """Return whether a text of symbols in brackets is not one that SELFIES cannot spell and SMILES can."""
    if not ONLY_SYMBOLS.fullmatch(text):
        return False
    try:
        selfies.decoder(text)
    except selfies.DecoderError:
        return not canonical_smiles(text)[0]
    return True


def growing(smiles: str, option: str = "--scaffold") -> str:
    """Return SELFIES that end with the atom at which a molecule is to grow; `option` is what errors name.

    A decoder writes on at the end of what it is given. It is the atom that a `*` is bonded to; without one, the last
    atom of the canonical SMILES. Raises ChemscaleError if that atom can take no further bond.
    """
    molecule, mark = _marked(smiles, option)
    if mark is None:
        canonical, last = Chem.MolToSmiles(molecule), molecule.GetAtomWithIdx(molecule.GetNumAtoms() - 1)
        if not last.GetTotalNumHs():
            raise ChemscaleError(
                f"{option} = {smiles!r}: molecules grow from the last atom of {canonical}, but this {last.GetSymbol()} "
                "can take no further bond; mark the atom to grow at with *, as in *c1ccccc1"
            )
        found = to_selfies(canonical)
    else:
        spellings = Chem.MolToRandomSmilesVect(molecule, SPELLINGS, randomSeed=1)
        ending = {to_selfies(spelling[:-1] + "F") or "" for spelling in spellings if spelling.endswith("*")}
        ending = {encoded.removesuffix("[F]") for encoded in ending if encoded.endswith("[F]")}
        found = min(ending, key=lambda encoded: (len(encoded), encoded), default=None)
    if found is None:
        raise ChemscaleError(f"{option} = {smiles!r}: not encodable in SELFIES; use another molecule")
    return found


def scaffold_kept(smiles: list[str], scaffold: str) -> dict[str, float | None]:
    """Return the shares of `smiles` with `scaffold` as a substructure, and with it as their Murcko scaffold.

    Bemis, Murcko, J. Med. Chem. 39, 2887 (1996): all rings and their linkers. Compared without stereochemistry.
    """
    wanted, mark = _marked(scaffold)
    if mark is not None:
        mark.SetAtomicNum(1)
        wanted = Chem.RemoveHs(wanted)
    flat = Chem.MolToSmiles(wanted, isomericSmiles=False)
    molecules = [Chem.MolFromSmiles(text) for text in smiles]
    cores = [MurckoScaffold.GetScaffoldForMol(molecule) for molecule in molecules]
    equal = [Chem.MolToSmiles(core, isomericSmiles=False) == flat for core in cores]
    kept = sum(molecule.HasSubstructMatch(wanted) for molecule in molecules)
    return {
        "scaffold_kept": share(kept, len(molecules)).value,
        "scaffold_equal": share(sum(equal), len(molecules)).value,
    }


def _marked(smiles: str, option: str = "--scaffold") -> tuple[Chem.Mol, Chem.Atom | None]:
    """Return a molecule, its atoms in the order of its canonical SMILES, and the `*` that marks where it grows."""
    canonical, reason = canonical_smiles(smiles)
    if not canonical:
        raise ChemscaleError(f"{option} = {smiles!r}: {reason}; expected SMILES such as c1ccccc1")
    molecule = Chem.MolFromSmiles(canonical)
    marks = [atom for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 0]
    if len(marks) > 1 or any(atom.GetDegree() != 1 or atom.GetTotalValence() != 1 for atom in marks):
        raise ChemscaleError(
            f"{option} = {smiles!r}: molecules grow at one atom; mark exactly one atom with a singly bonded *"
        )
    for atom in marks:
        atom.SetIsotope(0)
    return molecule, marks[0] if marks else None
