"""Files over HTTPS: resumed after a break, checked against what the registry says, whole or absent."""

import hashlib
import http.client
import logging
import os
import time
import urllib.error
import urllib.request
from http.client import HTTPMessage
from pathlib import Path
from typing import IO

from chemscale.errors import ChemscaleError
from chemscale.files import read_json, write_json
from chemscale.progress import progress

LOG = logging.getLogger(__name__)

ATTEMPTS = 4  # tries per address, each going on where the last broke off
PAUSE = 2.0  # seconds before the second attempt; doubled before each further one
SILENCE = 60  # seconds without a byte after which a transfer counts as broken
BLOCK = 1 << 20  # bytes


def download(
    urls: list[str],
    path: Path,
    size: int | None = None,
    checksums: dict[str, str] | None = None,
    allow_http: bool = False,
) -> None:
    """Download `path` from the first of `urls` that serves the expected file.

    Expected are `size` bytes and the `checksums`, hexadecimal digests by algorithm ({"sha256": …}), where known. What
    has come is kept in `path` with `.part` appended and is resumed, by this call and by the next; a wrong file is
    removed. Without checksums it is resumed only where the server says that the file is still the same. Nothing comes
    over an address that is not https, unless `allow_http`, and no redirect leads from https to anything else. Raises
    ChemscaleError with what went wrong at each address.
    """
    checksums = checksums or {}
    if path.exists():
        wrong = _wrong(path, size, checksums)
        if wrong is None:
            return
        LOG.warning(f"{path}: {wrong}; downloading it again")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    problems = []
    for url in urls:
        wrong = _transfer(url, part, bool(checksums), allow_http)
        if wrong is None:
            wrong = _wrong(part, size, checksums)
            _version_file(part).unlink(missing_ok=True)
            if wrong is None:
                os.replace(part, path)
                return
            part.unlink()
            wrong = f"the wrong file, removed: {wrong}"
        problems.append(f"{url}: {wrong}")
    lines = "\n".join(f"  - {problem}" for problem in problems)
    raise ChemscaleError(
        f"{path}: no address gave the file; try again, add a mirror to the entry, or fetch the file by hand and name "
        f"it with `source: file` and `path`:\n{lines}"
    )


def secure(url: str, allow_http: bool) -> bool:
    """Return whether `url` is one that is downloaded from: https, or http where that is allowed."""
    return url.lower().startswith(("https://", "http://") if allow_http else "https://")


class _Refused(Exception):
    """An address that nothing is downloaded from."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to addresses as secure as the one that redirects."""

    def __init__(self, allow_http: bool):
        self.allow_http = allow_http

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if not secure(newurl, self.allow_http and not secure(req.full_url, False)):
            raise _Refused(f"redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _transfer(url: str, part: Path, pinned: bool, allow_http: bool) -> str | None:
    """Complete the partial download `part`; return what went wrong, if anything did."""
    if not secure(url, allow_http):
        return "not https; give an https address, or set `allow_http: true` in the entry if you trust the network"
    opener = urllib.request.build_opener(_Redirects(allow_http))
    problem = None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            problem = _attempt(opener, url, part, pinned)
            if problem is None:
                return None
        except _Refused as error:
            return str(error)
        except urllib.error.HTTPError as error:
            problem = f"HTTP {error.code} {error.reason}"
            if error.code == 416 and part.exists():  # what is here is all there is, or no beginning of it
                if error.headers["Content-Range"] == f"bytes */{part.stat().st_size}":
                    return None
                part.unlink()
            elif error.code < 500:
                return problem
        except (OSError, http.client.HTTPException) as error:
            problem = str(error) or type(error).__name__
        except ValueError as error:
            return f"not an address ({error})"
    return f"{problem}, {ATTEMPTS} times"


def _attempt(opener: urllib.request.OpenerDirector, url: str, part: Path, pinned: bool) -> str | None:
    have = part.stat().st_size if part.exists() else 0
    version = _version(url, part) if have else None
    if not pinned and version is None:
        have = 0  # the beginning of an unknown version: the rest of another one would go unnoticed
    request = urllib.request.Request(url, headers={"User-Agent": "chemscale"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if version:
            request.add_header("If-Range", version)
    with opener.open(request, timeout=SILENCE) as answer:
        if answer.status not in (200, 206):
            return f"HTTP {answer.status} instead of the file"
        present = _version_stated(answer.headers)
        resumed = answer.status == 206 and (answer.headers["Content-Range"] or "").startswith(f"bytes {have}-")
        if answer.status == 206 and (not resumed or (version and present != version)):
            part.unlink(missing_ok=True)
            if resumed:
                return "the file changed on the server during the download"
            return f"answered with the range {answer.headers['Content-Range']!r}, not from byte {have:,}"
        if answer.length is None:
            return "the server does not state the size, so an interrupted transfer could not be noticed"
        have = have if resumed else 0
        total = have + answer.length
        write_json(_version_file(part), {"url": url, "version": present})
        with open(part, "ab" if resumed else "wb") as file, progress(total, f"download {part.stem}", "bytes") as tick:
            tick(have)
            while block := answer.read(BLOCK):
                file.write(block)
                tick(len(block))
    arrived = part.stat().st_size
    return None if arrived == total else f"broke off after {arrived:,} of {total:,} bytes"


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _version(url: str, part: Path) -> str | None:
    """Return the version of the file that `part` is the beginning of, if it came from `url` and that has versions."""
    try:
        stated = read_json(_version_file(part))
    except ChemscaleError:
        return None
    return stated["version"] if stated.get("url") == url else None


def _version_stated(headers: HTTPMessage) -> str | None:
    """Return what If-Range takes: a strong ETag, or else the date of the last change."""
    tag = headers["ETag"]
    return tag if tag and not tag.startswith("W/") else headers["Last-Modified"]


def _wrong(path: Path, size: int | None, checksums: dict[str, str]) -> str | None:
    """Return what is wrong with a file, or None."""
    found = path.stat().st_size
    if found == 0:
        return "it is empty"
    if size is not None and found != size:
        return f"it has {found:,} bytes where {size:,} are right"
    for algorithm, right in checksums.items():
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, algorithm).hexdigest()
        if digest != right:
            return f"its {algorithm} is {digest} where {right} is right"
    return None
