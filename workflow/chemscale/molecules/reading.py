"""Molecules out of files of every usual form, compressed or not, one record at a time."""

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from chemscale.errors import ChemscaleError
from chemscale.molecules.columns import SAMPLE, find_column, named_column

FORMS = {".smi": "lines", ".txt": "lines", ".csv": "csv", ".parquet": "parquet", ".sdf": "sdf"}
ROWS = 10_000  # of a Parquet file in memory at a time


class Line(NamedTuple):
    """One molecule as the file has it."""

    number: int  # from 1: of the line it begins on; in Parquet and SDF, of the record
    text: str  # SMILES, unchecked; the whole record of an SDF
    origin: str  # what the file says of it, else the number
    split: str = ""  # the file's own word for it, where a column of splits was named


class Layout(NamedTuple):
    """How to read a file."""

    form: str  # lines, csv, parquet or sdf
    column: int | None = None  # place of the SMILES in a row, from 0
    split_column: int | None = None
    header: bool = True  # whether the first row of a csv names the columns
    names: tuple[str, ...] = ()  # of the columns


def layout_of(
    path: Path, form: str | None = None, column: str | None = None, split_column: str | None = None
) -> Layout:
    """How to read `path`: `form` by its suffix and `column` by its name or content where they are not given.

    .gz and .zip are looked into: the suffix below .gz, that of the one file in .zip decides. A csv whose column was
    found by content and begins with a molecule has no header, and its first row is a molecule like the others.
    Raises ChemscaleError where the file does not tell, or lacks a column that was named.
    """
    with _damage_named(path), _open(path) as (file, name):
        form = form or FORMS.get(PurePath(name).suffix.lower())
        if form not in FORMS.values():
            raise ChemscaleError(
                f"{path}: what its form is, the name {name!r} does not tell; right would be one of {', '.join(FORMS)}, "
                f"also in .gz or .zip, or `format`: one of {', '.join(dict.fromkeys(FORMS.values()))}"
            )
        if form in ("lines", "sdf"):
            if column or split_column:
                raise ChemscaleError(
                    f"{path}: read as {form}, which has no columns; leave `column` and `split_column` out, "
                    "or give `format: csv` or `parquet`"
                )
            return Layout(form)
        header, rows = _peek(file, form)
        if not header:
            raise ChemscaleError(f"{path}: empty; one row a molecule is right")
        place, has_header = (named_column(path, header, column), True) if column else find_column(path, header, rows)
        if form == "parquet":
            has_header = True
        split_place = named_column(path, header, split_column) if split_column else None
        return Layout(form, place, split_place, has_header, tuple(header))


def read_lines(path: Path, layout: Layout) -> Iterator[Line]:
    """The molecules of a file, as many in memory as one record needs. Raises ChemscaleError if it is damaged.

    Of `lines` the first word is the SMILES and what follows its origin; of SDF the title is.
    """
    read = {"lines": _words, "csv": _csv, "parquet": _parquet, "sdf": _sdf}[layout.form]
    with _damage_named(path), _open(path) as (file, _):
        yield from read(file, layout)


def _words(file: BinaryIO, layout: Layout) -> Iterator[Line]:
    for number, line in enumerate(_text(file), 1):
        smiles, origin = (*line.split(None, 1), "", "")[:2]
        yield Line(number, smiles, origin.strip() or str(number))


def _csv(file: BinaryIO, layout: Layout) -> Iterator[Line]:
    reader = csv.reader(_text(file))
    number = 1
    if layout.header:
        next(reader)
        number = reader.line_num + 1
    for row in reader:
        if row:
            smiles = row[layout.column].strip() if layout.column < len(row) else ""
            split = ""
            if layout.split_column is not None and layout.split_column < len(row):
                split = row[layout.split_column].strip()
            yield Line(number, smiles, str(number), split)
        number = reader.line_num + 1  # a quoted value can hold line ends


def _parquet(file: BinaryIO, layout: Layout) -> Iterator[Line]:
    places = [layout.column] + ([] if layout.split_column is None else [layout.split_column])
    names = [layout.names[place] for place in places]
    number = count(1)
    for batch in pq.ParquetFile(file).iter_batches(ROWS, columns=names):
        columns = [[str("" if v is None else v).strip() for v in batch.column(name).to_pylist()] for name in names]
        for smiles, *split in zip(*columns, strict=True):
            n = next(number)
            yield Line(n, smiles, str(n), *split)


def _sdf(file: BinaryIO, layout: Layout) -> Iterator[Line]:
    record, number = [], 1
    for line in _text(file):
        if not line.startswith("$$$$"):
            record.append(line)
            continue
        yield Line(number, "".join(record), _title(record) or str(number))
        record, number = [], number + 1
    if "".join(record).strip():  # the last one may lack its end
        yield Line(number, "".join(record), _title(record) or str(number))


def _title(record: list[str]) -> str:
    return record[0].strip() if record else ""


def _peek(file: BinaryIO, form: str) -> tuple[list[str], list[list[str]]]:
    """Header and first rows."""
    if form == "csv":
        reader = csv.reader(_text(file))
        return next(reader, []), [row for row in islice(reader, SAMPLE) if row]
    parquet = pq.ParquetFile(file)
    batch = next(parquet.iter_batches(SAMPLE), None)
    columns = [] if batch is None else [[str(v) for v in column.to_pylist()] for column in batch.columns]
    return parquet.schema_arrow.names, [list(row) for row in zip(*columns, strict=True)]


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ChemscaleError(f"{path}: no such file") from None
    # OSError: what gzip and Arrow raise for bytes that make no sense; RuntimeError: a zip that asks for a password
    except (zipfile.BadZipFile, zlib.error, EOFError, csv.Error, OSError, RuntimeError, pa.ArrowException) as error:
        if getattr(error, "errno", None):  # the system's own: no permission, a disk that fails
            raise
        raise ChemscaleError(f"{path}: damaged ({error}); remove it and fetch it again") from None


@contextmanager
def _open(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """The bytes of a file or of what is packed in it, and the name that tells its form."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            files = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
            if len(files) != 1:
                raise ChemscaleError(f"{path}: holds {len(files)} files where one is right: {', '.join(files[:5])}")
            with archive.open(files[0]) as file:
                yield file, files[0]
    else:
        packed = path.suffix == ".gz"
        with (gzip.open if packed else open)(path, "rb") as file:
            yield file, path.stem if packed else path.name


def _text(file: BinaryIO) -> TextIO:
    # a byte that is no UTF-8 makes an unreadable SMILES, which is counted, instead of an end to everything
    return io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
