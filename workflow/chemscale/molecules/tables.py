"""Delimited tables: their delimiter, their rows with strict quoting, and the column that holds the SMILES."""

import csv
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from chemscale.errors import ChemscaleError
from chemscale.molecules.encoding import readable

DELIMITERS = {",": ",", ";": ";", "|": "|", "tab": "\t", "space": " "}  # as an entry names them
DETECTED = ",;\t|"  # delimiters that are found without being named; of equal ones the first
PEEKED_RECORDS = 100  # records that are looked at to find out what a file holds
MAX_LISTED_COLUMNS = 20  # columns that a message lists


class Row(NamedTuple):
    """One row of a table."""

    line: int  # of the file, from 1, on which it begins
    values: list[str]


class Column(NamedTuple):
    """The column of SMILES."""

    place: int
    header: bool  # whether the first row names the columns


def find_delimiter(lines: list[str]) -> str:
    """Return the delimiter that splits most of the `lines` into as many values as the first; a comma if none does."""
    best, found = (0.0, 1), ","
    for delimiter in DETECTED:
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:  # a value that is too long: an error with its line when the rows are read
            continue
        agreement = (counts.count(counts[0]) / len(counts), counts[0]) if counts else best
        if agreement > best and counts[0] > 1:
            best, found = agreement, delimiter
    return found


def read_rows(path: object, lines: Iterable[str], delimiter: str, columns: int = 0, place: int = 0) -> Iterator[Row]:
    """Yield the rows of a table that are not empty.

    Quoted values may contain delimiters and line ends. Raises ChemscaleError that names the line if a quote is not
    closed, or is closed so late that whole rows are inside: if two lines of one row look like rows of `columns` values
    with a molecule at `place`, or if a row of several lines does not have `columns` values (0: not checked).
    """
    if delimiter == " ":
        yield from (Row(number, line.split()) for number, line in enumerate(lines, 1) if line.strip())
        return
    inside: list[str] = []  # lines of the present row

    def kept() -> Iterator[str]:
        for line in lines:
            inside.append(line)
            yield line

    reader = csv.reader(kept(), delimiter=delimiter, strict=True)
    while True:
        first = reader.line_num + 1
        inside.clear()
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise _unbalanced(path, first + _opening(inside, delimiter), str(error)) from None
        if values is None:
            return
        if columns and len(inside) > 1:
            alike = [n for n, line in enumerate(inside) if _is_row(line, delimiter, columns, place)]
            if len(alike) > 1 or len(values) != columns:
                opened = first + (alike[0] if alike else 0)
                raise _unbalanced(path, opened, f"it closes in line {reader.line_num:,}, with rows in between")
        if values:
            yield Row(first, values)


def named_column(path: object, header: list[str], name: str) -> int:
    """Return the index of a column; raise ChemscaleError that lists the columns there are if it is not one."""
    if name not in header:
        raise ChemscaleError(f"{path}: no column {name!r} in its header; use one of {_listed(header)}")
    return header.index(name)


def find_column(path: object, header: list[str], rows: list[list[str]]) -> Column:
    """Return the column of SMILES.

    It is the column whose name contains `smiles`, in any case, else the one most of whose first values are molecules;
    then a first row that is itself a molecule is no header. Raises ChemscaleError if there is none, or more than one.
    """
    named = [place for place, name in enumerate(header) if "smiles" in name.lower()]
    if not named:
        named = [place for place in range(len(header)) if _mostly_molecules(rows or [header], place)]
        if len(named) == 1:
            return Column(named[0], not readable(header[named[0]]))
    if len(named) == 1:
        return Column(named[0], True)
    if not named:
        raise ChemscaleError(
            f"{path}: no column is called smiles or holds molecules in most of its first {PEEKED_RECORDS} rows; "
            f"name it with `column`, one of {_listed(header)}; if these are not its columns, name the `delimiter`"
        )
    raise ChemscaleError(
        f"{path}: each of the columns {_listed([header[place] for place in named])} could be the SMILES; "
        "choose one with `column`"
    )


def find_word(rows: list[list[str]]) -> int | None:
    """Return the index of the first word that is a molecule in most `rows` of words; None if there is none."""
    longest = max(map(len, rows), default=0)
    return next((place for place in range(longest) if _mostly_molecules(rows, place)), None)


def _mostly_molecules(rows: list[list[str]], place: int) -> bool:
    values = [row[place] for row in rows if place < len(row) and row[place].strip()]
    return 2 * len(values) > len(rows) and sum(map(readable, values)) > len(values) / 2


def _is_row(line: str, delimiter: str, columns: int, place: int) -> bool:
    """Return whether a line by itself, quotes aside, is a row with a molecule."""
    values = line.rstrip("\r\n").split(delimiter)
    return len(values) == columns and readable(values[place].strip(' "'))


def _opening(lines: list[str], delimiter: str) -> int:
    """Return the index of the line in which a quote opens that is not closed as it should be."""
    text, end, mark = "".join(lines), 0, re.escape(delimiter)
    for complete in re.finditer(rf'(?:^|{mark})"(?:[^"]|"")*"(?={mark}|\s*$)', text):
        end = complete.end()
    opened = re.compile(rf'(?:^|{mark})"').search(text, end)
    return text.count("\n", 0, opened.end()) if opened else 0


def _unbalanced(path: object, line: int, why: str) -> ChemscaleError:
    return ChemscaleError(
        f'{path}, line {line:,}: a quote opens here that is not closed as it should be ({why}); write "" for a quote '
        "inside a quoted value, or remove the quote"
    )


def _listed(names: list[str]) -> str:
    more = f", and {len(names) - MAX_LISTED_COLUMNS} more" if len(names) > MAX_LISTED_COLUMNS else ""
    return ", ".join(name[:40] for name in names[:MAX_LISTED_COLUMNS]) + more
