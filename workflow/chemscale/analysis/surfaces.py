"""What a study says about a family as a whole: L(N, D), its forecast, and where compute should go."""

import numpy as np
import pandas as pd

from chemscale.analysis.curves import hold_out, names, or_reason
from chemscale.arms import PARAMETERS, Arm
from chemscale.errors import ChemscaleError
from chemscale.scaling.allocation.cost import cost_law
from chemscale.scaling.allocation.frontier import loss_paid, optima
from chemscale.scaling.allocation.isoflop import compute_frontier
from chemscale.scaling.allocation.planner import GOALS, grid_of, plan
from chemscale.scaling.api import ScalingLaw, fit
from chemscale.scaling.selection.selection import select
from chemscale.scaling.selection.sensitivity import sensitivity
from chemscale.scaling.summary import mark_preferred

SURFACE_FORMS = ("joint_no_floor", "joint_tied", "joint")
BUDGETS = 5  # from that of the cheapest run to ten times that of the dearest


def fit_surface(family: str, cells: pd.DataFrame, kind: Arm, options: dict) -> dict:
    """Content for JSON about all runs of a family.

    `joint` (a fit for each form of L(N, D)), `forecasts`, `judgements` (selection), `frontiers` (loss against compute),
    `allocations` (best N and D for a budget), `next` (what to train next) and `not_fitted`. Runs with the same amount
    of data share their training subset, so they are also resampled together.
    """
    head = {"family": family, "along": "both", "at": {}}
    x = {"N": cells[PARAMETERS].to_numpy(float), "D": cells[kind.data].to_numpy(float)}
    loss, flops = cells[kind.loss].to_numpy(float), _flops(cells)
    content: dict = {"joint": [], "forecasts": [], "judgements": [], "allocations": [], "next": [], "not_fitted": []}
    content["frontiers"] = [{"family": family, **or_reason(lambda: _frontier(cells, kind, flops, options))}]
    laws: dict[str, ScalingLaw] = {}
    for form in SURFACE_FORMS:
        try:
            laws[form] = fit(cells, kind.loss, PARAMETERS, kind.data, form=form, group="data", **options)
        except ChemscaleError as error:
            content["not_fitted"].append({**head, "form": form, "what": "fit", "reason": str(error)})
    if not laws:
        reason = content["not_fitted"][-1]["reason"]
        content["next"] = [{"family": family, "reason": f"no surface L(N, D) to plan with: {reason}"}]
        return content

    selection = or_reason(lambda: select(tuple(laws), x, loss, flops))
    content["judgements"] = [{**head, "selection": selection}]
    content["joint"] = [{**head, "cells": names(cells), **law.to_dict()} for law in laws.values()]
    mark_preferred(content["joint"], selection.get("chosen"))
    for form in laws:
        made = hold_out({**head, "form": form}, cells, x, kind.loss, options, content["not_fitted"])
        content["forecasts"] += [made] if made else []
    if content["forecasts"]:
        mark_preferred(content["forecasts"], selection.get("chosen"))
    law = laws.get(selection.get("chosen"), next(iter(laws.values())))
    content["allocations"] = [{"family": family, **or_reason(lambda: _allocation(law, x, flops))}]
    content["next"] = [
        {"family": family, "goal": goal, **or_reason(lambda goal=goal: _next(law, x, flops, goal))} for goal in GOALS
    ]
    return content


def _flops(cells: pd.DataFrame) -> np.ndarray | None:
    """Exact FLOPs of the runs; None where the table has none."""
    if "flops" not in cells or cells["flops"].isna().any():
        return None
    return cells["flops"].to_numpy(float)


def _frontier(cells: pd.DataFrame, kind: Arm, flops: np.ndarray | None, options: dict) -> dict:
    """The law of the runs that no cheaper one beats, and what conventions of counting compute do to it."""
    if flops is None:
        raise ChemscaleError("the table has no FLOPs of these runs")
    found = compute_frontier(flops, cells[kind.loss].to_numpy(float), **options)
    on = cells[found["on"]]
    moved = sensitivity(on, kind, "compute", "power", found["intervals"]["exponent"])
    return found | {"on": names(on), "sensitivity": moved}


def _allocation(law: ScalingLaw, x: dict[str, np.ndarray], flops: np.ndarray | None) -> dict:
    cost = cost_law(x["N"], x["D"], flops)
    spent = cost.of(x["N"], x["D"])
    budgets = np.geomspace(spent.min(), 10 * spent.max(), BUDGETS)
    found = optima(law.boot, cost, budgets, law.confidence)
    for entry in found["budgets"]:
        if "refused" not in entry:
            entry["loss_paid"] = loss_paid(law.fit, cost, entry["compute"])
    return found


def _next(law: ScalingLaw, x: dict[str, np.ndarray], flops: np.ndarray | None, goal: str) -> dict:
    """The next runs for as much compute as these runs have used."""
    cost = cost_law(x["N"], x["D"], flops)
    wanted = "a" if "beta" in law.parameters else "alpha"  # tied exponents leave one
    budget = float(cost.of(x["N"], x["D"]).sum())
    return plan(law.boot, grid_of(x["N"], x["D"]), cost, budget, goal, wanted, law.confidence)
