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

import numpy as np
import pandas as pd

from chemscale.errors import ChemscaleError
from chemscale.scaling.allocation.cost import Cost, cost_law
from chemscale.scaling.allocation.design import Design, Quantity, choose_runs
from chemscale.scaling.allocation.frontier import extrapolated, optimum
from chemscale.scaling.fitting.fit import Fit, fit_law
from chemscale.scaling.fitting.validation import numbers, require_columns
from chemscale.scaling.inference.bootstrap import Bootstrap, bootstrap, quantile_interval

GOALS = ("interval", "loss")
MAX_REPEATS = 3  # of a cell
MAX_RUNS = 20
LARGER = (2.0, 4.0)  # candidates over the largest size in the table


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
    the loss at {"N", "D"}. Goal `loss`: the cell with the lowest predicted loss. `budget` is in the unit of `cost`. Two
    alternatives on the same budget stand beside the plan: one run at the compute optimum, and one more seed of every
    cell in the table (cheapest first, in rounds, as far as the budget goes). `width_ratio` is the expected width of the
    interval over its present width. It is valid as far as the form is.
    Raises ChemscaleError for unknown goals and for budgets that pay for no candidate.
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
    } | make(boot, cells, cost, budget, of, confidence, (max_repeats, max_runs))


def plan_table(
    table: pd.DataFrame,
    loss: str,
    params: str,
    data: str,
    compute: str | None,
    budget: float,
    goal: str = "interval",
    of: str | dict[str, float] = "a",
    form: str = "joint",
    confidence: float = 0.9,
    draws: int = 300,
    seed: int = 0,
) -> dict:
    """Fit a surface to a table of runs whose columns are named, and plan the next ones (see `plan`).

    Candidates are those of `candidate_grid`. Costs are those of the column `compute` (FLOPs, device seconds; the budget
    is in its unit), otherwise 6 N D.
    Raises ChemscaleError for missing columns, NotFittable for tables that cannot support the law.
    """
    require_columns(table, [name for name in (loss, params, data, compute) if name], "a plan")
    n, d = numbers(table, params), numbers(table, data)
    fit = fit_law(form, {"N": n, "D": d}, numbers(table, loss))
    cost = cost_law(n, d, numbers(table, compute) if compute else None)
    boot = bootstrap(fit, draws, seed)
    return plan(boot, candidate_grid(n, d), cost, budget, goal, of, confidence)


def target(text: str) -> str | dict[str, float]:
    """Parse the quantity of a plan from a command line: a parameter's name, or "N=1e6,D=1e5" for the loss there."""
    if "=" not in text:
        return text
    try:
        return {name.strip(): float(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise ChemscaleError(f"of = {text!r}: not a target; write N=1e6,D=1e5") from None


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
    plan = _entry(cells, counts, cost, design)
    alternatives = {
        "run at the optimum": _at_optimum(boot.fit, cells, cost, budget, design),
        "repeat what is there": _repeats(boot.fit, cost, budget, design),
    }
    ends = quantile_interval(quantity(boot.theta), confidence)
    width = float(np.ptp(ends))
    others = [f"{name}: {entry['width_ratio']:.2f}" for name, entry in alternatives.items() if "width_ratio" in entry]
    best = float(quantity(boot.fit.theta[None])[0])
    text = f"{counts.sum()} runs in {(counts > 0).sum()} cells should narrow the {confidence:.0%} interval of {label}"
    text += f" to {plan['width_ratio']:.2f} of its width" + (f" ({'; '.join(others)})" if others else "")
    return {
        "of": label,
        "value": best,
        "interval": [float(end) for end in ends],
        "expected_width": width * plan["width_ratio"],
        **plan,
        "alternatives": alternatives,
        "statement": text + ".",
    }


def _quantity(fit: Fit, of: str | dict[str, float]) -> tuple[Quantity, str]:
    """Return the quantity whose interval is to be narrowed, as a function of θ, and its name."""
    if isinstance(of, dict):
        if set(of) != {"N", "D"} or not all(np.isfinite(value) and value > 0 for value in of.values()):
            raise ChemscaleError(f"of = {of}: give both N and D of the target, as positive numbers")
        at = {name: np.array([value]) for name, value in of.items()}
        return lambda theta: fit.predict_many(at, theta)[:, 0], f"the loss at N = {of['N']:.3g}, D = {of['D']:.3g}"
    known = [name for name in fit.form.quantities if fit.form.kinds.get(name) in ("exponent", "floor", None)]
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


def _repeats(fit: Fit, cost: Cost, budget: float, design: Design | None) -> dict:
    """Return one more seed of every cell in the table, cheapest first, in rounds, as far as the budget goes."""
    n, d = np.unique(np.stack([fit.x["N"], fit.x["D"]]), axis=1)
    costs = cost.of(n, d)
    rounds = int(budget // costs.sum())
    counts = np.full(len(costs), rounds)
    order = np.argsort(costs)
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
    """Return the affordable candidate with the lowest predicted loss, beside the exact optimum and the best run."""
    fit = boot.fit
    costs = cost.of(cells["N"], cells["D"])
    losses = np.where(costs <= budget, fit.predict(cells), np.inf)
    best = int(losses.argmin())
    cell = {name: values[[best]] for name, values in cells.items()}
    low, high = (float(end[0]) for end in boot.band(cell, confidence, runs=1))
    at_optimum = _at_optimum(fit, cells, cost, budget, None)
    if "cells" in at_optimum:
        exact = optimum(fit, cost, budget)
        at_optimum |= {"loss": exact["loss"], "extrapolated": exact["extrapolated"]}
    again = _repeats(fit, cost, budget, None)
    if "cells" in again:
        again["loss"] = float(min(fit.predict({k: repeated[k] for k in cell})[0] for repeated in again["cells"]))
    gain = 1 - losses[best] / fit.loss.min()
    text = f"N = {cell['N'][0]:.3g}, D = {cell['D'][0]:.3g} should reach a loss of {losses[best]:.4g}"
    text += f" ({low:.4g} to {high:.4g} at {confidence:.0%}), {gain:.1%} below the best run so far"
    return {
        **_entry(cell, np.array([1]), cost, None),
        "loss": float(losses[best]),
        "interval": [low, high],
        "gain": float(gain),
        "extrapolated": extrapolated(fit, {name: float(values[0]) for name, values in cell.items()}),
        "alternatives": {"run at the optimum": at_optimum, "repeat what is there": again},
        "statement": text + ".",
    }
