"""Molecules out of text files, compressed or not, one line at a time."""

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from chemscale.errors import ChemscaleError


class Line(NamedTuple):
    """One molecule as the file has it."""

    number: int  # from 1
    smiles: str  # unchecked
    origin: str  # what the file says of it, else the number of its line


def read_lines(path: Path, form: str, column: str | None = None) -> Iterator[Line]:
    """The molecules of a file, which may be in .gz or .zip.

    `form` is `lines`, where the first word is the SMILES and what follows its origin, or `csv`, where `column` names
    the SMILES in the header. Raises ChemscaleError if the file is damaged or lacks the column.
    """
    if form not in ("lines", "csv"):
        raise ChemscaleError(f"{path}: format {form!r} is not known; right would be lines or csv")
    try:
        with _open(path) as file:
            yield from _csv(path, file, column) if form == "csv" else _words(file)
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, csv.Error) as error:
        raise ChemscaleError(f"{path}: damaged ({error}); remove it and fetch it again") from None


def _words(file: TextIO) -> Iterator[Line]:
    for number, line in enumerate(file, 1):
        smiles, origin = (*line.split(None, 1), "", "")[:2]
        yield Line(number, smiles, origin.strip() or str(number))


def _csv(path: Path, file: TextIO, column: str | None) -> Iterator[Line]:
    reader = csv.DictReader(file)
    if column not in (reader.fieldnames or []):
        there = ", ".join(reader.fieldnames or [])
        raise ChemscaleError(f"{path}: no column {column!r} in its header; `column` should be one of {there}")
    for row in reader:
        yield Line(reader.line_num, (row[column] or "").strip(), str(reader.line_num))


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            files = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
            if len(files) != 1:
                raise ChemscaleError(f"{path}: holds {len(files)} files where one is right: {', '.join(files[:5])}")
            with archive.open(files[0]) as binary:
                yield _text(binary)
    else:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as binary:
            yield _text(binary)


def _text(binary: io.BufferedIOBase) -> TextIO:
    # a byte that is no UTF-8 makes an unreadable SMILES, which is counted, instead of an end to everything
    return io.TextIOWrapper(binary, "utf-8-sig", errors="replace", newline="")
