"""Read, check and write files; what is written is either whole or absent."""

import csv
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from chemscale.errors import ChemscaleError

if TYPE_CHECKING:
    import pandas as pd

JSON_LINES = (".jsonl", ".ndjson")
MAX_EXPANSION = 300  # times that a compressed file may grow
UNPACKED_UNASKED = 1 << 28  # bytes that any file may unpack to


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` if the block succeeds, remove it if not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # the suffix stays last, since writers such as numpy choose a format by it
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path | str, content: dict | list) -> None:
    """Write `content` as indented JSON, atomically; raise ValueError for NaN and infinities, which JSON lacks."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path | str) -> dict:
    """Return the content of a JSON file; raise ChemscaleError if it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise no_file(path) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ChemscaleError(f"{path}: not a JSON file ({error})") from None


def read_yaml(path: Path | str) -> dict:
    """Return the keys and values of a YAML file; raise ChemscaleError if it is missing, damaged or anything else."""
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise no_file(path) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ChemscaleError(f"{path}: not a YAML file ({error})") from None
    if content is not None and not isinstance(content, dict):
        raise ChemscaleError(f"{path}: expected keys and values, as in `key: value`")
    return content or {}


def resumable_folder(directory: Path, identity: dict) -> Path:
    """Return `directory` with the files that an interrupted call left there for the same `identity`.

    `identity` is everything that decides the content of the files, kept in `identity.json`; where that differs or
    cannot be read, the folder starts empty.
    """
    try:
        same = read_json(directory / "identity.json") == identity
    except ChemscaleError:
        same = False
    if not same:
        shutil.rmtree(directory, ignore_errors=True)
        write_json(directory / "identity.json", identity)
    return directory


def require_paths(*paths: Path | None) -> None:
    """Raise ChemscaleError for the first of `paths` that does not exist; None stands for one that is not given."""
    for path in paths:
        if path is not None and not path.exists():
            raise no_file(path, "file or folder")


def require_writable(directory: Path) -> None:
    """Raise OSError now if files cannot be written to a folder, rather than when hours of work are to be kept there."""
    missing = not directory.exists()
    with atomic(directory / ".writable") as temporary:
        temporary.write_text("chemscale looks whether this folder can be written")
    (directory / ".writable").unlink()
    if missing:  # as it was: other parts of the program take an existing folder for a begun one
        directory.rmdir()


def no_file(path: Path | str, kind: str = "file") -> ChemscaleError:
    """Return the error of a path at which there is nothing."""
    return ChemscaleError(f"{path}: no such {kind}; check the path")


def files_of(path: Path | str) -> list[Path]:
    """Return the file, or all files in the folder and its folders, sorted."""
    path = Path(path)
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def require_plausible_size(where: Path | str, unpacked: int, packed: int) -> None:
    """Raise ChemscaleError if a file unpacks to more than any data do, so that it does not fill memory or disk."""
    if unpacked > max(MAX_EXPANSION * packed, UNPACKED_UNASKED):
        raise ChemscaleError(
            f"{where}: {packed:,} bytes unpack to {unpacked:,} or more, which no real data do; check where the file is "
            "from, or unpack it by hand"
        )


def sha256(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes; of a folder, that of the names and digests of its files."""
    if Path(path).is_dir():
        return fingerprint({str(file.relative_to(path)): sha256(file) for file in files_of(path)})
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path, note: Path) -> str:
    """Return `sha256(path)`, from the JSON `note` where no file has changed its size or times since it was written.

    The note also stands in for a file that is gone; without one, that has no digest (""). The note is written where its
    folder exists and allows it.
    """
    kept = {}
    with suppress(ChemscaleError):
        kept = read_json(note)
    if not path.exists():
        return kept.get("sha256", "")
    states = {
        str(file): [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        for file in files_of(path)
        for state in [file.stat()]
    }
    if kept.get("states") == states:
        return kept["sha256"]
    digest = sha256(path)
    if note.parent.exists():
        with suppress(OSError):
            write_json(note, {"states": states, "sha256": digest})
    return digest


def fingerprint(content: dict | list | str) -> str:
    """Return the SHA-256 of plain content, in hexadecimal and whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def require_unaltered(directory: Path, hashes: dict[str, str]) -> None:
    """Raise ChemscaleError if a file of `hashes` (name to SHA-256) is missing from `directory` or has other bytes."""
    for name, expected in hashes.items():
        path = directory / name
        if not path.exists():
            raise ChemscaleError(f"{path}: the file is missing; make the dataset again")
        if sha256(path) != expected:
            raise ChemscaleError(f"{path}: damaged or altered since it was written; make the dataset again")


def finite(value: float) -> float | None:
    """Return a number that JSON can hold: None for NaN and infinities."""
    return float(value) if math.isfinite(value) else None


def require_header(path: Path, columns: Iterable[str | None]) -> None:
    """Raise ChemscaleError if the table at `path` is missing or lacks one of `columns`, without reading its rows."""
    require_paths(path)
    try:
        if path.suffix == ".parquet":
            from pyarrow.parquet import read_schema

            header = read_schema(path).names
        else:
            with path.open(newline="", encoding="utf-8-sig") as file:
                if path.suffix in JSON_LINES:
                    header = list(json.loads(next(file, "{}")))
                else:
                    header = next(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ","), [])
    except (OSError, ValueError, csv.Error):
        return  # `read_table` says what is wrong with it
    missing = [name for name in columns if name is not None and name not in header]
    if missing and "" not in header and len(set(header)) == len(header):  # else pandas renames columns
        raise ChemscaleError(f"{path}: no column {', '.join(missing)}; the table has {', '.join(header)}")


def read_table(path: Path) -> "pd.DataFrame":
    """Return a table from Parquet, CSV, TSV or JSON lines; raise ChemscaleError if it cannot be read."""
    import pandas as pd

    require_paths(path)
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix in JSON_LINES:
            table = pd.read_json(path, lines=True)
        else:
            table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
        table.attrs["first_line"] = 1 if path.suffix in JSON_LINES else 2  # of its first row, for messages
        return table
    except (OSError, ValueError) as error:
        raise ChemscaleError(f"{path}: not a readable table ({error})") from None
