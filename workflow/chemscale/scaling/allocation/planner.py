"""Choose the cells to train next on a budget: those that narrow one interval most, or the one with the lowest loss.

Measured on simulated tables of 3 sizes × 5 amounts of data with 1.5 % noise (tests/benchmarks/planner.py, 40 tables
each, at most 20 runs): median width of the 90 % interval over that before, on a budget of the table's own cost:

    α    β    floor  quantity             plan (expected)  run at the optimum  repeat what is there
    0.35 0.3  1.0    a                    0.39 (0.37)      0.90                0.68
    0.35 0.3  1.0    loss at a far N, D   0.53 (0.50)      0.74                0.73
    0.6  0.4  0.5    a                    0.46 (0.41)      0.96                0.71
    0.6  0.4  0.5    loss at a far N, D   0.58 (0.53)      0.72                0.71

The form was the true one there. Where it is not, a plan is as wrong as the form.
"""

from typing import Any

import numpy as np
import pandas as pd

from chemscale.errors import ChemscaleError, NotFittable
from chemscale.scaling.allocation.cost import Cost, cost_of_table
from chemscale.scaling.allocation.design import Design, Quantity, choose_runs
from chemscale.scaling.allocation.frontier import extrapolated, optimum
from chemscale.scaling.api import fit
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.inference.bootstrap import Bootstrap, quantile_interval
from chemscale.scaling.inference.identifiability import MAX_CORRELATION

GOALS = ("interval", "loss")
MAX_REPEATS = 3  # of a cell
MAX_RUNS = 20
LARGER = (2.0, 4.0)  # candidates over the largest size in the table
MAX_PRIOR_SHARE = 0.1  # of a quantity's variance: above it, the prior of the design determines it and not the runs
MIN_GAIN = 1e-6  # relative; a lower predicted gain is rounding
MIN_SHARE_SPENT = 0.5  # of the budget; a plan that spends less says why


def plan(
    boot: Bootstrap,
    candidates: dict[str, np.ndarray],
    cost: Cost,
    budget: float,
    goal: str = "interval",
    of: str | dict[str, float] = "a",
    confidence: float = 0.9,
    max_repeats: int = MAX_REPEATS,
    max_runs: int = MAX_RUNS,
) -> dict:
    """Choose the cells to train next from `candidates` {"N", "D"} (cells,); return content for JSON.

    Goal `interval`: the cells that narrow the interval of one quantity most; `of` is an exponent, the floor, `a`, or
    the loss at {"N", "D"}. Goal `loss`: the cell with the lowest predicted loss. `budget` is in the unit of `cost`. No
    cell is repeated more than `max_repeats` times, here or in the alternatives on the same budget that stand beside the
    plan: one run at the compute optimum, and more seeds of the cells in the table (cheapest first, in rounds).
    `width_ratio` is the expected width of the interval over its present width; it is valid as far as the form is, and
    None where the runs so far do not determine the quantity.
    Raises ChemscaleError for unknown goals and for budgets that pay for no candidate; NotFittable where no affordable
    cell is predicted to lower the loss, or where the runs cannot tell.
    """
    fit = boot.fit
    if fit.form.variables != ("N", "D"):
        raise ChemscaleError(f"form {fit.form.name}: a plan needs a law of N and D, such as joint")
    if goal not in GOALS:
        raise ChemscaleError(f"goal = {goal!r}: choose one of {', '.join(GOALS)}")
    cells = {name: np.asarray(candidates[name], dtype=float) for name in ("N", "D")}
    costs = cost.of(cells["N"], cells["D"])
    if not (costs <= budget).any():
        raise ChemscaleError(f"budget = {budget:g}: too small; the cheapest candidate costs {costs.min():.3g}")
    make = {"interval": _plan_interval, "loss": _plan_loss}[goal]
    return {
        "goal": goal,
        "budget": float(budget),
        "cost": cost.to_dict(),
        "form": fit.form.name,
        "confidence": confidence,
        "max_repeats": max_repeats,
    } | make(boot, cells, cost, budget, of, confidence, (max_repeats, max_runs))


def plan_table(
    table: pd.DataFrame,
    budget: float,
    goal: str = "interval",
    of: str | dict[str, float] = "a",
    cost: str | None = None,
    max_repeats: int = MAX_REPEATS,
    max_runs: int = MAX_RUNS,
    **options: Any,
) -> dict:
    """Fit a surface to a table of runs and plan the next ones (see `plan`); `options` are those of `fit`.

    Candidates are those of `candidate_grid`. Costs are those of the column `cost` (FLOPs, device seconds; the budget is
    in its unit), otherwise 6 N D. Raises what `fit`, `cost_law` and `plan` raise.
    """
    law = fit(table, **{"form": "joint"} | {name: value for name, value in options.items() if value is not None})
    x = law.fit.x
    of_runs = cost_of_table(table, x, cost)
    draws = law.boot
    cells = candidate_grid(x["N"], x["D"])
    return plan(draws, cells, of_runs, budget, goal, of, law.confidence, max_repeats, max_runs)


