"""Fit and judge a family as a whole: L(N, D), its forecast, the compute frontier, and the best use of compute."""

from functools import partial

import numpy as np
import pandas as pd

from chemscale.analysis.curves import analysis_choices, hold_out, names, try_or_reason
from chemscale.arms import PARAMETERS, Arm
from chemscale.errors import NotFittable
from chemscale.scaling.allocation.cost import cost_law
from chemscale.scaling.allocation.frontier import excess_loss, lowest_within, optima
from chemscale.scaling.allocation.isoflop import lower_envelope
from chemscale.scaling.allocation.planner import GOALS, candidate_grid, plan
from chemscale.scaling.api import ScalingLaw, fit
from chemscale.scaling.selection.forecast import held_out
from chemscale.scaling.selection.selection import select
from chemscale.scaling.selection.sensitivity import sensitivity
from chemscale.scaling.summary import mark_preferred

SURFACE_FORMS = ("joint_no_floor", "joint_tied", "joint")
BUDGETS = 5  # from the cost of the cheapest run to ten times that of the most expensive one


def fit_surface(family: str, cells: pd.DataFrame, arm: Arm, options: dict) -> dict:
    """Fit and judge all runs of a family; return content for JSON.

    It has `joint` (a fit per form of L(N, D)), `forecasts`, `judgements` (selection), `frontiers` (loss against
    compute), `allocations` (best N and D for a budget), `next` (what to train next) and `not_fitted`. Forecasts of the
    held-out cells prefer the form that the other cells choose. Runs with the same amount of data share their training
    subset, so they are also resampled together.
    """
    head = {"family": family, "along": "both", "at": {}}
    x = {"N": cells[PARAMETERS].to_numpy(float), "D": cells[arm.data].to_numpy(float)}
    loss, flops = cells[arm.loss].to_numpy(float), _flops(cells)
    content: dict = {"joint": [], "forecasts": [], "judgements": [], "allocations": [], "next": [], "not_fitted": []}
    content["frontiers"] = [{"family": family, **try_or_reason(lambda: _frontier(cells, arm, flops, options))}]
    laws: dict[str, ScalingLaw] = {}
    for form in SURFACE_FORMS:
        try:
            laws[form] = fit(cells, arm.loss, PARAMETERS, arm.data, form=form, group="data", **options)
        except NotFittable as error:
            content["not_fitted"].append({**head, "form": form, "what": "fit", "reason": str(error)})
    if not laws:
        reason = content["not_fitted"][-1]["reason"]
        content["next"] = [{"family": family, "reason": f"no surface L(N, D) to plan with: {reason}"}]
        return content

    selection = try_or_reason(lambda: select(tuple(laws), x, loss, flops))
    content["judgements"] = [{**head, "selection": selection}]
    content["joint"] = [{**head, "cells": names(cells), **law.to_dict()} for law in laws.values()]
    chosen = selection.get("chosen") or next(iter(laws))
    mark_preferred(content["joint"], chosen)
    for form in laws:
        made = hold_out({**head, "form": form}, cells, x, arm.loss, options, content["not_fitted"])
        content["forecasts"] += [made] if made else []
    known = ~held_out("joint", x)
    before = try_or_reason(
        lambda: select(
            SURFACE_FORMS,
            {name: of[known] for name, of in x.items()},
            loss[known],
            None if flops is None else flops[known],
        )
    )
    mark_preferred(content["forecasts"], before.get("chosen", SURFACE_FORMS[0]))
    law = laws[chosen]
    content["allocations"] = [{"family": family, **try_or_reason(lambda: _allocation(law, x, flops))}]
    content["next"] = [
        {"family": family, "goal": goal, **try_or_reason(partial(_next, law, x, flops, goal))} for goal in GOALS
    ]
    return content


def _flops(cells: pd.DataFrame) -> np.ndarray | None:
    """Return the exact FLOPs of the runs; None where the table has none."""
    if "flops" not in cells or cells["flops"].isna().any():
        return None
    return cells["flops"].to_numpy(float)


def _frontier(cells: pd.DataFrame, arm: Arm, flops: np.ndarray | None, options: dict) -> dict:
    """Fit the runs that no cheaper run beats, and measure how the law depends on analysis choices."""
    if flops is None:
        raise NotFittable("the table has no FLOPs of these runs")
    found = lower_envelope(flops, cells[arm.loss].to_numpy(float), **options)
    on = cells[found["on"]]
    choices, interval = analysis_choices(arm, "compute"), found["intervals"]["exponent"]
    moved = sensitivity(on, {"x": arm.counted["compute"][0]}, arm.loss, "power", interval, choices)
    return found | {"on": names(on), "sensitivity": moved}


def _allocation(law: ScalingLaw, x: dict[str, np.ndarray], flops: np.ndarray | None) -> dict:
    """Find the best N and D for some budgets, and the `line` of lowest loss within the sizes and data of the runs."""
    cost = cost_law(x["N"], x["D"], flops)
    spent = cost.of(x["N"], x["D"])
    found = optima(law.boot, cost, np.geomspace(spent.min(), 10 * spent.max(), BUDGETS), law.confidence)
    for entry in found["budgets"]:
        if "refused" not in entry:
            entry["loss_paid"] = excess_loss(law.fit, cost, entry["compute"])
    found["line"] = lowest_within(law.fit, cost)
    return found


def _next(law: ScalingLaw, x: dict[str, np.ndarray], flops: np.ndarray | None, goal: str) -> dict:
    """Plan the next runs for as much compute as these runs have used."""
    cost = cost_law(x["N"], x["D"], flops)
    wanted = "a" if "beta" in law.parameters else "alpha"  # tied exponents leave one
    budget = float(cost.of(x["N"], x["D"]).sum())
    return plan(law.boot, candidate_grid(x["N"], x["D"]), cost, budget, goal, wanted, law.confidence)
