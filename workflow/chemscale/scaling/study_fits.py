"""All the fits of one arm of a study: curves, surfaces, frontiers, comparisons and what to train next, as one JSON."""

import itertools

import pandas as pd

from chemscale.scaling.comparison import compare_laws
from chemscale.scaling.study_curves import fit_curve
from chemscale.scaling.study_surfaces import fit_surface
from chemscale.scaling.tables import ARMS, PARAMETERS, PARAMETERS_LABEL, Arm, select_runs

SIZES_NEEDED = 3
ALIKE = 1.5  # largest ratio of the parameters of two families that are compared


def fit_runs(table: pd.DataFrame, arm: str, confidence: float = 0.9, draws: int = 500, seed: int = 0) -> dict:
    """Every fit of an arm from its runs table, as content for JSON.

    Curves run along data at each model size, and along parameters at each data size with three sizes or more. Each is
    fitted with and without a floor at the same Huber δ; selection by extrapolation marks the preferred form. Surfaces
    use all cells of a family. Forecasts refit each law without its largest cells, and prefer a form by what is left.
    What could not be fitted is in `not_fitted` with the reason. A table that is no runs table raises ChemscaleError.
    """
    runs, left_out = select_runs(table, arm)
    kind = ARMS[arm]
    options = {"confidence": confidence, "draws": draws, "seed": seed}
    content: dict = {
        "arm": arm,
        "loss": {"column": kind.loss, "unit": kind.unit, "label": kind.label},
        "x": {
            "data": {"column": kind.data, "label": kind.data_label},
            "parameters": {"column": PARAMETERS, "label": PARAMETERS_LABEL},
        },
        **options,
        "left_out": left_out,
        "curves": [],
        "judgements": [],
        "joint": [],
        "forecasts": [],
        "frontiers": [],
        "allocations": [],
        "next": [],
        "comparisons": [],
        "not_fitted": [],
    }
    along_data = []
    for family, of_family in runs.groupby("family", sort=True):
        for along, fixed in (("data", "size"), ("parameters", "data")):
            for value, cells in of_family.groupby(fixed, sort=True):
                if along == "parameters" and cells["size"].nunique() < SIZES_NEEDED:
                    continue
                value = int(value) if fixed == "data" else str(value)
                head = {"family": str(family), "along": along, "at": {fixed: value}}
                made, laws = fit_curve(head, cells, kind, options)
                _add(content, made)
                if along == "data" and laws:
                    along_data.append((head, float(cells[PARAMETERS].iloc[0]), laws))
        _add(content, fit_surface(str(family), of_family, kind, options))
    content["comparisons"] = _comparisons(along_data, kind, confidence)
    return content


def _add(content: dict, made: dict) -> None:
    for key, entries in made.items():
        content[key] += entries


def _comparisons(along_data: list, kind: Arm, confidence: float) -> list[dict]:
    """Curves along data of different families with about equal parameters, compared by their richest common form."""
    made = []
    for (a, size_a, laws_a), (b, size_b, laws_b) in itertools.combinations(along_data, 2):
        if a["family"] == b["family"] or max(size_a, size_b) > ALIKE * min(size_a, size_b):
            continue
        form = [name for name in laws_a if name in laws_b][-1:]
        names = tuple(f"{head['family']} {head['at']['size']}" for head in (a, b))
        for name in form:
            found = compare_laws(laws_a[name].boot, laws_b[name].boot, names, confidence, kind.data_label)
            made.append({"form": name, **found})
    return made
