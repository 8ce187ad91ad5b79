"""Answer questions from a fitted law: the loss at given points, and the best N and D for a budget."""

from collections.abc import Iterable, Mapping

import numpy as np

from chemscale.scaling.allocation.cost import SIX_N_D, Cost
from chemscale.scaling.allocation.frontier import extrapolated, optima
from chemscale.scaling.law import ScalingLaw
from chemscale.scaling.table import require_variables


def predictions(law: ScalingLaw, points: Iterable[Mapping[str, float]], runs: int | None = None) -> list[dict]:
    """Return the loss at each point with the interval of the law, or with `runs` of their mean, as content for JSON."""
    found = []
    for point in points:
        place = require_variables(point, law.fit.form.variables)
        (row,) = law.predict(runs, **place).to_dict("records")
        found.append(
            {name: float(value) for name, value in row.items()} | {"extrapolated": extrapolated(law.fit, place)}
        )
    return found


def allocation(law: ScalingLaw, budgets: Iterable[float], cost: Cost = SIX_N_D, distinct: float | None = None) -> dict:
    """Return the best N and D for each budget with intervals, as content for JSON (see `optima`).

    `cost` is the cost of a run; `distinct` is the number of distinct examples of a law with repeats. Raises
    ChemscaleError for a law that is not one of N and D.
    """
    return optima(law.boot, cost, np.array(list(budgets)), law.confidence, distinct=distinct)


def answers_text(confidence: float, predicted: list[dict], allocated: dict | None) -> str:
    """Return one line per prediction and per budget."""
    lines = []
    for row in predicted:
        place = ", ".join(
            f"{name}={row[name]:.4g}" for name in row if name not in ("loss", "low", "high", "extrapolated")
        )
        beyond = f"; beyond the points in {', '.join(row['extrapolated'])}" if row["extrapolated"] else ""
        lines.append(f"{place}: loss {row['loss']:.4g} ({_ends(row['low'], row['high'])} at {confidence:.0%}){beyond}")
    for entry in allocated["budgets"] if allocated else []:
        if "refused" in entry:
            lines.append(f"budget {entry['compute']:.4g}: {entry['refused']}")
            continue
        shown = [f"{name} = {entry[name]:.4g} ({_ends(*entry['intervals'][name])})" for name in ("N", "D", "loss")]
        beyond = f"; beyond the points in {', '.join(entry['extrapolated'])}" if entry["extrapolated"] else ""
        lines.append(f"budget {entry['compute']:.4g}: {', '.join(shown)} at {confidence:.0%}{beyond}")
    return "\n".join(lines)


def _ends(low: float | None, high: float | None) -> str:
    return " to ".join("no limit" if end is None else f"{end:.4g}" for end in (low, high))
