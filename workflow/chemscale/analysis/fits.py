"""Make all fits of one arm of a study: curves, surfaces, frontiers, comparisons and what to train next."""

import pandas as pd

from chemscale.analysis.curves import fit_curves
from chemscale.analysis.families import compare_families
from chemscale.analysis.runs_table import select_runs
from chemscale.analysis.surfaces import fit_surface
from chemscale.arms import ARMS, PARAMETERS, PARAMETERS_LABEL
from chemscale.scaling.defaults import DEFAULT_CONFIDENCE, DEFAULT_DRAWS

MIN_SIZES = 3  # of a curve along parameters


def fit_runs(
    table: pd.DataFrame, arm: str, confidence: float = DEFAULT_CONFIDENCE, draws: int = DEFAULT_DRAWS, seed: int = 0
) -> dict:
    """Make every fit of an arm from its runs table; return content for JSON.

    Curves run along data at each model size, and along parameters at each data size with three sizes or more. Each is
    fitted with and without a floor at the same Huber δ; all curves of a family in one direction share the preferred
    form, that of the best forecasts over all of them (`forms`). Comparisons of families use one form for all. Surfaces
    use all cells of a family. Forecasts refit each law without its largest cells, and prefer a form by the other cells.
    `not_fitted` lists what the runs do not support, with the reason. Raises ChemscaleError for a table that is not a
    runs table.
    """
    runs, left_out = select_runs(table, arm)
    record = ARMS[arm]
    options = {"confidence": confidence, "draws": draws, "seed": seed}
    content: dict = {
        "arm": arm,
        "loss": {"column": record.loss, "unit": record.unit, "label": record.label},
        "x": {
            "data": {"column": record.data, "label": record.data_label},
            "parameters": {"column": PARAMETERS, "label": PARAMETERS_LABEL},
        },
        **options,
        "left_out": left_out,
        "forms": [],
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
    for family, of_family in runs.groupby("family", sort=True):
        for along, fixed in (("data", "size"), ("parameters", "data")):
            curves = []
            for value, cells in of_family.groupby(fixed, sort=True):
                if along == "parameters" and cells["size"].nunique() < MIN_SIZES:
                    continue
                value = int(value) if fixed == "data" else str(value)
                head = {"family": str(family), "along": along, "at": {fixed: value}}
                curves.append((head, cells))
            _add(content, fit_curves(curves, record, options))
        _add(content, fit_surface(str(family), of_family, record, options))
    comparisons, not_fitted = compare_families(runs, record, options)
    _add(content, {"comparisons": comparisons, "not_fitted": not_fitted})
    return content


def _add(content: dict, made: dict) -> None:
    for key, entries in made.items():
        content[key] += entries
