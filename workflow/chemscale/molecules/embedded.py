"""Molecules that are in every installation: the collections RDKit brings along."""

import csv
from collections.abc import Iterator
from pathlib import Path

from rdkit import RDConfig

# tab-separated and comma-separated, neither with a header, SMILES first
FILES = {"nci": ("NCI/first_5K.smi", "\t"), "wehi": ("Pains/test_data/wehi_mols.csv", ",")}


def embedded_molecules(names: list[str]) -> Iterator[tuple[str, str]]:
    """SMILES and origin (`nci:17` is line 17) of every line of the `names` of `FILES`; some SMILES are unreadable."""
    for name in names:
        path, delimiter = FILES[name]
        with open(Path(RDConfig.RDDataDir) / path, newline="") as file:
            for row in (reader := csv.reader(file, delimiter=delimiter)):
                yield row[0] if row else "", f"{name}:{reader.line_num}"
