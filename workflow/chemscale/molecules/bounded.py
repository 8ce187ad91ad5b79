"""Text files that cannot exhaust memory or disk: their lines, and what they unpack to, are bounded."""

import io
from pathlib import Path
from typing import IO, Any

from chemscale.errors import ChemscaleError
from chemscale.files import require_plausible_size

MAX_LINE_BYTES = 1 << 22
BLOCK = 1 << 16  # bytes that are looked at together


class _Bounded(io.RawIOBase):
    """The bytes of `path`, or of the member packed in it, read from `file`."""

    def __init__(self, path: Path, file: IO[bytes]):
        self.path, self.file, self.packed = path, file, path.stat().st_size
        self.bytes = self.line = 0  # read altogether, and since the last end of a line

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes; raise ChemscaleError if a line or what is unpacked is too long."""
        view = memoryview(buffer)
        block = self.file.read(len(view))
        view[: len(block)] = block
        self.bytes += len(block)
        after = len(block) - 1 - max(block.rfind(b"\n"), block.rfind(b"\r"))
        self.line = after if after < len(block) else self.line + len(block)
        if self.line > MAX_LINE_BYTES:
            raise ChemscaleError(
                f"{self.path}: a line of more than {MAX_LINE_BYTES:,} bytes, which is no molecule; check the file and "
                "its `format`"
            )
        require_plausible_size(self.path, self.bytes, self.packed)
        return len(block)


def bounded(path: Path, file: IO[bytes]) -> io.BufferedReader:
    """Return `file` to be read up to the bounds; beyond them reading raises ChemscaleError that names `path`."""
    return io.BufferedReader(_Bounded(path, file), BLOCK)
