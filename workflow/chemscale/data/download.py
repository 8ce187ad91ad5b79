"""Files over HTTP: resumed after a break, checked against what the registry says, whole or absent."""

import hashlib
import http.client
import logging
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from chemscale.errors import ChemscaleError
from chemscale.progress import progress

LOG = logging.getLogger(__name__)

ATTEMPTS = 4  # at one address, each going on where the last broke off
PAUSE = 2.0  # seconds before the second attempt; doubled before each further one
SILENCE = 60  # seconds without a byte after which a transfer counts as broken
BLOCK = 1 << 20  # bytes


def download(urls: list[str], path: Path, size: int | None = None, checksums: dict[str, str] | None = None) -> None:
    """Make `path` hold the file at the first of `urls` that gives the right one.

    Right means `size` bytes and the `checksums`, hexadecimal digests by algorithm ({"sha256": …}), where known. What
    has come is kept in `path` with `.part` appended and is resumed, by this call and by the next; a wrong file is
    removed. Raises ChemscaleError with what went wrong at each address.
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
        wrong = _transfer(url, part)
        if wrong is None:
            wrong = _wrong(part, size, checksums)
            if wrong is None:
                os.replace(part, path)
                return
            part.unlink()
            wrong = f"the wrong file, removed: {wrong}"
        problems.append(f"{url}: {wrong}")
    lines = "\n".join(f"  - {problem}" for problem in problems)
    raise ChemscaleError(
        f"{path} could not be downloaded:\n{lines}\n"
        "Try again, add a mirror to the entry, or fetch the file by hand and name it with `source: file` and `path`."
    )


def _transfer(url: str, part: Path) -> str | None:
    """Bring `part` to the full length the server states; return what went wrong, if anything did."""
    problem = None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            problem = _attempt(url, part)
            if problem is None:
                return None
        except urllib.error.HTTPError as error:
            problem = f"HTTP {error.code} {error.reason}"
            if error.code == 416:  # nothing comes after what is here: it is all there is, or no beginning of it
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


def _attempt(url: str, part: Path) -> str | None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "chemscale"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=SILENCE) as answer:
        if answer.status not in (200, 206):
            return f"HTTP {answer.status} instead of the file"
        resumed = answer.status == 206 and (answer.headers["Content-Range"] or "").startswith(f"bytes {have}-")
        if answer.status == 206 and not resumed:
            part.unlink(missing_ok=True)
            return f"answered with the range {answer.headers['Content-Range']!r}, not from byte {have:,}"
        if answer.length is None:
            return "does not say how long the file is, so that a break could not be told from its end"
        have = have if resumed else 0
        total = have + answer.length
        with open(part, "ab" if resumed else "wb") as file, progress(total, f"download {part.stem}", "bytes") as tick:
            tick(have)
            while block := answer.read(BLOCK):
                file.write(block)
                tick(len(block))
    arrived = part.stat().st_size
    return None if arrived == total else f"broke off after {arrived:,} of {total:,} bytes"


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
