"""How much an exponent owes to convention: the same curve under every defensible choice, its range beside its interval.

Papers count parameters with or without embeddings, data in molecules or tokens, compute exactly or as 6ND; they drop
outliers or not, and take the last or the best evaluation. Each choice moves the exponent, and no bootstrap shows it.
"""

import numpy as np
import pandas as pd

from chemscale.arms import Arm
from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.fit import Fit, fit_law

DELTAS = (1e-3, 1e-2)


def conventions(kind: Arm, along: str) -> dict[str, dict[str, dict]]:
    """The choices for curves along "data", "parameters" or "compute": convention → choice → what it changes.

    A change names another column (`x` or `loss`; `power` for a loss that is a power of an error), another rule for rows
    (`rows`), or another objective. The first choice of each convention is the one the fits of the study make.
    """
    error = {} if kind.loss_degree == 1 else {"power": 1 / kind.loss_degree}
    return {
        f"{along} counted as": {column: {"x": column} for column in kind.counted[along]},
        "loss": {
            kind.loss: {},
            "best evaluation": {"loss": "validation_loss_best", **error},
            "last evaluation": {"loss": "validation_loss", **error},
        },
        "outliers": {
            "all runs": {},
            "without the run farthest from the law": {"rows": "worst"},
            "without the smallest size": {"rows": "smallest"},
        },
        "objective": {
            "Huber, δ from the residuals": {},
            **{f"Huber, δ = {delta:g}": {"delta": delta} for delta in DELTAS},
            "least squares of log loss": {"objective": "least_squares_log"},
            "least absolute deviations": {"objective": "lad"},
        },
        "learning rate": {
            "by the rule of the sweep": {},
            "best of several for each cell": {"unavailable": "every cell was trained at one learning rate"},
        },
    }


def sensitivity(runs: pd.DataFrame, kind: Arm, along: str, form: str, interval: tuple[float, float]) -> dict:
    """Exponent of one curve (its runs) under every convention, one changed at a time, as content for JSON.

    `interval` is the statistical one of the study's own choice. A choice that cannot be made with this table is listed
    with its reason.
    """
    base = _fit(runs, kind, along, form, {})
    exponent = base.parameters["exponent"]
    rows = []
    for convention, choices in conventions(kind, along).items():
        for choice, change in choices.items():
            row = {"convention": convention, "choice": choice, "exponent": None, "change": None, "reason": None}
            try:
                other = _fit(_rows(runs, base, kind, along, change), kind, along, form, change).parameters["exponent"]
                row |= {"exponent": other, "change": other - exponent}
            except ChemscaleError as error:
                row["reason"] = str(error)
            rows.append(row)
    found = [row["exponent"] for row in rows if row["exponent"] is not None]
    spread, width = max(found) - min(found), interval[1] - interval[0]
    largest = max((row for row in rows if row["change"] is not None), key=lambda row: abs(row["change"]))
    times = f", {spread / width:.1f} times the width of its interval" if width > 0 else ""
    return {
        "form": form,
        "exponent": exponent,
        "rows": rows,
        "range": [min(found), max(found)],
        "interval": list(interval),
        "statement": (
            f"Choices move the exponent from {min(found):.3g} to {max(found):.3g}{times}; "
            f"most of all {largest['convention']}: {largest['choice']} ({largest['change']:+.3f})."
        ),
    }


def _fit(runs: pd.DataFrame, kind: Arm, along: str, form: str, change: dict) -> Fit:
    if "unavailable" in change:
        raise ChemscaleError(change["unavailable"])
    x, loss = change.get("x", kind.counted[along][0]), change.get("loss", kind.loss)
    if missing := [column for column in (x, loss) if column not in runs or runs[column].isna().any()]:
        raise ChemscaleError(f"the table lacks {', '.join(missing)}, at least for some runs")
    y = runs[loss].to_numpy(float) ** change.get("power", 1)
    options = {name: change[name] for name in ("delta", "objective") if name in change}
    return fit_law(form, runs[x].to_numpy(float), y, starts=16, **options)


def _rows(runs: pd.DataFrame, base: Fit, kind: Arm, along: str, change: dict) -> pd.DataFrame:
    x = runs[kind.counted[along][0]].to_numpy(float)
    rule = change.get("rows")
    if rule == "worst":
        return runs[np.arange(len(runs)) != np.abs(base.residuals).argmax()]
    return runs[x > x.min()] if rule == "smallest" else runs
