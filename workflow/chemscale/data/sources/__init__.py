"""The kinds of source that a dataset may have: records in the files beside this one, listed in SOURCES."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from chemscale.data.entries import Entry
from chemscale.data.sources.download import DOWNLOAD
from chemscale.data.sources.file import FILE
from chemscale.data.sources.package import PACKAGE
from chemscale.data.sources.rdkit import RDKIT, RECOMBINED
from chemscale.data.sources.thermal import THERMAL
from chemscale.errors import ChemscaleError
from chemscale.files import files_of, sha256, write_json
from chemscale.typed import broken, check, report, stated, suggestion

SOURCES = {source.name: source for source in (RDKIT, RECOMBINED, FILE, DOWNLOAD, PACKAGE, THERMAL)}


def registry() -> dict[str, dict]:
    """Return the entries of resources/datasets.yaml, which the package holds too."""
    text = (resources.files("chemscale.data") / "datasets.yaml").read_text()
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def check_entry(entry: Any, where: str = "") -> tuple[Any, list[str]]:
    """Return the typed entry of a dataset and no problems, or None and one line for each problem.

    Which keys an entry has depends on its arm and its source; `where` begins every key in the lines.
    """
    dotted = where + "." if where else ""
    if not isinstance(entry, dict):
        return None, [f"{stated(where, entry)}: expected a mapping of keys to values"]
    known = [name for name, source in SOURCES.items() if entry.get("arm") in source.entries]
    if not known:  # nor is there such an arm
        return check(Entry, {name: entry[name] for name in entry if name in Entry.model_fields}, where)
    if "source" not in entry:
        return None, [f"{dotted}source: missing; {suggestion('', known)}"]
    if entry["source"] not in known:
        what = f"the {entry['arm']} arm has no such kind of source; {suggestion(str(entry['source']), known)}"
        return None, [f"{stated(dotted + 'source', entry['source'])}: {what}"]
    model = SOURCES[entry["source"]].entries[entry["arm"]]
    typed, problems = check(model, entry, where)
    problems += broken(model.depends(entry), entry, where)
    return None if problems else typed, problems


def require_valid(name: str, entry: dict) -> Any:
    """Return the typed entry of a dataset; raise ChemscaleError with all problems of it."""
    typed, problems = check_entry(entry)
    if problems:
        raise ChemscaleError(report(name, problems))
    return typed


def fetch(name: str, entry: dict, directory: Path | str) -> dict:
    """Make the raw file of a registry entry available; return the record, written last as `source.json`.

    The record holds name, entry, file (relative to `directory` where it lives there), bytes and sha256. Raises
    ChemscaleError for an entry or a file that cannot be used.
    """
    directory = Path(directory)
    typed = require_valid(name, entry)
    source = SOURCES[typed.source]
    if source.fetch is None:
        raise ChemscaleError(f"{name}.source = {source.name!r}: nothing to fetch; `chemscale label` makes the dataset")
    path = source.fetch(name, typed, directory)
    record = {
        "name": name,
        "entry": entry,
        "file": path.name if path.parent == directory else str(path),
        "bytes": sum(file.stat().st_size for file in files_of(path)),
        "sha256": sha256(path),
    }
    write_json(directory / "source.json", record)
    return record
