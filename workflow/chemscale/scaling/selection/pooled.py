"""Choose one form for several tables, such as the curves of a family, by all their forecasts together.

A single short curve has few windows, so its own choice follows its noise. Curves of one family share a form if they
share a cause, and their windows together have a far smaller error.
"""

from collections.abc import Sequence

import numpy as np

from chemscale.errors import NotFittable
from chemscale.scaling.forms.laws import Form
from chemscale.scaling.forms.terms import Variables
from chemscale.scaling.selection.selection import RULE, Judged, rank_forms, select_with_fits


def select_pooled(forms: Sequence[str | Form], tables: Sequence[tuple[Variables, np.ndarray]]) -> dict:
    """Choose one of `forms` for all `tables`, each of variables `x` (points,) and `loss` (points,).

    The rule is that of `select`, over the windows of all tables. Each table keeps its own Huber δ. A form's BIC is that
    of all tables as one: the sum of theirs, with the logarithm of all points in each penalty. Only forms that fit every
    table have one. Tables that no form fits are left out. Returns
    content for JSON: `rule`, `tables` (their number), `forms` (score and windows of each), `chosen`, `chosen_by`
    (`extrapolation`, or `simplest` where no window can be fitted) and `tied`. Raises NotFittable if no form fits any
    table.
    """
    windows: list[Judged] = []
    bics: list[dict[str, float]] = []
    points: list[int] = []
    parameters: dict[str, int] = {}
    reason = "there is no table"
    for x, loss in tables:
        try:
            own, fits, judged = select_with_fits(forms, x, loss)
        except NotFittable as error:
            reason = str(error)
            continue
        parameters |= {name: len(fit.form.free) for name, fit in fits.items()}
        windows += judged
        bics.append({name: content["bic"] for name, content in own["forms"].items() if content["bic"] is not None})
        points.append(len(loss))
    if not parameters:
        raise NotFittable(reason)

    simplest_first = sorted(parameters, key=lambda name: parameters[name])
    more = sum(float(np.log(sum(points) / own)) for own in points)  # log of all points instead of those of each table
    bic = {
        name: sum(own[name] for own in bics) + parameters[name] * more
        for name in simplest_first
        if all(name in own for own in bics)
    }
    scores, tied = rank_forms(windows, simplest_first, bic)
    return {
        "rule": f"over all curves together: {RULE}",
        "tables": len(bics),
        "forms": {
            name: {
                "windows": sum(name in window.errors for window in windows),
                "score_percent": 100 * scores[name] if name in scores else None,
                "bic": bic.get(name),
            }
            for name in simplest_first
        },
        "chosen": tied[0] if tied else simplest_first[0],
        "chosen_by": "extrapolation" if tied else "simplest",
        "tied": tied,
    }
