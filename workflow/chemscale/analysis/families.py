"""Two families at equal size and at equal compute: loss against data, and how much data one saves.

Capacities of different families never have equal parameters, and at equal parameters one costs many times the other.
So the loss of one family is interpolated between its capacities to the parameters, or to the training FLOPs, of a
capacity of the other: in logarithms, at each amount of data and seed by itself, and never beyond its own capacities.
"""

import itertools

import numpy as np
import pandas as pd

from chemscale.analysis.curves import curve_laws
from chemscale.arms import PARAMETERS, PARAMETERS_LABEL, Arm
from chemscale.scaling.selection.comparison import compare_laws

MATCHED = {PARAMETERS: PARAMETERS_LABEL, "flops": "training FLOPs"}
AMOUNTS_NEEDED = 3  # of data, for a law


def compare_families(runs: pd.DataFrame, kind: Arm, options: dict) -> tuple[list[dict], list[dict]]:
    """Every pair of families at matched parameters and at matched compute: comparisons, and what could not be fitted.

    Of a pair, the capacity of either family that the other can be brought to at most amounts of data is held; of
    several the one of most parameters. Entries are those of `compare_laws` with `matched`, `at` (the capacity held),
    `form`, and in `sides` each family's law with what it was fitted to, `observed` (data, loss): JSON content.
    """
    made, not_fitted = [], []
    for pair in itertools.combinations(sorted(runs["family"].unique()), 2):
        for by in [name for name in MATCHED if name in runs]:
            head = {"family": " and ".join(pair), "along": "data", "what": f"comparison at matched {by}"}
            found = _closest(runs, pair, by, kind)
            if found is None:
                reason = f"no capacity of one lies between those of the other at {AMOUNTS_NEEDED} amounts of data"
                not_fitted.append({**head, "form": "any", "at": {}, "reason": reason})
                continue
            held, tables = found
            entry, reasons = _compared(pair, tables, by, kind, options)
            not_fitted += [{**head, "at": held, "reason": reason} | failed for failed, reason in reasons]
            made += [{"matched": by, "at": held, **entry}] if entry else []
    return made, not_fitted


def _closest(runs: pd.DataFrame, pair: tuple, by: str, kind: Arm) -> tuple[dict, tuple] | None:
    """The capacity held and the two families' tables of data and loss there, in the order of the pair."""
    best = None
    for own, other in (pair, pair[::-1]):
        of_other = runs[runs["family"] == other]
        for size, cells in runs[runs["family"] == own].groupby("size", sort=True):
            brought = interpolated(of_other, cells, by, kind)
            cells = cells.merge(brought[["data", "seed"]])  # what has a partner
            amounts = cells["data"].nunique()
            rank = amounts, cells[PARAMETERS].max()
            if amounts >= AMOUNTS_NEEDED and (best is None or rank > best[0]):
                tables = {own: cells[["data", "seed", kind.data, kind.loss]], other: brought}
                held = {"family": str(own), "size": str(size), "parameters": int(cells[PARAMETERS].iloc[0])}
                best = rank, held, tuple(tables[family] for family in pair)
    return best and best[1:]


def interpolated(of_other: pd.DataFrame, cells: pd.DataFrame, by: str, kind: Arm) -> pd.DataFrame:
    """Loss of a family at the data, seed and `by` of each of `cells` of another: columns data, seed, count and loss."""
    rows = []
    for cell in cells.itertuples():
        same = of_other[(of_other["data"] == cell.data) & (of_other["seed"] == cell.seed)].sort_values(by)
        x, at = same[by].to_numpy(float), float(getattr(cell, by))
        if len(same) and x[0] <= at <= x[-1]:
            loss = np.exp(np.interp(np.log(at), np.log(x), np.log(same[kind.loss].to_numpy(float))))
            count = same[kind.data].iloc[0]
            rows.append({"data": cell.data, "seed": cell.seed, kind.data: count, kind.loss: float(loss)})
    return pd.DataFrame(rows, columns=["data", "seed", kind.data, kind.loss])


def _compared(pair: tuple, tables: tuple, by: str, kind: Arm, options: dict) -> tuple[dict | None, list]:
    """The comparison by the richest form that fits both, and the forms that fitted neither, with reasons."""
    reasons: list = []
    laws = [curve_laws(table, kind.data, kind.loss, options, reasons) for table in tables]
    common = [form for form in laws[0] if form in laws[1]][-1:]
    for form in common:
        of_form = [each[form] for each in laws]
        found = compare_laws(*(law.boot for law in of_form), pair, options["confidence"], kind.data_label)
        sides = [
            {
                "family": str(family),
                "observed": table[[kind.data, kind.loss]].to_numpy(float).tolist(),
                **law.to_dict(),
            }
            for family, table, law in zip(pair, tables, of_form, strict=True)
        ]
        return {"form": form, "sides": sides, **found}, reasons
    return None, reasons
