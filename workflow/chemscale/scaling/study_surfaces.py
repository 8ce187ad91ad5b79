"""What a study says about a family as a whole: L(N, D), its forecast, and where compute should go."""

import pandas as pd

from chemscale.errors import ChemscaleError
from chemscale.scaling.face import ScalingLaw, fit
from chemscale.scaling.selection import select
from chemscale.scaling.study_curves import hold_out, names, or_reason
from chemscale.scaling.summary import prefer
from chemscale.scaling.tables import PARAMETERS, Arm

SURFACE_FORMS = ("joint_no_floor", "joint_tied", "joint")


def fit_surface(family: str, cells: pd.DataFrame, kind: Arm, options: dict) -> dict:
    """Content for JSON about all runs of a family: `joint`, `forecasts`, `judgements` and `not_fitted`.

    Runs with the same amount of data share their training subset, so they are also resampled together.
    """
    head = {"family": family, "along": "both", "at": {}}
    x = {"N": cells[PARAMETERS].to_numpy(float), "D": cells[kind.data].to_numpy(float)}
    loss = cells[kind.loss].to_numpy(float)
    content: dict = {"joint": [], "forecasts": [], "judgements": [], "not_fitted": []}
    laws: dict[str, ScalingLaw] = {}
    for form in SURFACE_FORMS:
        try:
            laws[form] = fit(cells, kind.loss, PARAMETERS, kind.data, form=form, group="data", **options)
        except ChemscaleError as error:
            content["not_fitted"].append({**head, "form": form, "what": "fit", "reason": str(error)})
    if not laws:
        return content
    selection = or_reason(lambda: select(tuple(laws), x, loss))
    content["judgements"] = [{**head, "selection": selection}]
    content["joint"] = [{**head, "cells": names(cells), **law.to_dict()} for law in laws.values()]
    prefer(content["joint"], selection.get("chosen"))
    for form in laws:
        made = hold_out({**head, "form": form}, cells, x, kind.loss, options, content["not_fitted"])
        content["forecasts"] += [made] if made else []
    if content["forecasts"]:
        prefer(content["forecasts"], selection.get("chosen"))
    return content
