"""Compare two families at equal size and at equal compute: loss against data, and how much data one saves.

Model sizes of different families never have equal parameters, and at equal parameters one costs many times the other.
So the loss of one family is interpolated between its sizes to the parameters, or to the training FLOPs, of a size of
the other: in logarithms, separately for each amount of data and seed, and never beyond its own sizes.
"""

import itertools

import numpy as np
import pandas as pd

from chemscale.analysis.curves import CURVE_FORMS, curve_laws, try_or_reason
from chemscale.arms import PARAMETERS, PARAMETERS_LABEL, Arm
from chemscale.scaling.selection.compare_laws import compare_laws
from chemscale.scaling.selection.pooled import select_pooled

MATCHED = {PARAMETERS: PARAMETERS_LABEL, "flops": "training FLOPs"}
MIN_AMOUNTS = 3  # of data, for a law


def compare_families(runs: pd.DataFrame, arm: Arm, options: dict) -> tuple[list[dict], list[dict]]:
    """Compare every pair of families at matched parameters and at matched compute.

    The reference is the size of either family that the other can be interpolated to at the most amounts of data; of
    several the one with the most parameters. All comparisons use one form, chosen by the forecasts of all their curves
    together, or the simplest where that cannot be fitted. Return them, and what could not be fitted, as content for
    JSON. A comparison is that of `compare_laws` with `matched`, `at` (the reference size), `form`, and in `sides` each
    family's law with the points it was fitted to, `observed` (data, loss).
    """
    found_pairs, made, not_fitted = [], [], []
    for pair in itertools.combinations(sorted(runs["family"].unique()), 2):
        for by in [name for name in MATCHED if name in runs]:
            head = {"family": " and ".join(pair), "along": "data", "what": f"comparison at matched {by}"}
            found = _closest(runs, pair, by, arm)
            if found is None:
                reason = f"no size of one family lies between those of the other at {MIN_AMOUNTS} amounts of data"
                not_fitted.append({**head, "form": "any", "at": {}, "reason": reason})
                continue
            found_pairs.append((head, by, pair, *found))
    curves = [
        ({"x": table[arm.data].to_numpy(float)}, table[arm.loss].to_numpy(float))
        for *_, tables in found_pairs
        for table in tables
    ]
    chosen = try_or_reason(lambda: select_pooled(CURVE_FORMS, curves)).get("chosen")
    for head, by, pair, reference, tables in found_pairs:
        entry, reasons = _compared(pair, tables, chosen, arm, options)
        not_fitted += [{**head, "at": reference, "form": form, "reason": reason} for form, reason in reasons]
        made += [{"matched": by, "at": reference, **entry}] if entry else []
    return made, not_fitted


def _closest(runs: pd.DataFrame, pair: tuple, by: str, arm: Arm) -> tuple[dict, tuple] | None:
    """Return the reference size and the tables of data and loss of the two families there, in the order of the pair."""
    best = None
    for own, other in (pair, pair[::-1]):
        of_other = runs[runs["family"] == other]
        for size, cells in runs[runs["family"] == own].groupby("size", sort=True):
            matched = interpolated(of_other, cells, by, arm)
            cells = cells.merge(matched[["data", "seed"]])  # cells with a partner
            amounts = cells["data"].nunique()
            rank = amounts, cells[PARAMETERS].max()
            if amounts >= MIN_AMOUNTS and (best is None or rank > best[0]):
                tables = {own: cells[["data", "seed", arm.data, arm.loss]], other: matched}
                reference = {"family": str(own), "size": str(size), "parameters": int(cells[PARAMETERS].iloc[0])}
                best = rank, reference, tuple(tables[family] for family in pair)
    return best and best[1:]


def interpolated(of_other: pd.DataFrame, cells: pd.DataFrame, by: str, arm: Arm) -> pd.DataFrame:
    """Interpolate the loss of a family to the data, seed and `by` of `cells` of another: data, seed, count and loss."""
    rows = []
    for cell in cells.itertuples():
        same = of_other[(of_other["data"] == cell.data) & (of_other["seed"] == cell.seed)].sort_values(by)
        x, at = same[by].to_numpy(float), float(getattr(cell, by))
        if len(same) and x[0] <= at <= x[-1]:
            loss = np.exp(np.interp(np.log(at), np.log(x), np.log(same[arm.loss].to_numpy(float))))
            count = same[arm.data].iloc[0]
            rows.append({"data": cell.data, "seed": cell.seed, arm.data: count, arm.loss: float(loss)})
    return pd.DataFrame(rows, columns=["data", "seed", arm.data, arm.loss])


def _compared(
    pair: tuple[str, str], tables: tuple[pd.DataFrame, ...], chosen: str | None, arm: Arm, options: dict
) -> tuple[dict | None, list[tuple[str, str]]]:
    """Compare by the form `chosen`, or the simplest that fits both tables, with reasons for the other forms."""
    (first, first_reasons), (second, second_reasons) = (
        curve_laws(table, arm.data, arm.loss, options) for table in tables
    )
    reasons = [*first_reasons.items(), *second_reasons.items()]
    common = [form for form in first if form in second]
    if not common:
        return None, reasons
    form = chosen if chosen in common else common[0]
    laws = first[form], second[form]
    found = compare_laws(laws[0].boot, laws[1].boot, pair, options["confidence"], arm.data_label)
    sides = [
        {"family": str(family), "observed": table[[arm.data, arm.loss]].to_numpy(float).tolist(), **law.to_dict()}
        for family, table, law in zip(pair, tables, laws, strict=True)
    ]
    return {"form": form, "sides": sides, **found}, reasons
