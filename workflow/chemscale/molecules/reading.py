"""Read molecules from files of every usual format, compressed or not, one record at a time."""

import codecs
import errno
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count, islice
from pathlib import Path, PurePath
from typing import IO, NamedTuple, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from chemscale.errors import ChemscaleError
from chemscale.files import require_plausible_size
from chemscale.molecules.bounded import bounded
from chemscale.molecules.encoding import readable
from chemscale.molecules.tables import (
    DELIMITERS,
    PEEKED_RECORDS,
    find_column,
    find_delimiter,
    find_word,
    named_column,
    read_rows,
)

FORMATS = {".smi": "lines", ".txt": "lines", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".sdf": "sdf"}
MAX_RECORD_LINES = 100_000  # of an SDF
PARQUET_ROWS = 10_000  # rows of a Parquet file in memory at a time
MARKS = {  # bytes that a file of an encoding begins with; the longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Line(NamedTuple):
    """One molecule as the file has it."""

    number: int  # from 1: of the line it begins on; in Parquet and SDF, of the record
    text: str  # SMILES, unchecked; the complete record of an SDF
    origin: str  # what the file says about it, else the number
    split: str = ""  # as the file calls it, if a column of splits is named


class Layout(NamedTuple):
    """How to read a file."""

    form: str  # lines, csv, parquet or sdf
    column: int | None = None  # index of the SMILES in a row, or of the word in a line; None: the first word
    split_column: int | None = None
    header: bool = True  # whether the first row of a csv names the columns
    names: tuple[str, ...] = ()  # of the columns
    delimiter: str = ","

    def __str__(self) -> str:
        """Describe it for messages."""
        if self.form == "lines":
            return self.form if not self.column else f"{self.form}, word {self.column + 1}"
        if self.column is None:
            return self.form
        which = repr(self.names[self.column]) if self.header else f"{self.column + 1}, without a header"
        delimiter = "" if self.form != "csv" or self.delimiter == "," else f", delimiter {self.delimiter!r}"
        return f"{self.form}{delimiter}, column {which}"


def layout_of(
    path: Path,
    form: str | None = None,
    column: str | None = None,
    split_column: str | None = None,
    delimiter: str | None = None,
) -> Layout:
    """Return how to read `path`; what is not given follows from its suffix and content.

    The suffix is that below .gz, or of the one file in a .zip. A text file is a list of words, of which the first that
    is mostly a molecule counts, unless a `column` or `delimiter` is named or no word is a molecule: then it is a table.
    A table whose column was found by content and that begins with a molecule has no header: its first row is a molecule
    like the others. Raises ChemscaleError if the file does not tell, or lacks a column that was named.
    """
    with _damage_named(path), _open(path) as (file, name):
        suffix = PurePath(name).suffix.lower()
        found = form or FORMATS.get(suffix)
        if found not in FORMATS.values():
            raise ChemscaleError(
                f"{path}: cannot infer the format from the suffix of {name!r}; use one of {', '.join(FORMATS)} (also "
                f"in .gz or .zip), or set `format` to one of {', '.join(dict.fromkeys(FORMATS.values()))}"
            )
        named = column or split_column or delimiter
        if named and (found == "sdf" or form == "lines"):
            raise ChemscaleError(
                f"{path}: read as {found}, which has no columns; leave `column`, `split_column` and `delimiter` out, "
                "or set `format` to csv or parquet"
            )
        if found == "sdf":
            return Layout(found)
        if found == "parquet":
            header, rows = _peek_parquet(file)
        else:
            text = _text(path, file)
            lines = list(islice(text, PEEKED_RECORDS))
            if found == "lines" and not named:
                word = find_word([line.split() for line in lines if line.strip()])
                if word is not None or form or not _holds_molecules(path, lines):
                    return Layout(found, word or None)
            found = "csv"
            delimiter = _delimiter(path, delimiter or ("tab" if suffix == ".tsv" else None), lines)
            rows = [row.values for row in islice(read_rows(path, chain(lines, text), delimiter), PEEKED_RECORDS)]
            header = [name.strip() for name in rows.pop(0)] if rows else []
        if not header:
            raise ChemscaleError(f"{path}: the file is empty; expected one molecule per row")
        place, has_header = (named_column(path, header, column), True) if column else find_column(path, header, rows)
        split_place = named_column(path, header, split_column) if split_column else None
        return Layout(found, place, split_place, has_header or found == "parquet", tuple(header), delimiter or ",")


def read_lines(path: Path, layout: Layout) -> Iterator[Line]:
    """Yield the molecules of a file, in the memory of one record. Raises ChemscaleError if the file is damaged.

    In `lines`, the word of the molecule is the SMILES and the rest its origin; in SDF the title is the origin.
    """
    with _damage_named(path), _open(path) as (file, _):
        if layout.form == "parquet":
            yield from _parquet(file, layout)
        else:
            yield from {"lines": _words, "csv": _table, "sdf": _sdf}[layout.form](path, _text(path, file), layout)


def _words(path: Path, text: TextIO, layout: Layout) -> Iterator[Line]:
    before = layout.column or 0
    for number, line in enumerate(text, 1):
        words = [*line.split(None, before + 1), *[""] * (before + 2)]
        origin = " ".join([*words[:before], words[before + 1].strip()]).strip()
        yield Line(number, words[before], origin or str(number))


def _table(path: Path, text: TextIO, layout: Layout) -> Iterator[Line]:
    place, columns = layout.column or 0, len(layout.names)
    for n, row in enumerate(read_rows(path, text, layout.delimiter, columns, place)):
        if n == 0 and layout.header:
            continue
        values = [value.strip() for value in row.values]
        smiles = values[place] if place < len(values) else ""
        surplus = len(values) - columns
        if surplus > 0 and place and any(values[columns:]) and readable(values[place + surplus]):
            # a delimiter without quotes may have moved the SMILES: the complete row is kept as an unreadable one
            smiles = ",".join(values)
        split = ""
        if layout.split_column is not None and layout.split_column < len(values):
            split = values[layout.split_column]
        yield Line(row.line, smiles, str(row.line), split)


def _parquet(file: IO[bytes], layout: Layout) -> Iterator[Line]:
    places = [layout.column or 0] + ([] if layout.split_column is None else [layout.split_column])
    names = [layout.names[place] for place in places]
    number = count(1)
    for batch in pq.ParquetFile(file).iter_batches(PARQUET_ROWS, columns=names):
        columns = [_as_texts(batch.column(name)) for name in names]
        for smiles, *split in zip(*columns, strict=True):
            n = next(number)
            yield Line(n, smiles, str(n), *split)


def _sdf(path: Path, text: TextIO, layout: Layout) -> Iterator[Line]:
    record: list[str] = []
    number, ends = 1, 0
    for place, line in enumerate(text, 1):
        if not line.startswith("$$$$"):
            record.append(line)
            ends += line.startswith("M  END")
            if ends > 1:
                raise ChemscaleError(
                    f"{path}: line {place:,}: record {number:,} holds a second molecule; a line $$$$ is missing or "
                    "damaged before it: correct the file"
                )
            if len(record) > MAX_RECORD_LINES:
                most = f"more than {MAX_RECORD_LINES:,} lines"
                raise ChemscaleError(f"{path}: record {number:,} has {most}; each record of an SDF ends with $$$$")
            continue
        yield Line(number, "".join(record), _title(record) or str(number))
        record, number, ends = [], number + 1, 0
    if "".join(record).strip():  # the last record may lack its end
        yield Line(number, "".join(record), _title(record) or str(number))


def _title(record: list[str]) -> str:
    return record[0].strip() if record else ""


def _peek_parquet(file: IO[bytes]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the first rows."""
    parquet = pq.ParquetFile(file)
    batch = next(parquet.iter_batches(PEEKED_RECORDS), None)
    columns = [] if batch is None else [_as_texts(column) for column in batch.columns]
    return parquet.schema_arrow.names, [list(row) for row in zip(*columns, strict=True)]


def _as_texts(column: pa.Array) -> list[str]:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())  # a file may hold bytes that are no UTF-8
    return [_as_text(value) for value in column.to_pylist()]


def _as_text(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str("" if value is None else value)
    return text.strip()


def _delimiter(path: Path, name: str | None, lines: list[str]) -> str:
    """Return the delimiter that is named, or else found in the first lines."""
    if name is not None and name not in DELIMITERS:
        raise ChemscaleError(f"{path}: delimiter = {name!r}: unknown; use one of {', '.join(DELIMITERS)}")
    return find_delimiter(lines) if name is None else DELIMITERS[name]


def _holds_molecules(path: Path, lines: list[str]) -> bool:
    """Return whether the lines of a text file are a table with molecules."""
    try:
        header, *rows = [row.values for row in read_rows(path, lines, find_delimiter(lines))]
        return find_column(path, header, rows) is not None
    except (ChemscaleError, ValueError):
        return False


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn the errors of damaged files into ChemscaleError."""
    try:
        yield
    except FileNotFoundError:
        raise ChemscaleError(f"{path}: no such file") from None
    # OSError: what gzip, zipfile and Arrow raise for bytes that make no sense; RuntimeError: a zip with a password
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # no permission, a disk that fails
            reason = error.strerror or error
            raise ChemscaleError(f"{path}: cannot be read ({reason}); check the file and its folder") from None
        raise ChemscaleError(f"{path}: damaged ({error}); remove it and fetch it again") from None


@contextmanager
def _open(path: Path) -> Iterator[tuple[IO[bytes], str]]:
    """Open a file, or what is packed in it; yield it with the name that tells its format."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            files = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
            if len(files) != 1:
                found = ", ".join(files[:5])
                raise ChemscaleError(f"{path}: contains {len(files)} files; expected exactly one: {found}")
            info = archive.getinfo(files[0])
            require_plausible_size(path, info.file_size, info.compress_size)
            with archive.open(info) as file:
                yield file, files[0]
    elif path.suffix == ".gz":
        with gzip.open(path, "rb") as packed:
            yield packed, path.stem  # type: ignore[misc]  # its stubs know no common base with open's
    else:
        with open(path, "rb") as plain:
            yield plain, path.name


def _text(path: Path, file: IO[bytes]) -> TextIO:
    """Decode a file: UTF-16 or UTF-32 if its first bytes say so, else UTF-8, where bytes of Windows-1252 may occur."""
    start = file.peek(512)[:512]  # type: ignore[attr-defined]  # each of the three kinds of file has it
    encoding = next((name for mark, name in MARKS.items() if start.startswith(mark)), None)
    if encoding is None and b"\0" in start:
        even, odd = start[::2].count(0), start[1::2].count(0)
        if max(even, odd) < 0.4 * len(start) or min(even, odd):
            raise ChemscaleError(f"{path}: not a text file; set `format` if its suffix does not tell what it is")
        encoding = "utf-16-be" if even else "utf-16-le"  # ASCII without a mark
    return io.TextIOWrapper(bounded(path, file), encoding or "utf-8-sig", errors="chemscale-windows-1252", newline="")


def _windows_1252(error: UnicodeError) -> tuple[str, int]:
    """Decode bytes that are invalid in the encoding of a file, such as a µ in a name written by an old program."""
    assert isinstance(error, UnicodeDecodeError)
    text = error.object[error.start : error.end].decode("cp1252", "replace")
    return text.replace("\xa0", "\ufffd"), error.end  # never a blank, which would cut a damaged SMILES in two


codecs.register_error("chemscale-windows-1252", _windows_1252)
