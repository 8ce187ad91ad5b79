"""Where molecules come from: made available in the dataset's directory, with a record of what exactly was found."""

import logging
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlparse

from chemscale.data.download import download
from chemscale.errors import ChemscaleError
from chemscale.files import atomic, read_json, sha256, write_json
from chemscale.molecules.embedded import FILES, embedded_molecules
from chemscale.molecules.recombine import recombine

LOG = logging.getLogger(__name__)

NEEDED = {
    "rdkit": ["files"],
    "recombined": ["files", "count"],
    "file": ["path"],
    "download": ["url"],
}
NEEDED_BY_CORPUS = ["validation", "test", "seed", "max_tokens", "max_failure_share"]


def fetch(name: str, entry: dict, directory: Path | str) -> dict:
    """Make the raw file of a registry entry available; return the record, written last as `source.json`.

    The record holds name, entry, file (relative to `directory` where it lives there), bytes and sha256. Molecules of
    RDKit and recombined ones are written to `molecules.smi`, SMILES and origin a line; a file with a `url` is
    downloaded and checked, one with a `path` stays where it is. Raises ChemscaleError for an entry that cannot be used.
    """
    directory = Path(directory)
    _check(name, entry)
    if entry["source"] == "rdkit":
        path = _write_lines(directory, embedded_molecules(entry["files"]))
    elif entry["source"] == "recombined":
        path = _write_lines(directory, recombine(embedded_molecules(entry["files"]), entry["count"], entry["seed"]))
    elif "url" in entry:
        path = _download(name, entry, directory)
    else:
        path = Path(entry["path"]).expanduser().absolute()
        if not path.is_file():
            raise ChemscaleError(f"{name}.path: {entry['path']}: no such file (looked for {path})")
    record = {
        "name": name,
        "entry": entry,
        "file": path.name if path.parent == directory else str(path),
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
    }
    write_json(directory / "source.json", record)
    return record


def _check(name: str, entry: dict) -> None:
    of_molecules = entry["arm"] == "language"
    known = list(NEEDED) if of_molecules else ["file", "download"]
    if entry["source"] not in known:
        raise ChemscaleError(f"{name}.source: {entry['source']!r} is wrong; right would be one of {', '.join(known)}")
    needed = NEEDED[entry["source"]] + (NEEDED_BY_CORPUS if of_molecules else [])
    missing = [key for key in needed if key not in entry]
    if missing:
        raise ChemscaleError(
            f"{name}: the entry lacks {', '.join(missing)}; resources/datasets.yaml says what they are"
        )
    if ("splits" in entry) != ("split_column" in entry) or not {"train", "test"} <= set(
        entry.get("splits", ("train", "test"))
    ):
        raise ChemscaleError(
            f"{name}: to keep the splits of a file takes both `split_column` and `splits`, which says what that column "
            "calls train, test and, if there are, validation and others, as in {train: train, test: test}"
        )
    unknown = [file for file in entry.get("files", []) if file not in FILES]
    if unknown:
        raise ChemscaleError(f"{name}.files: {unknown[0]!r} is not one of {', '.join(FILES)}")


def _write_lines(directory: Path, molecules: Iterable[tuple[str, str]]) -> Path:
    path = directory / "molecules.smi"
    with atomic(path) as temporary, open(temporary, "w") as file:
        file.writelines(f"{smiles}\t{origin}\n" for smiles, origin in molecules)
    return path


def _download(name: str, entry: dict, directory: Path) -> Path:
    path = directory / (Path(urlparse(entry["url"]).path).name or name)
    checksums = {algorithm: entry[algorithm] for algorithm in ("sha256", "md5") if entry.get(algorithm)}
    if not checksums and (directory / "source.json").exists():
        earlier = read_json(directory / "source.json")
        if earlier["entry"].get("url") == entry["url"]:
            checksums = {"sha256": earlier["sha256"]}
    download([entry["url"], *entry.get("mirrors", [])], path, entry.get("bytes"), checksums)
    if not checksums:
        LOG.info(f"{name}: sha256 {sha256(path)}; add it to the registry entry to pin the file for everybody")
    return path
