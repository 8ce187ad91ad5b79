"""A file over HTTP, checked against its size and its checksums."""

import logging
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from chemscale.data.entries import GeometryFileEntry, MoleculeFileEntry, Source
from chemscale.files import read_json, sha256
from chemscale.typed import Count, Keys, key

LOG = logging.getLogger(__name__)


class DownloadKeys(Keys):
    """The keys of a file over HTTP."""

    NULLABLE: ClassVar = frozenset({"bytes", "sha256"})

    url: str = key("address of the file")
    mirrors: list[str] = key("further addresses, tried in order", [])
    bytes: Count | None = key("size of the file; null = not known", None, unit="bytes")
    sha256: str | None = key(
        "SHA-256 of the file in hexadecimal digits; null = written down at the first download, then checked", None
    )
    md5: str | None = key("MD5 of the file, where its publisher gives no SHA-256", None)


class MoleculeDownload(DownloadKeys, MoleculeFileEntry):
    """Molecules in a file over HTTP."""


class GeometryDownload(DownloadKeys, GeometryFileEntry):
    """Labelled geometries in a file over HTTP."""


def fetch(name: str, entry: DownloadKeys, directory: Path) -> Path:
    """Download the file into `directory`, or resume that, and return its path."""
    from chemscale.data.download import download

    path = directory / (Path(urlsplit(entry.url).path).name or name)
    checksums = {algorithm: value for algorithm in ("sha256", "md5") if (value := getattr(entry, algorithm))}
    if not checksums and (directory / "source.json").exists():
        earlier = read_json(directory / "source.json")
        if earlier["entry"].get("url") == entry.url:
            checksums = {"sha256": earlier["sha256"]}
    download([entry.url, *entry.mirrors], path, entry.bytes, checksums)
    if not checksums:
        LOG.warning("%s: sha256 = %s; write it into the entry to have it checked everywhere", name, sha256(path))
    return path


DOWNLOAD = Source("download", {"language": MoleculeDownload, "potential": GeometryDownload}, fetch)