def candidate_grid(n: np.ndarray, d: np.ndarray) -> dict[str, np.ndarray]:
    """Return candidate cells around those of a table: all pairs of a size and an amount of data.

    Both run over the values in the table, those halfway between them in logs, and two and four times the largest. Cells
    with less data per parameter than any run are left out: there the usual forms fail first.
    """
    pairs = [values.ravel() for values in np.meshgrid(_ladder(n), _ladder(d), indexing="ij")]
    kept = pairs[1] / pairs[0] >= (d / n).min()
    return {"N": pairs[0][kept], "D": pairs[1][kept]}


def _ladder(values: np.ndarray) -> np.ndarray:
    sizes = np.unique(values)
    between = np.round(np.sqrt(sizes[1:] * sizes[:-1]))
    return np.unique(np.concatenate([sizes, between, sizes[-1] * np.array(LARGER)]))


def _plan_interval(
    boot: Bootstrap,
    cells: dict[str, np.ndarray],
    cost: Cost,
    budget: float,
    of: str | dict[str, float],
    confidence: float,
    limits: tuple[int, int],
) -> dict:
    quantity, label = _quantity(boot.fit, of)
    design = Design(boot, quantity, confidence)
    affordable = cost.of(cells["N"], cells["D"]) <= budget
    cells = {name: values[affordable] for name, values in cells.items()}
    counts = choose_runs(design, cells, cost.of(cells["N"], cells["D"]), budget, *limits)
    made = _entry(cells, counts, cost, design)
    alternatives = {
        "run at the optimum": _at_optimum(boot.fit, cells, cost, budget, design),
        "repeat what is there": _repeats(boot.fit, cost, budget, limits[0], design),
    }
    low, high = quantile_interval(quantity(boot.theta), confidence)
    unknown = _undetermined(design)
    if unknown:
        for entry in (made, *alternatives.values()):
            entry |= {"width_ratio": None} if "width_ratio" in entry else {}
        text = f"{counts.sum()} runs in {(counts > 0).sum()} cells are chosen to determine {label}; how narrow its "
        text += f"interval will be cannot be predicted, because {unknown}"
    else:
        others = [f"{name}: {entry['width_ratio']:.2f}" for name, entry in alternatives.items() if "cells" in entry]
        text = f"{counts.sum()} runs in {(counts > 0).sum()} cells should narrow the {confidence:.0%} interval of "
        text += f"{label} to {made['width_ratio']:.2f} of its width" + (f" ({'; '.join(others)})" if others else "")
    if made["spent"] < MIN_SHARE_SPENT * budget:
        text += f"; they cost {made['spent']:.3g}, as the candidates around these runs are few and small, with at most "
        text += f"{limits[0]} runs of each and {limits[1]} in all"
    return {
        "of": label,
        "value": float(quantity(boot.fit.theta[None])[0]),
        "interval": [float(low), float(high)],
        "expected_width": None if unknown else float(high - low) * made["width_ratio"],
        **made,
        "alternatives": alternatives,
        "statement": text + ".",
    }


def _undetermined(design: Design) -> str | None:
    """Return why the runs so far do not determine the quantity of a design; None if they do."""
    if reason := _on_one_ray(design.fit):
        return reason
    if design.prior_share > MAX_PRIOR_SHARE:
        return "the runs so far do not determine it"
    return None


def _on_one_ray(fit: Fit) -> str | None:
    correlation = fit.diagnostics["correlation"]
    if correlation is None or abs(correlation) <= MAX_CORRELATION:
        return None
    return f"log N and log D of the runs correlate at {correlation:.2f}, so that their effects cannot be separated"


def _quantity(fit: Fit, of: str | dict[str, float]) -> tuple[Quantity, str]:
    """Return the quantity whose interval is to be narrowed, as a function of θ, and its name."""
    if isinstance(of, dict):
        if set(of) != {"N", "D"} or not all(np.isfinite(value) and value > 0 for value in of.values()):
            raise ChemscaleError(f"of = {of}: give both N and D of the target, as positive numbers")
        at = {name: np.array([value]) for name, value in of.items()}
        return lambda theta: fit.predict_many(at, theta)[:, 0], f"the loss at N = {of['N']:.3g}, D = {of['D']:.3g}"
    narrowed = [name for name in fit.form.quantities if name not in fit.form.fixed]
    known = [name for name in narrowed if fit.form.kinds.get(name) in ("exponent", "floor", None)]
    if of not in known:
        raise ChemscaleError(f"of = {of!r}: choose one of {', '.join(known)}, or a target N=…,D=…")
    return lambda theta: fit.quantity(of, theta), of


