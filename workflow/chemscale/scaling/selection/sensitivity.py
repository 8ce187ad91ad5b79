"""Measure how much an exponent depends on the choices of an analysis: fit one table under every defensible choice.

Papers count parameters with or without embeddings, data in molecules or tokens, compute exactly or as 6ND; they drop
outliers or not, and take the last or the best evaluation. Each choice moves the exponent, and no bootstrap shows it.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from chemscale.errors import NotFittable
from chemscale.scaling.fitting.fit import Fit, fit_law
from chemscale.scaling.forms.laws import Form

STARTS = 16
OBJECTIVES: dict[str, dict] = {
    "Huber, δ from the residuals": {},
    **{f"Huber, δ = {delta:g}": {"delta": delta} for delta in (1e-3, 1e-2)},
    "least squares of log loss": {"objective": "least_squares_log"},
    "least absolute deviations": {"objective": "lad"},
}


def default_choices(variables: Iterable[str] = "x") -> dict[str, dict[str, dict]]:
    """Return the choices that any table of these variables leaves open, as `sensitivity` takes them."""
    without = {
        f"without the smallest {'size' if name == 'x' else name}": {"without_smallest": name} for name in variables
    }
    return {
        "outliers": {"all runs": {}, "without the run farthest from the law": {"without_worst": True}, **without},
        "objective": OBJECTIVES,
    }


def sensitivity(
    runs: pd.DataFrame,
    columns: dict[str, str],
    loss: str,
    form: str | Form,
    interval: tuple[float, float],
    choices: dict[str, dict[str, dict]] | None = None,
    quantity: str = "exponent",
) -> dict:
    """Fit one quantity of a law, such as its exponent, under every choice, one changed at a time; return JSON content.

    The law is that of the column `loss` of `runs` along `columns`, variable → column; `interval` is the statistical one
    of the quantity. `choices` is convention → choice → what the choice changes: the column of a variable or of the
    `loss` (with the `power` that makes it comparable), the rows (`without_worst`, `without_smallest` of a variable), or
    the `objective` or `delta`; `unavailable` gives the reason why a choice cannot be made. The first choice of each
    convention changes nothing. A choice that this table does not allow is listed with its reason.
    """
    choices = default_choices(columns) if choices is None else choices
    base = _fit(runs, columns, loss, form, {})
    value = _value(base, quantity)
    rows, found = [], []
    for convention, of_convention in choices.items():
        for choice, change in of_convention.items():
            row: dict = {"convention": convention, "choice": choice, "exponent": None, "change": None, "reason": None}
            try:
                other = _value(_fit(_kept(runs, columns, base, change), columns, loss, form, change), quantity)
                row |= {"exponent": other, "change": other - value}
                found.append(row)
            except NotFittable as error:
                row["reason"] = str(error)
            rows.append(row)
    low, high = min(row["exponent"] for row in found), max(row["exponent"] for row in found)
    largest, width = max(found, key=lambda row: abs(row["change"])), interval[1] - interval[0]
    times = f", {(high - low) / width:.1f} times the width of its interval" if width > 0 else ""
    label = "the exponent" if quantity == "exponent" else quantity
    return {
        "form": base.form.name,
        "quantity": quantity,
        "exponent": value,
        "rows": rows,
        "range": [low, high],
        "interval": list(interval),
        "statement": (
            f"Analysis choices move {label} from {low:.3g} to {high:.3g}{times}; the largest change is "
            f"{largest['change']:+.3f} ({largest['convention']}: {largest['choice']})."
        ),
    }


def _value(fit: Fit, quantity: str) -> float:
    return float(fit.quantity(quantity, fit.theta[None])[0])


def _fit(runs: pd.DataFrame, columns: dict[str, str], loss: str, form: str | Form, change: dict) -> Fit:
    if "unavailable" in change:
        raise NotFittable(change["unavailable"])
    columns = {name: change.get(name, column) for name, column in columns.items()}
    loss = change.get("loss", loss)
    if missing := [column for column in (*columns.values(), loss) if column not in runs or runs[column].isna().any()]:
        raise NotFittable(f"the table has no {', '.join(missing)} for some runs")
    x = {name: runs[column].to_numpy(float) for name, column in columns.items()}
    y = runs[loss].to_numpy(float) ** change.get("power", 1)
    options = {name: change[name] for name in ("delta", "objective") if name in change}
    return fit_law(form, x, y, starts=STARTS, **options)


def _kept(runs: pd.DataFrame, columns: dict[str, str], base: Fit, change: dict) -> pd.DataFrame:
    """Return the runs that enter the fit under a choice."""
    if "without_worst" in change:
        return runs[np.arange(len(runs)) != np.abs(base.residuals).argmax()]
    if "without_smallest" in change:
        column = runs[columns[change["without_smallest"]]]
        return runs[column > column.min()]
    return runs
