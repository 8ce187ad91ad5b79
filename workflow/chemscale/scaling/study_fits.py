"""All the fits of one arm of a study: the curves, the joint laws and the forecasts, as one JSON document."""

import pandas as pd

from chemscale.errors import ChemscaleError
from chemscale.scaling.criteria import aicc
from chemscale.scaling.face import fit
from chemscale.scaling.forecast import HOLD_OUT_RULE, forecast, held_out
from chemscale.scaling.summary import finite, prefer
from chemscale.scaling.tables import ARMS, PARAMETERS, PARAMETERS_LABEL, select_runs

CURVE_FORMS = ("power", "power_floor")  # simplest first
SIZES_NEEDED = 3


def fit_runs(table: pd.DataFrame, arm: str, confidence: float = 0.9, draws: int = 500, seed: int = 0) -> dict:
    """Every fit of an arm from its runs table, as content for JSON.

    Curves run along data at each model size, and along parameters at each data size with three sizes or more. Each is
    fitted with and without a floor at the same Huber δ, and AICc marks the preferred form. Joint laws use all cells of
    a family. Forecasts refit each law without its largest cells; the form preferred there is chosen by AICc without
    them too. What could not be fitted is in `not_fitted` with the reason. Raises ChemscaleError for a table that is no
    runs table.
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
        "joint": [],
        "forecasts": [],
        "not_fitted": [],
    }
    for family, of_family in runs.groupby("family", sort=True):
        for along, fixed, column in (("data", "size", kind.data), ("parameters", "data", PARAMETERS)):
            for value, cells in of_family.groupby(fixed, sort=True):
                if along == "parameters" and cells["size"].nunique() < SIZES_NEEDED:
                    continue
                value = int(value) if fixed == "data" else str(value)
                head = {"family": str(family), "along": along, "at": {fixed: value}}
                _add_curve(content, head, cells, column, kind.loss, options)
        _add_joint(content, str(family), of_family, kind, options)
    return content


def _add_curve(content: dict, head: dict, cells: pd.DataFrame, column: str, loss: str, options: dict) -> None:
    """Fit one curve with every form and forecast its largest cells.

    The richest form comes first, since the noise around it sets δ for all, unless its points are too few for AICc.
    """
    entries, delta = [], None
    for form in reversed(CURVE_FORMS):
        try:
            law = fit(cells, loss, data=column, form=form, delta=delta, **options)
        except ChemscaleError as error:
            content["not_fitted"].append({**head, "form": form, "what": "fit", "reason": str(error)})
            continue
        content_of_law = law.to_dict()
        delta = law.fit.delta if content_of_law["aicc"] is not None else None
        entries.insert(0, {**head, "cells": cells["cell"].astype(str).tolist(), **content_of_law})
    if entries:
        prefer(entries)
    content["curves"] += entries

    x, delta, forecasts = {"x": cells[column].to_numpy()}, None, []
    for entry in reversed(entries):
        if made := _forecast(content, {**head, "form": entry["form"]}, cells, x, loss, delta, options):
            found = made.pop("delta")
            delta = found if made["aicc"] is not None else None
            forecasts.insert(0, made)
    if forecasts:
        prefer(forecasts)
    content["forecasts"] += forecasts


def _add_joint(content: dict, family: str, cells: pd.DataFrame, kind, options: dict) -> None:
    """Fit and forecast L(N, D) of one family."""
    head = {"family": family, "along": "both", "at": {}}
    x = {"N": cells[PARAMETERS].to_numpy(), "D": cells[kind.data].to_numpy()}
    try:
        law = fit(cells, kind.loss, params=PARAMETERS, data=kind.data, form="joint", group="data", **options)
    except ChemscaleError as error:
        content["not_fitted"].append({**head, "form": "joint", "what": "fit", "reason": str(error)})
        return
    content["joint"].append({"family": family, "cells": cells["cell"].astype(str).tolist(), **law.to_dict()})
    made = _forecast(content, {**head, "form": "joint"}, cells, x, kind.loss, None, options)
    if made:
        del made["delta"]
        content["forecasts"].append(made | {"preferred": True})


def _forecast(content, head: dict, cells: pd.DataFrame, x: dict, loss: str, delta, options: dict) -> dict | None:
    """Hold out the largest cells, and name each forecast point by its size and requested data."""
    form = head["form"]
    held = held_out(form, x)
    try:
        law, points = forecast(form, x, cells[loss].to_numpy(), held, delta, **options)
    except ChemscaleError as error:
        content["not_fitted"].append({**head, "what": "forecast", "reason": str(error)})
        return None
    for point in points:
        same = held.copy()
        for name, value in point.pop("x").items():
            same &= x[name] == value
        cell = cells[same].iloc[0]
        point |= {
            "data": int(cell["data"]),
            "size": str(cell["size"]),
            "cells": cells[same]["cell"].astype(str).tolist(),
        }
    return {
        **head,
        "held_out": HOLD_OUT_RULE[len(x)],
        "used": cells[~held]["cell"].astype(str).tolist(),
        "delta": law.delta,
        "aicc": finite(aicc(law)),
        "points": points,
    }
