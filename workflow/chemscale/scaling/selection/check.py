"""Check a law against its own table: forecasts of held-out runs, regime of a curve, sensitivity to analysis choices."""

import numpy as np
import pandas as pd

from chemscale.errors import ChemscaleError, NotFittable
from chemscale.scaling.forms.terms import Variables
from chemscale.scaling.law import ScalingLaw
from chemscale.scaling.selection.forecast import HOLD_OUT_RULE, forecast, held_out
from chemscale.scaling.selection.regime import regime
from chemscale.scaling.selection.sensitivity import sensitivity


def check(law: ScalingLaw) -> dict:
    """Check a law against the rows that it was fitted to, those of weight 0 left out; return content for JSON.

    * `forecast`: the law fitted without the largest size (of a surface, without the largest model and the largest data
      size) predicts the held-out runs, each mean with its prediction interval (see `forecast`); or the reason why the
      other runs do not support the law
    * `regime` of a curve (see `regime`)
    * `sensitivity` of the exponent of a curve, or of `a` or α of a surface, to analysis choices (see `sensitivity`)
    * `statement`: one sentence per check
    """
    fitted, form = law.fit, law.fit.form
    free = [name for name in fitted.form.quantities if name == "a" or (name in form.exponents and name in form.free)]
    quantity = next((name for name in ("exponent", "a", "alpha") if name in free), free[0] if free else None)
    if quantity is None:
        raise ChemscaleError(f"form {form.label}: has no exponent to check, or holds all; fit one that leaves it free")
    rows = pd.DataFrame(fitted.x | {"loss": fitted.loss})[fitted.weights > 0]
    x = {name: rows[name].to_numpy() for name in fitted.x}
    content: dict = {"form": form.name, "columns": law.columns, "confidence": law.confidence}
    content["forecast"] = _forecast(law, x, rows["loss"].to_numpy())
    statements = [content["forecast"]["statement"]]
    if len(fitted.x) == 1:
        content["regime"] = regime(x["x"], rows["loss"].to_numpy(), law.confidence)
        statements.append(content["regime"]["statement"])
    found = sensitivity(rows, dict(zip(x, x, strict=True)), "loss", form, law.interval(quantity), quantity=quantity)
    content["sensitivity"] = found
    return content | {"statement": "\n".join([*statements, found["statement"]])}


def _forecast(law: ScalingLaw, x: Variables, loss: np.ndarray) -> dict:
    form, confidence = law.fit.form, law.confidence
    held = held_out(form, x)
    rule = HOLD_OUT_RULE[len(x)]
    try:
        _, points = forecast(form, x, loss, held, None, confidence, len(law.boot.theta), law.boot.seed)
    except NotFittable as error:
        return {"held_out": rule, "reason": str(error), "statement": f"No forecast: {error}."}
    inside = sum(point["inside"] for point in points)
    worst = max((point["error_percent"] for point in points), key=abs)
    text = (
        f"Held out, {rule}: {inside} of {len(points)} points lie inside their {confidence:.0%} intervals of forecast; "
    )
    text += f"the largest error is {worst:+.2g} %."
    return {"held_out": rule, "points": points, "statement": text}
