"""Whether a token store is the one its header speaks of, told in little time at the start of every training."""

from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from chemscale.errors import ChemscaleError
from chemscale.files import fingerprint, read_json, require_unaltered, write_json
from chemscale.molecules.vocabulary import read_vocabulary

# A second of hashing a gigabyte is nothing to make a store and much at the start of each of a thousand cells. So what
# is larger than this is hashed where its size and time of change are not those of the last time it was found right.
# What writes to a file, damages or replaces it changes one of the two; a disk that rots in silence does not.
ALWAYS_HASHED = 32 << 20  # bytes
CHECKED = "checked.json"


def require_whole(directory: Path, header: dict) -> list[str]:
    """Return a store's vocabulary; raise ChemscaleError if files are not the header's or spelt by another selfies."""
    made, here = header["versions"]["selfies"], version("selfies")
    if made.split(".")[:2] != here.split(".")[:2]:
        raise ChemscaleError(
            f"{directory}: made with selfies {made}, but {here} is installed, and molecules may be spelt differently "
            "now: encode the dataset again, or install the former"
        )
    vocabulary = read_vocabulary(directory / "vocabulary.json")
    if fingerprint(vocabulary) != header["vocabulary"]["sha256"]:
        raise ChemscaleError(
            f"{directory / 'vocabulary.json'}: another vocabulary than the tokens were made with, which had sha256 "
            f"{header['vocabulary']['sha256']}; make the dataset again"
        )
    checked = read_json(directory / CHECKED) if (directory / CHECKED).exists() else {}
    states = _states(directory, header["sha256"])
    sure = [name for name, state in states.items() if state == checked.get(name)]
    unsure = {name: right for name, right in header["sha256"].items() if name not in sure}
    require_unaltered(directory, unsure)
    if states != checked:
        with suppress(OSError):  # a store that cannot be written to is hashed each time
            write_json(directory / CHECKED, states)
    return vocabulary


def remember(directory: Path, hashes: dict[str, str]) -> None:
    """Note that the files of a store have their `hashes` (name to SHA-256): the next to open it need not look."""
    write_json(directory / CHECKED, _states(directory, hashes))


def _states(directory: Path, hashes: dict[str, str]) -> dict[str, list]:
    """What each large file that is there looks like from outside, with the hash it should have."""
    found = {name: (directory / name).stat() for name in hashes if (directory / name).exists()}
    return {
        name: [hashes[name], state.st_size, state.st_mtime_ns]
        for name, state in found.items()
        if state.st_size > ALWAYS_HASHED
    }
