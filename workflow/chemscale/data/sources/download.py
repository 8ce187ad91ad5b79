"""A file over HTTPS, checked against its size and its checksums."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from chemscale.data.entries import GeometryFileEntry, MoleculeFileEntry, Source
from chemscale.files import read_json, sha256, write_json
from chemscale.typed import Count, Keys, key

LOG = logging.getLogger(__name__)


class DownloadKeys(Keys):
    """The keys of a file over HTTPS."""

    NULLABLE: ClassVar = frozenset({"bytes", "sha256"})

    url: str = key("address of the file")
    mirrors: list[str] = key("further addresses, tried in order", [])
    bytes: Count | None = key("size of the file; null = not known", None, unit="bytes")
    sha256: str | None = key(
        "SHA-256 of the file in hexadecimal digits; null = written down at the first download, then checked", None
    )
    md5: str | None = key("MD5 of the file, where its publisher gives no SHA-256", None)
    allow_http: bool = key("whether addresses may be http, which anybody on the way can alter", False)

    def broken_rules(self) -> Iterator[tuple[str, str]]:
        """Also yield addresses that are not https."""
        from chemscale.data.download import secure

        yield from super().broken_rules()
        for name, urls in {"url": [self.url], "mirrors": self.mirrors}.items():
            if any(not secure(url, self.allow_http) for url in urls):
                yield name, "not https; give an https address, or set allow_http: true if you trust the network"


class MoleculeDownload(DownloadKeys, MoleculeFileEntry):
    """Molecules in a file over HTTPS."""


class GeometryDownload(DownloadKeys, GeometryFileEntry):
    """Labelled geometries in a file over HTTPS."""


def fetch(name: str, entry: DownloadKeys, directory: Path) -> Path:
    """Download the file into `directory`, resuming a partial one, and return its path."""
    from chemscale.data.download import download

    path = directory / (Path(urlsplit(entry.url).path).name or name)
    checksums = {algorithm: value for algorithm in ("sha256", "md5") if (value := getattr(entry, algorithm))}
    seen = path.with_name(f"{path.name}.sha256.json")  # outlives source.json, which Snakemake deletes before a rerun
    if not checksums and seen.exists() and (earlier := read_json(seen)).get("url") == entry.url:
        checksums = {"sha256": earlier["sha256"]}
    download([entry.url, *entry.mirrors], path, entry.bytes, checksums, entry.allow_http)
    if not checksums:
        write_json(seen, {"url": entry.url, "sha256": (found := sha256(path))})
        LOG.warning(
            f"{name}: the entry states no checksum, so this first download could not be checked. Compare its sha256 "
            f"with what its publisher states, and write it into the entry to have it checked everywhere: {found}"
        )
    return path


DOWNLOAD = Source("download", {"language": MoleculeDownload, "potential": GeometryDownload}, fetch)
