"""Which column of a table holds the SMILES: the one that is named so, else the one whose values are molecules."""

from pathlib import Path

from chemscale.errors import ChemscaleError
from chemscale.molecules.encoding import readable

SAMPLE = 100  # rows that are looked at
SHOWN = 20  # columns a message lists


def named_column(path: Path, header: list[str], name: str) -> int:
    """Place of a column; raise ChemscaleError naming those there are if it is not one."""
    if name not in header:
        raise ChemscaleError(f"{path}: no column {name!r} in its header; right would be one of {_listed(header)}")
    return header.index(name)


def find_column(path: Path, header: list[str], rows: list[list[str]]) -> tuple[int, bool]:
    """Place of the column of SMILES, and whether the first row is a header.

    That column whose name has `smiles` in it, in whatever case, else that one most of whose first values are
    molecules; in the latter case a first row that is a molecule itself is no header. Raises ChemscaleError if there
    is none, or more than one.
    """
    named = [place for place, name in enumerate(header) if "smiles" in name.lower()]
    if not named:
        named = [place for place in range(len(header)) if _mostly_molecules(header, rows, place)]
        if len(named) == 1:
            return named[0], not readable(header[named[0]])
    if len(named) == 1:
        return named[0], True
    if not named:
        raise ChemscaleError(
            f"{path}: none of its columns is called smiles or holds molecules in most of its first {SAMPLE} rows; "
            f"name one with `column`: {_listed(header)}"
        )
    raise ChemscaleError(
        f"{path}: each of the columns {_listed([header[place] for place in named])} could be the SMILES; "
        "name one with `column`"
    )


def _mostly_molecules(header: list[str], rows: list[list[str]], place: int) -> bool:
    values = [row[place] for row in rows or [header] if place < len(row) and row[place].strip()]
    return bool(values) and sum(map(readable, values)) > len(values) / 2


def _listed(names: list[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name[:40] for name in names[:SHOWN]) + more
