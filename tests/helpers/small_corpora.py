"""Small stores of molecules, made as the workflow makes them."""

from pathlib import Path

from chemscale.data.sources import fetch
from chemscale.molecules.corpus import encode

ALKANES = ["C" * n for n in range(1, 41)]
ENTRY = {
    "arm": "language",
    "source": "file",
    "format": "lines",
    "validation": 5,
    "test": 5,
    "seed": 0,
    "max_tokens": 64,
    "max_failure_share": 0.5,
}


def made(directory: Path, lines: list[str], workers: int = 1, **changes) -> dict:
    """Header of a store of `lines` in `directory`."""
    directory.mkdir(exist_ok=True)
    raw = directory / "own.smi"
    raw.write_text("".join(line + "\n" for line in lines))
    fetch("own", ENTRY | changes | {"path": str(raw)}, directory)
    return encode(directory, workers)
