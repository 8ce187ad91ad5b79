"""Fit and judge the curves of a family: laws, one form for all, regime, sensitivity to analysis choices, forecasts."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from chemscale.arms import Arm
from chemscale.errors import NotFittable
from chemscale.files import finite
from chemscale.scaling.api import ScalingLaw, fit
from chemscale.scaling.selection.forecast import HOLD_OUT_RULE, forecast, held_out
from chemscale.scaling.selection.pooled import select_pooled
from chemscale.scaling.selection.regime import regime
from chemscale.scaling.selection.selection import select
from chemscale.scaling.selection.sensitivity import default_choices, sensitivity
from chemscale.scaling.summary import mark_preferred

CURVE_FORMS = ("power", "power_floor")  # simplest first; five sizes support no more parameters


def fit_curves(curves: list[tuple[dict, pd.DataFrame]], arm: Arm, options: dict) -> dict:
    """Fit and judge all curves of a family in one direction, with one form for all; return content for JSON.

    `curves` has a head, which identifies a curve by family, along and at, and its runs. The form is chosen by the
    forecasts of all curves together; forecasts of the held-out cells prefer the form that the other cells choose. The
    content has `forms` (that choice), `curves` (a fit per form), `forecasts` (the largest size held out), `judgements`
    (selection of this curve alone, regime, sensitivity) and `not_fitted`.
    """
    content: dict = {"forms": [], "curves": [], "forecasts": [], "judgements": [], "not_fitted": []}
    if not curves:
        return content
    head = {name: curves[0][0][name] for name in ("family", "along")}
    column = arm.counted[head["along"]][0]
    tables = [({"x": cells[column].to_numpy(float)}, cells[arm.loss].to_numpy(float)) for _, cells in curves]
    chosen = try_or_reason(lambda: select_pooled(CURVE_FORMS, tables))
    known = [({"x": x["x"][~held_out("power", x)]}, loss[~held_out("power", x)]) for x, loss in tables]
    before = try_or_reason(lambda: select_pooled(CURVE_FORMS, known))
    content["forms"] = [{**head, "selection": chosen, "without_held_out": before}]
    for head, cells in curves:
        made = _fit_curve(
            head, cells, arm, options, *(found.get("chosen", CURVE_FORMS[0]) for found in (chosen, before))
        )
        for key, entries in made.items():
            content[key] += entries
    return content


def _fit_curve(head: dict, cells: pd.DataFrame, arm: Arm, options: dict, chosen: str, chosen_before: str) -> dict:
    """Fit and judge one curve; prefer the form `chosen`, for forecasts `chosen_before`, where they can be fitted."""
    column = arm.counted[head["along"]][0]
    x, loss = {"x": cells[column].to_numpy(float)}, cells[arm.loss].to_numpy(float)
    laws, reasons = curve_laws(cells, column, arm.loss, options)
    not_fitted = [{**head, "form": form, "what": "fit", "reason": reason} for form, reason in reasons.items()]
    content: dict = {"curves": [], "forecasts": [], "judgements": [], "not_fitted": not_fitted}
    if not laws:
        return content

    used = chosen if chosen in laws else next(iter(laws))
    content["curves"] = [{**head, "cells": names(cells), **law.to_dict()} for law in laws.values()]
    mark_preferred(content["curves"], used)
    judgement = {**head, "form": used, "selection": try_or_reason(lambda: select(tuple(laws), x, loss))}
    judgement["regime"] = try_or_reason(lambda: regime(x["x"], loss, options["confidence"]))
    interval = laws[used].interval("exponent")
    choices = analysis_choices(arm, head["along"])
    judgement["sensitivity"] = sensitivity(cells, {"x": column}, arm.loss, used, interval, choices)
    content["judgements"] = [judgement]

    for form in laws:
        made = hold_out({**head, "form": form}, cells, x, arm.loss, options, content["not_fitted"])
        content["forecasts"] += [made] if made else []
    mark_preferred(content["forecasts"], chosen_before)
    return content


def curve_laws(
    cells: pd.DataFrame, column: str, loss: str, options: dict
) -> tuple[dict[str, ScalingLaw], dict[str, str]]:
    """Fit a law of `loss` along `column` for each form; return the laws, simplest first, and reasons for the others.

    The richest form is fitted first, because the noise around it sets Huber's δ for all, unless its points are too few
    for that.
    """
    laws, reasons, delta = {}, {}, None
    for form in reversed(CURVE_FORMS):
        try:
            law = fit(cells, loss, data=column, form=form, delta=delta, **options)
        except NotFittable as error:
            reasons[form] = str(error)
            continue
        delta = law.fit.delta if finite(law.fit.aicc()) is not None else None
        laws[form] = law
    return {form: laws[form] for form in CURVE_FORMS if form in laws}, reasons


def analysis_choices(arm: Arm, along: str) -> dict[str, dict[str, dict]]:
    """Return the choices for curves along "data", "parameters" or "compute", as `sensitivity` takes them.

    The first choice of each convention is the one that the fits of the study make.
    """
    to_error = {} if arm.loss_degree == 1 else {"power": 1 / arm.loss_degree}
    return {
        f"{along} counted as": {column: {"x": column} for column in arm.counted[along]},
        "loss": {
            arm.loss: {},
            "best evaluation": {"loss": "validation_loss_best", **to_error},
            "last evaluation": {"loss": "validation_loss", **to_error},
        },
        **default_choices(),
        "learning rate": {
            "by the rule of the sweep": {},
            "best of several for each cell": {"unavailable": "every cell was trained at one learning rate"},
        },
    }


def try_or_reason(work: Callable[[], dict]) -> dict:
    """Return the result of `work`, or {"reason"} where the table cannot support it."""
    try:
        return work()
    except NotFittable as error:
        return {"reason": str(error)}


def hold_out(
    head: dict, cells: pd.DataFrame, x: dict[str, np.ndarray], loss: str, options: dict, not_fitted: list[dict]
) -> dict | None:
    """Hold out the largest cells and forecast them by the form `head["form"]`; return content for JSON.

    Each forecast point is named by its size and requested data. Where the other cells do not support the form, the
    reason is added to `not_fitted` and None is returned.
    """
    form = head["form"]
    held = held_out(form, x)
    try:
        _, points = forecast(form, x, cells[loss].to_numpy(float), held, **options)
    except NotFittable as error:
        not_fitted.append({**head, "what": "forecast", "reason": str(error)})
        return None
    for point in points:
        same = held.copy()
        for name, value in point.pop("x").items():
            same &= x[name] == value
        cell = cells[same].iloc[0]
        point |= {"data": int(cell["data"]), "size": str(cell["size"]), "cells": names(cells[same])}
    return {
        **head,
        "held_out": HOLD_OUT_RULE[len(x)],
        "used": names(cells[~held]),
        "points": points,
    }


def names(cells: pd.DataFrame) -> list[str]:
    """Return the names of the cells."""
    return cells["cell"].astype(str).tolist()
