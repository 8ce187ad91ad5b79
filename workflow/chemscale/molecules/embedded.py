"""Molecules that come with every installation, and those that the geometries of an entry are made of."""

import csv
from collections.abc import Iterator
from pathlib import Path

from rdkit import Chem, RDConfig
from rdkit.rdBase import BlockLogs

from chemscale.errors import ChemscaleError
from chemscale.molecules.identity import canonical_name
from chemscale.molecules.reading import layout_of, read_lines

# RDKit's own collections: tab-separated and comma-separated, neither with a header, SMILES first
FILES = {"nci": ("NCI/first_5K.smi", "\t"), "wehi": ("Pains/test_data/wehi_mols.csv", ",")}
ORGANIC = {1, 6, 7, 8}  # atomic numbers


def embedded_molecules(names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield SMILES and origin (`nci:17` is line 17) of every line of the `names` of `FILES`; some are unreadable."""
    for name in names:
        path, delimiter = FILES[name]
        with open(Path(RDConfig.RDDataDir) / path, newline="") as file:
            for row in (reader := csv.reader(file, delimiter=delimiter)):
                yield row[0] if row else "", f"{name}:{reader.line_num}"


def small_molecules(max_heavy_atoms: int, count: int, min_heavy_atoms: int = 1) -> list[str]:
    """Return the first `count` SMILES of neutral closed-shell CHNO molecules of these sizes in RDKit's NCI file.

    The components of a mixture count as molecules of their own.
    """
    found: dict[str, None] = {}  # a dict for its order
    with BlockLogs():
        for smiles, _ in embedded_molecules(["nci"]):
            mixture = Chem.MolFromSmiles(smiles)
            for molecule in Chem.GetMolFrags(mixture, asMols=True) if mixture else ():
                fits = min_heavy_atoms <= molecule.GetNumHeavyAtoms() <= max_heavy_atoms
                if fits and all(map(_is_plain, molecule.GetAtoms())):
                    found[Chem.MolToSmiles(molecule)] = None
    return list(found)[:count]


def molecules_of(name: str, entry: dict) -> tuple[list[str], str]:
    """Return the SMILES of a thermal entry's molecules, each once, and where they are from.

    They are those of the list `smiles`, of the file at `path` (lines, csv or parquet), or else `small_molecules`.
    Raises ChemscaleError if there are none, or fewer than requested.
    """
    if "smiles" in entry:
        given, source = entry["smiles"], "the entry's smiles"
    elif "path" in entry:
        path = Path(entry["path"]).expanduser()
        if not path.is_file():
            raise ChemscaleError(f"{name}.path = {entry['path']!r}: no such file ({path.absolute()}); correct the path")
        layout = layout_of(path, entry.get("format"), entry.get("column"))
        if layout.form == "sdf":
            raise ChemscaleError(f"{name}.path = {path}: SDF is not supported here; use a file of SMILES")
        given = [line.text for line in read_lines(path, layout) if line.text]
        source = path.name
    else:
        least, most = entry.get("min_heavy_atoms", 1), entry["max_heavy_atoms"]
        molecules = small_molecules(most, entry["molecules"], least)
        file = Path(FILES["nci"][0]).name
        if len(molecules) < entry["molecules"]:
            raise ChemscaleError(
                f"{name}.molecules = {entry['molecules']}: {file} has only {len(molecules)} of {least} to {most} heavy "
                "atoms; ask for fewer or raise max_heavy_atoms"
            )
        return molecules, f"RDKit's {file}"
    molecules = list(dict.fromkeys(map(canonical_name, given)))
    if not molecules:
        raise ChemscaleError(f"{name}: no molecules in {source}; use a file with at least one SMILES")
    return molecules[: entry.get("molecules")], source


def _is_plain(atom: Chem.Atom) -> bool:
    odd = atom.GetFormalCharge() or atom.GetNumRadicalElectrons() or atom.GetIsotope()
    return atom.GetAtomicNum() in ORGANIC and not odd