def _entry(cells: dict[str, np.ndarray], counts: np.ndarray, cost: Cost, design: Design | None) -> dict:
    """Return the cells with their repeats, most expensive first, their cost, and the interval's width after them."""
    taken = np.flatnonzero(counts)
    costs = cost.of(cells["N"], cells["D"])
    taken = taken[np.argsort(-costs[taken], kind="stable")]
    content = {
        "cells": [
            {"N": float(cells["N"][i]), "D": float(cells["D"][i]), "cost": float(costs[i]), "repeats": int(counts[i])}
            for i in taken
        ],
        "spent": float((costs * counts).sum()),
    }
    if design is not None:
        runs = {name: np.repeat(values, counts) for name, values in cells.items()}
        content["width_ratio"] = design.expected(runs)
    return content


def _at_optimum(fit: Fit, cells: dict[str, np.ndarray], cost: Cost, budget: float, design: Design | None) -> dict:
    """Return one run at the compute optimum, refused where the candidates do not reach it."""
    best = optimum(fit, cost, budget, {name: (values.min(), values.max()) for name, values in cells.items()})
    if "refused" in best:
        return {"refused": best["refused"]}
    return _entry({name: np.array([best[name]]) for name in ("N", "D")}, np.array([1]), cost, design)


def _repeats(fit: Fit, cost: Cost, budget: float, max_repeats: int, design: Design | None) -> dict:
    """Return more seeds of the cells in the table, cheapest first, in rounds, as far as budget and repeats allow."""
    n, d = np.unique(np.stack([fit.x["N"], fit.x["D"]]), axis=1)
    costs = cost.of(n, d)
    rounds = min(int(budget // costs.sum()), max_repeats)
    counts = np.full(len(costs), rounds)
    order = np.argsort(costs)
    if rounds < max_repeats:
        counts[order[np.cumsum(costs[order]) <= budget - rounds * costs.sum()]] += 1
    if not counts.any():
        return {"refused": f"the cheapest cell costs {costs.min():.3g}"}
    return _entry({"N": n, "D": d}, counts, cost, design)


def _plan_loss(
    boot: Bootstrap,
    cells: dict[str, np.ndarray],
    cost: Cost,
    budget: float,
    of: str | dict[str, float],
    confidence: float,
    limits: tuple[int, int],
) -> dict:
    """Return the affordable candidate with the lowest predicted loss, beside the exact optimum and the best cell."""
    fit = boot.fit
    if reason := _on_one_ray(fit):
        raise NotFittable(f"no loss can be predicted off the ray of the runs: {reason}; vary N at equal D first")
    costs = cost.of(cells["N"], cells["D"])
    losses = np.where(costs <= budget, fit.predict(cells), np.inf)
    best = int(losses.argmin())
    cell = {name: values[[best]] for name, values in cells.items()}
    place = f"N = {cell['N'][0]:.3g}, D = {cell['D'][0]:.3g}"
    gain = 1 - losses[best] / fit.predict(fit.x).min()
    if gain < MIN_GAIN:
        raise NotFittable(
            f"budget = {budget:g}: no affordable cell is predicted to have a lower loss than the runs (the best, "
            f"{place}, {losses[best]:.4g}); raise the budget"
        )
    low, high = (float(end[0]) for end in boot.band(cell, confidence, runs=1))
    at_optimum = _at_optimum(fit, cells, cost, budget, None)
    if "cells" in at_optimum:
        exact = optimum(fit, cost, budget)
        at_optimum |= {"loss": exact["loss"], "extrapolated": exact["extrapolated"]}
    again = _repeats(fit, cost, budget, limits[0], None)
    if "cells" in again:
        again["loss"] = float(min(fit.predict({k: repeated[k] for k in cell})[0] for repeated in again["cells"]))
    text = f"{place} should reach a loss of {losses[best]:.4g} ({low:.4g} to {high:.4g} at {confidence:.0%}), "
    text += f"{gain:.1%} below the law at the best cell so far"
    return {
        **_entry(cell, np.array([1]), cost, None),
        "loss": float(losses[best]),
        "interval": [low, high],
        "gain": float(gain),
        "extrapolated": extrapolated(fit, {name: float(values[0]) for name, values in cell.items()}),
        "alternatives": {"run at the optimum": at_optimum, "repeat what is there": again},
        "statement": text + ".",
    }
