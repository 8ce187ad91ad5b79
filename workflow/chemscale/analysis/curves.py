"""What a study says about one curve: laws, the one that extrapolates, regime, conventions, forecast."""

import pandas as pd

from chemscale.arms import Arm
from chemscale.errors import ChemscaleError
from chemscale.files import finite
from chemscale.scaling.api import ScalingLaw, fit
from chemscale.scaling.selection.forecast import HOLD_OUT_RULE, forecast, held_out
from chemscale.scaling.selection.regime import regime
from chemscale.scaling.selection.selection import select
from chemscale.scaling.selection.sensitivity import sensitivity
from chemscale.scaling.summary import mark_preferred

CURVE_FORMS = ("power", "power_floor")  # simplest first; five sizes carry no more numbers


def fit_curve(head: dict, cells: pd.DataFrame, kind: Arm, options: dict) -> dict:
    """What there is to say of the runs `cells` of one curve, as content for JSON.

    It has `curves` (a fit for each form), `forecasts` (the largest size held out), `judgements` (selection by
    extrapolation, regime, sensitivity) and `not_fitted`. `head` says which curve it is: family, along, at.
    """
    column = kind.counted[head["along"]][0]
    x, loss = {"x": cells[column].to_numpy(float)}, cells[kind.loss].to_numpy(float)
    content: dict = {"curves": [], "forecasts": [], "judgements": [], "not_fitted": []}
    reasons: list = []
    laws = curve_laws(cells, column, kind.loss, options, reasons)
    content["not_fitted"] = [{**head, **failed, "what": "fit", "reason": reason} for failed, reason in reasons]
    if not laws:
        return content

    judgement = dict(head)
    chosen = _selected(judgement, x, loss, tuple(laws))
    entries = [{**head, "cells": names(cells), **law.to_dict()} for law in laws.values()]
    mark_preferred(entries, chosen)
    judgement["regime"] = or_reason(lambda: regime(x["x"], loss, options["confidence"]))
    interval = laws[chosen].interval("exponent")
    judgement["sensitivity"] = sensitivity(cells, kind, head["along"], chosen, interval)
    content["curves"], content["judgements"] = entries, [judgement]

    held = held_out("power", x)
    seen_only: dict = {}
    before = _selected(seen_only, {"x": x["x"][~held]}, loss[~held], tuple(laws))
    for form in laws:
        made = hold_out({**head, "form": form}, cells, x, kind.loss, options, content["not_fitted"])
        content["forecasts"] += [made] if made else []
    mark_preferred(content["forecasts"], before)
    return content


def curve_laws(cells: pd.DataFrame, column: str, loss: str, options: dict, reasons: list) -> dict[str, ScalingLaw]:
    """A law of `loss` along `column` for each form that can be fitted, simplest first; for others reasons are added.

    A reason is a pair of {"form"} and the text. The richest form comes first, since the noise around it sets Huber's δ
    for all, unless its points are too few for that.
    """
    laws, delta = {}, None
    for form in reversed(CURVE_FORMS):
        try:
            law = fit(cells, loss, data=column, form=form, delta=delta, **options)
        except ChemscaleError as error:
            reasons.append(({"form": form}, str(error)))
            continue
        delta = law.fit.delta if finite(law.fit.aicc()) is not None else None
        laws[form] = law
    return {form: laws[form] for form in CURVE_FORMS if form in laws}


def _selected(judgement: dict, x: dict, loss, forms: tuple[str, ...]) -> str:
    """Choose a form by extrapolation and keep how; the simplest where there are too few sizes to tell."""
    judgement["selection"] = or_reason(lambda: select(forms, x, loss))
    return judgement["selection"].get("chosen") or forms[0]


def or_reason(work) -> dict:
    try:
        return work()
    except ChemscaleError as error:
        return {"reason": str(error)}


def hold_out(head: dict, cells: pd.DataFrame, x: dict, loss: str, options: dict, not_fitted: list) -> dict | None:
    """Hold out the largest cells, forecast them, and name each forecast point by its size and requested data."""
    form = head["form"]
    held = held_out(form, x)
    try:
        _, points = forecast(form, x, cells[loss].to_numpy(float), held, **options)
    except ChemscaleError as error:
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
    return cells["cell"].astype(str).tolist()
