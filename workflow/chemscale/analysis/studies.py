"""Open finished studies: their runs tables, their fits, and the settings of their cells as far as they are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from chemscale.arms import ARMS
from chemscale.config.cell_settings import CellSettings
from chemscale.errors import ChemscaleError
from chemscale.files import read_json, read_table
from chemscale.typed import suggestion

RUNS = Path("tables/runs.parquet")
FITS_KEYS = ("arm", "confidence", "curves", "joint", "forecasts", "frontiers")
OF_ONE_CELL = ("study", "arm", "family", "size", "width", "depth", "data", "seed", "learning_rate", "tuning", "tune")


@dataclass(frozen=True)
class StudyResults:
    """The results of a study: `runs` has a row per cell, `fits` an entry per arm."""

    name: str
    folder: Path
    runs: pd.DataFrame
    fits: dict[str, dict]

    def settings(self, arm: str) -> dict[str, set[str]]:
        """Return the values that each setting has in the cells of an arm, as text by dotted key.

        Left out are those that name a cell, and the learning rate, which the runs table has. A study of which only
        tables were kept knows its recipe and its dataset.
        """
        runs = self.runs[self.runs["arm"] == arm]
        found: dict[str, set[str]] = {}
        for cell in runs["cell"]:
            path = self.folder / "runs" / cell / "settings.json"
            for dotted, value in _flat(_with_defaults(read_json(path))) if path.exists() else ():
                found.setdefault(dotted, set()).add(value)
        if not found:
            datasets = self.folder / "tables" / "datasets.csv"
            if datasets.exists():
                table = read_table(datasets)
                found["dataset"] = set(table.loc[table["arm"] == arm, "dataset"])
            if "recipe" in runs:
                found["recipe"] = {f"{value:g}" for value in runs["recipe"].dropna()}
        return found


def open_studies(names: Sequence[str], results: Path = Path("results")) -> list[StudyResults]:
    """Return the studies that `names` name: folders, or names of folders in `results`.

    Raises ChemscaleError with all that is wrong with them, one line each.
    """
    opened: dict[Path, StudyResults] = {}
    problems = []
    for name in names:
        try:
            folder = _folder(name, results)
            if folder.resolve() in opened:
                problems.append(f"{name}: the same study twice; name different ones")
            opened[folder.resolve()] = _open(folder)
        except ChemscaleError as error:
            problems.append(str(error))
    if problems:
        raise ChemscaleError("\n".join(problems))
    labels = _labels(list(opened))
    return [
        StudyResults(label, study.folder, study.runs, study.fits)
        for label, study in zip(labels, opened.values(), strict=True)
    ]


def _folder(name: str, results: Path) -> Path:
    for folder in (Path(name), results / name):
        if (folder / RUNS).exists():
            return folder
    for folder in (results / name, Path(name)):
        if folder.is_dir():
            raise ChemscaleError(f"{folder}: no {RUNS}; run the study, or name the folder of a finished one")
    known = sorted(path.parent.parent.relative_to(results).as_posix() for path in results.glob(f"*/{RUNS}"))
    advice = suggestion(name, known) if known else f"{results} has none: run one, or name the folder of a study"
    raise ChemscaleError(f"{name}: no study of this name; {advice}")


def _open(folder: Path) -> StudyResults:
    runs, fits = read_table(folder / RUNS), {}
    if missing := [name for name in ("cell", "arm", "family", "size", "data", "seed") if name not in runs]:
        raise ChemscaleError(f"{folder / RUNS}: no column {', '.join(missing)}; collect the runs again")
    for arm in ARMS:
        path = folder / "fits" / f"{arm}.json"
        if not path.exists():
            continue
        fits[arm] = read_json(path)
        if missing := [name for name in FITS_KEYS if name not in fits[arm]]:
            raise ChemscaleError(f"{path}: no {', '.join(missing)}; fit the runs again: chemscale fit --arm {arm}")
    if not fits:
        raise ChemscaleError(f"{folder}: no fits/{' or fits/'.join(f'{arm}.json' for arm in ARMS)}; fit its runs first")
    return StudyResults(folder.name, folder, runs, fits)


def _labels(folders: list[Path]) -> list[str]:
    """Return the name of each folder; those of equal names are told apart by the nearest folder above that differs."""
    labels = []
    for folder in folders:
        same = [other for other in folders if other.name == folder.name and other != folder]
        above = next(
            (part.name for part in folder.parents if all(part.name not in other.parts for other in same)),
            str(folder.parent),
        )
        labels.append(f"{folder.name} ({above})" if same else folder.name)
    return labels


def _with_defaults(content: dict) -> dict:
    """Return settings with the defaults of keys that they leave out, unless an earlier version wrote other keys."""
    try:
        return CellSettings.from_json(content).model_dump()
    except ChemscaleError:
        return content


def _flat(content: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    pairs = []
    for name, value in content.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{above}{name}.")
        elif above or name not in OF_ONE_CELL:
            shown = Path(value).name if name == "dataset" else f"{value:g}" if isinstance(value, float) else str(value)
            pairs.append((above + name, shown))
    return pairs
