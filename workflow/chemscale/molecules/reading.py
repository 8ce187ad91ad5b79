"""Read molecules from files of every usual format, compressed or not, one record at a time."""

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
from chemscale.molecules.encoding import readable

FORMATS = {".smi": "lines", ".txt": "lines", ".csv": "csv", ".parquet": "parquet", ".sdf": "sdf"}
PARQUET_ROWS = 10_000  # rows of a Parquet file in memory at a time
PEEKED_RECORDS = 100  # records that are looked at to find out what a file holds
MAX_LISTED_COLUMNS = 20  # columns that a message lists


class Line(NamedTuple):
    """One molecule as the file has it."""

    number: int  # from 1: of the line it begins on; in Parquet and SDF, of the record
    text: str  # SMILES, unchecked; the complete record of an SDF
    origin: str  # what the file says about it, else the number
    split: str = ""  # as the file calls it, if a column of splits is named


class Layout(NamedTuple):
    """How to read a file."""

    form: str  # lines, csv, parquet or sdf
    column: int | None = None  # index of the SMILES in a row
    split_column: int | None = None
    header: bool = True  # whether the first row of a csv names the columns
    names: tuple[str, ...] = ()  # of the columns


def layout_of(
    path: Path, form: str | None = None, column: str | None = None, split_column: str | None = None
) -> Layout:
    """Return how to read `path`; `form` follows from its suffix and `column` from its name or content if not given.

    The suffix is that below .gz, or of the one file in a .zip. A csv whose column was found by content and that begins
    with a molecule has no header: its first row is a molecule like the others. Raises ChemscaleError if the file does
    not tell, or lacks a column that was named.
    """
    with _damage_named(path), _open(path) as (file, name):
        form = form or FORMATS.get(PurePath(name).suffix.lower())
        if form not in FORMATS.values():
            raise ChemscaleError(
                f"{path}: cannot infer the format from the suffix of {name!r}; use one of {', '.join(FORMATS)} (also "
                f"in .gz or .zip), or set `format` to one of {', '.join(dict.fromkeys(FORMATS.values()))}"
            )
        if form in ("lines", "sdf"):
            if column or split_column:
                raise ChemscaleError(
                    f"{path}: read as {form}, which has no columns; leave `column` and `split_column` out, "
                    "or set `format` to csv or parquet"
                )
            return Layout(form)
        header, rows = _peek(file, form)
        if not header:
            raise ChemscaleError(f"{path}: the file is empty; expected one molecule per row")
        place, has_header = (_named_column(path, header, column), True) if column else _find_column(path, header, rows)
        if form == "parquet":
            has_header = True
        split_place = _named_column(path, header, split_column) if split_column else None
        return Layout(form, place, split_place, has_header, tuple(header))


def read_lines(path: Path, layout: Layout) -> Iterator[Line]:
    """Yield the molecules of a file, in the memory of one record. Raises ChemscaleError if the file is damaged.

    In `lines`, the first word is the SMILES and the rest its origin; in SDF the title is the origin.
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
        number = reader.line_num + 1  # a quoted value can contain line ends


def _parquet(file: BinaryIO, layout: Layout) -> Iterator[Line]:
    places = [layout.column] + ([] if layout.split_column is None else [layout.split_column])
    names = [layout.names[place] for place in places]
    number = count(1)
    for batch in pq.ParquetFile(file).iter_batches(PARQUET_ROWS, columns=names):
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
    if "".join(record).strip():  # the last record may lack its end
        yield Line(number, "".join(record), _title(record) or str(number))


def _title(record: list[str]) -> str:
    return record[0].strip() if record else ""


def _peek(file: BinaryIO, form: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and the first rows."""
    if form == "csv":
        reader = csv.reader(_text(file))
        return next(reader, []), [row for row in islice(reader, PEEKED_RECORDS) if row]
    parquet = pq.ParquetFile(file)
    batch = next(parquet.iter_batches(PEEKED_RECORDS), None)
    columns = [] if batch is None else [[str(v) for v in column.to_pylist()] for column in batch.columns]
    return parquet.schema_arrow.names, [list(row) for row in zip(*columns, strict=True)]


def _named_column(path: Path, header: list[str], name: str) -> int:
    """Return the index of a column; raise ChemscaleError naming the columns there are if it is not one."""
    if name not in header:
        raise ChemscaleError(f"{path}: no column {name!r} in its header; use one of {_listed(header)}")
    return header.index(name)


def _find_column(path: Path, header: list[str], rows: list[list[str]]) -> tuple[int, bool]:
    """Return the index of the column of SMILES, and whether the first row is a header.

    It is the column whose name contains `smiles`, in any case, else the one most of whose first values are molecules;
    then a first row that is itself a molecule is no header. Raises ChemscaleError if there is none, or more than one.
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
            f"{path}: no column is called smiles or holds molecules in most of its first {PEEKED_RECORDS} rows; "
            f"name it with `column`, one of {_listed(header)}"
        )
    raise ChemscaleError(
        f"{path}: each of the columns {_listed([header[place] for place in named])} could be the SMILES; "
        "choose one with `column`"
    )


def _mostly_molecules(header: list[str], rows: list[list[str]], place: int) -> bool:
    values = [row[place] for row in rows or [header] if place < len(row) and row[place].strip()]
    return bool(values) and sum(map(readable, values)) > len(values) / 2


def _listed(names: list[str]) -> str:
    more = f", and {len(names) - MAX_LISTED_COLUMNS} more" if len(names) > MAX_LISTED_COLUMNS else ""
    return ", ".join(name[:40] for name in names[:MAX_LISTED_COLUMNS]) + more


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn the errors of damaged files into ChemscaleError."""
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
    """Open a file, or what is packed in it; yield it with the name that tells its format."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            files = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
            if len(files) != 1:
                raise ChemscaleError(
                    f"{path}: contains {len(files)} files, expected exactly one: {', '.join(files[:5])}"
                )
            with archive.open(files[0]) as file:
                yield file, files[0]
    else:
        packed = path.suffix == ".gz"
        with (gzip.open if packed else open)(path, "rb") as file:
            yield file, path.stem if packed else path.name


def _text(file: BinaryIO) -> TextIO:
    # a byte that is not UTF-8 makes an unreadable SMILES, which is counted, instead of ending everything
    return io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
