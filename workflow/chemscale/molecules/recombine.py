"""Make new molecules from known ones: cut each once at a BRICS bond, and join two halves of different molecules."""

import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem import BRICS
from rdkit.rdBase import BlockLogs

from chemscale.errors import ChemscaleError
from chemscale.progress import progress

LOG = logging.getLogger(__name__)

ATTEMPTS_PER_MOLECULE = 20
DOUBLE_BOND = "7"  # the only environment at the end of a double bond; all others are at single bonds


class Half(NamedTuple):
    """One side of a cut bond."""

    environment: str  # BRICS's number of the type of atom at the cut
    smiles: str  # with `[*:1]` in place of the other side
    origin: str  # of the molecule it is a half of


def recombine(parents: Iterable[tuple[str, str]], count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield `count` distinct canonical SMILES that no parent (SMILES, origin) has, each with both origins, `a+b`.

    Two halves are joined where BRICS would cut (Degen et al., ChemMedChem 3, 1503 (2008), table 1). One cut and one
    join keep the distribution of sizes; RDKit's BRICSBuild works depth first, so that its first results share one core.
    Raises ChemscaleError if the parents do not yield as many.
    """
    halves, taken = _cut(parents)
    if not halves:
        raise ChemscaleError("recombined: no molecule has a bond that BRICS cuts; use other `files`")
    partners = _partners(halves)
    generator = np.random.default_rng(seed)
    made = attempts = 0
    with progress(count, "recombine", "molecules") as tick:
        while made < count:
            if attempts == ATTEMPTS_PER_MOLECULE * count:
                raise ChemscaleError(
                    f"recombined.count = {count:,}: only {made:,} new molecules found in {attempts:,} attempts; "
                    "lower `count` or name more `files`"
                )
            attempts += 1
            one = halves[generator.integers(len(halves))]
            fitting = partners[one.environment]
            other = halves[fitting[generator.integers(len(fitting))]]
            smiles = _join(one.smiles, other.smiles)
            if smiles is None or smiles in taken:
                continue
            taken.add(smiles)
            made += 1
            tick()
            yield smiles, f"{one.origin}+{other.origin}"


def _cut(parents: Iterable[tuple[str, str]]) -> tuple[list[Half], set[str]]:
    """Return all halves of all parents, and the parents' canonical SMILES."""
    halves: list[Half] = []
    known: set[str] = set()
    for smiles, origin in parents:
        with BlockLogs():
            molecule = Chem.MolFromSmiles(smiles)
        if molecule is None:
            continue
        known.add(Chem.MolToSmiles(molecule))
        if "." not in smiles:
            halves += _halves(molecule, origin)
    LOG.info(f"recombine: {len(halves):,} halves of {len(known):,} molecules")
    return halves, known


def _halves(molecule: Chem.Mol, origin: str) -> Iterator[Half]:
    for bond in BRICS.FindBRICSBonds(molecule):
        if DOUBLE_BOND in bond[1]:
            continue
        for piece in Chem.GetMolFrags(BRICS.BreakBRICSBonds(molecule, [bond]), asMols=True):
            # RDKit leaves a dummy atom whose isotope is the environment of the atom it sits on
            end = next(atom for atom in piece.GetAtoms() if atom.GetAtomicNum() == 0 and atom.GetIsotope())
            environment = str(end.GetIsotope())
            end.SetIsotope(0)
            end.SetAtomMapNum(1)
            yield Half(environment, Chem.MolToSmiles(piece), origin)


def _partners(halves: list[Half]) -> dict[str, np.ndarray]:
    """Return for each environment the indices of the halves that may be joined to it."""
    pairs = {pair for rules in BRICS.reactionDefs for one, other, _ in rules for pair in ((one, other), (other, one))}
    environments = np.array([half.environment for half in halves])
    return {
        one: np.flatnonzero([(one, other) in pairs for other in environments])
        for one in np.unique(environments).tolist()
    }


def _join(one: str, other: str) -> str | None:
    """Return the canonical SMILES of two joined halves; None if they make no molecule."""
    with BlockLogs():
        joined = Chem.molzip(Chem.MolFromSmiles(f"{one}.{other}"))
        # written and read once more, as a reader of the file would do
        molecule = Chem.MolFromSmiles(Chem.MolToSmiles(joined))
    return None if molecule is None else Chem.MolToSmiles(molecule)
