"""Measure how much an exponent depends on the choices of an analysis: fit one curve under every defensible choice.

Papers count parameters with or without embeddings, data in molecules or tokens, compute exactly or as 6ND; they drop
outliers or not, and take the last or the best evaluation. Each choice moves the exponent, and no bootstrap shows it.
"""

import numpy as np
import pandas as pd

from chemscale.errors import NotFittable
from chemscale.scaling.fitting.fit import Fit, fit_law

STARTS = 16
ROWS_AND_OBJECTIVES: dict[str, dict[str, dict]] = {
    "outliers": {
        "all runs": {},
        "without the run farthest from the law": {"rows": "without worst"},
        "without the smallest size": {"rows": "without smallest"},
    },
    "objective": {
        "Huber, δ from the residuals": {},
        **{f"Huber, δ = {delta:g}": {"delta": delta} for delta in (1e-3, 1e-2)},
        "least squares of log loss": {"objective": "least_squares_log"},
        "least absolute deviations": {"objective": "lad"},
    },
}  # the choices that any table leaves open, see `sensitivity`


def sensitivity(
    runs: pd.DataFrame,
    x: str,
    loss: str,
    form: str,
    interval: tuple[float, float],
    choices: dict[str, dict[str, dict]] = ROWS_AND_OBJECTIVES,
) -> dict:
    """Fit the exponent of one curve under every choice, one changed at a time; return content for JSON.

    The curve is the column `loss` of `runs` along the column `x`; `interval` is the statistical one of its exponent.
    `choices` is convention → choice → what the choice changes: another column (`x`, or `loss` with the `power` that
    makes it comparable), other rows (`rows`), or another `objective` or `delta`; `unavailable` gives the reason why a
    choice cannot be made. The first choice of each convention changes nothing. A choice that this table does not
    allow is listed with its reason.
    """
    base = _fit(runs, x, loss, form, {})
    exponent = base.parameters["exponent"]
    rows, found = [], []
    for convention, of_convention in choices.items():
        for choice, change in of_convention.items():
            row: dict = {"convention": convention, "choice": choice, "exponent": None, "change": None, "reason": None}
            try:
                other = _fit(_kept(runs, x, base, change), x, loss, form, change).parameters["exponent"]
                row |= {"exponent": other, "change": other - exponent}
                found.append(row)
            except NotFittable as error:
                row["reason"] = str(error)
            rows.append(row)
    low, high = min(row["exponent"] for row in found), max(row["exponent"] for row in found)
    largest, width = max(found, key=lambda row: abs(row["change"])), interval[1] - interval[0]
    times = f", {(high - low) / width:.1f} times the width of its interval" if width > 0 else ""
    return {
        "form": form,
        "exponent": exponent,
        "rows": rows,
        "range": [low, high],
        "interval": list(interval),
        "statement": (
            f"Analysis choices move the exponent from {low:.3g} to {high:.3g}{times}; the largest change is "
            f"{largest['change']:+.3f} ({largest['convention']}: {largest['choice']})."
        ),
    }


def _fit(runs: pd.DataFrame, x: str, loss: str, form: str, change: dict) -> Fit:
    if "unavailable" in change:
        raise NotFittable(change["unavailable"])
    x, loss = change.get("x", x), change.get("loss", loss)
    if missing := [column for column in (x, loss) if column not in runs or runs[column].isna().any()]:
        raise NotFittable(f"the table has no {', '.join(missing)} for some runs")
    y = runs[loss].to_numpy(float) ** change.get("power", 1)
    options = {name: change[name] for name in ("delta", "objective") if name in change}
    return fit_law(form, runs[x].to_numpy(float), y, starts=STARTS, **options)


def _kept(runs: pd.DataFrame, x: str, base: Fit, change: dict) -> pd.DataFrame:
    """Return the runs that enter the fit under a choice."""
    if change.get("rows") == "without worst":
        return runs[np.arange(len(runs)) != np.abs(base.residuals).argmax()]
    return runs[runs[x] > runs[x].min()] if change.get("rows") == "without smallest" else runs
