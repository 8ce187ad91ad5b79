"""Molecules that RDKit's own distribution holds, and molecules recombined from their halves."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from chemscale.data.entries import MoleculeEntry, Source
from chemscale.files import atomic
from chemscale.typed import Count, OneOf, key

FILES = ("nci", "wehi")  # of 4,999 and 10,000 lines


class RdkitMolecules(MoleculeEntry):
    """Molecules of RDKit's distribution."""

    files: list[Annotated[str, OneOf(lambda: FILES)]] = key("files of RDKit's distribution: nci, wehi")


class RecombinedMolecules(RdkitMolecules):
    """New molecules from halves of RDKit's, cut at one BRICS bond: larger sizes without a network."""

    count: Count = key("molecules to make")


def _embedded(name: str, entry: RdkitMolecules, directory: Path) -> Path:
    from chemscale.molecules.embedded import embedded_molecules

    return _write(directory, embedded_molecules(entry.files))


def _recombined(name: str, entry: RecombinedMolecules, directory: Path) -> Path:
    from chemscale.molecules.embedded import embedded_molecules
    from chemscale.molecules.recombine import recombine

    return _write(directory, recombine(embedded_molecules(entry.files), entry.count, entry.seed))


def _write(directory: Path, molecules: Iterable[tuple[str, str]]) -> Path:
    """Write SMILES and origin of `molecules`, one per line."""
    path = directory / "molecules.smi"
    with atomic(path) as temporary, open(temporary, "w") as file:
        file.writelines(f"{smiles}\t{origin}\n" for smiles, origin in molecules)
    return path


RDKIT = Source("rdkit", {"language": RdkitMolecules}, _embedded)
RECOMBINED = Source("recombined", {"language": RecombinedMolecules}, _recombined)
