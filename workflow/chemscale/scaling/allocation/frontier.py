"""Compute-optimal model size and data: where a fitted surface L(N, D) is lowest on a budget, and what leaving it costs.

Every surface here that has no repeats falls with g = A N^-α + B D^-β (of Kaplan's form g is the sum inside the power:
A^(α/β), α/β, B, 1). On a budget C = k N^p D^q the least g has α A N^-α / p = β B D^-β / q (Hoffmann et al. 2022,
arXiv:2203.15556, eq. 4, for p = q = 1), hence

    log N = [q log(α A q / (β B p)) + β log(C/k)] / (α q + β p),    N ∝ C^(β / (α q + β p)),    D ∝ C^(α / (α q + β p))

With repeats the least is searched for on a dense grid of N.
"""

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.allocation.cost import Cost
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.forms.laws import SURFACES
from chemscale.scaling.inference.bootstrap import Bootstrap

REACH = 1e3  # beyond the smallest and largest N and D of the points that an optimum may lie, unless limits are given
GRID = 2001
FARTHEST = 100.0  # of |log N| and |log D|: farther out, one exponent is nothing and there is no optimum


def optimum(
    fit: Fit,
    cost: Cost,
    compute: float,
    limits: dict[str, tuple[float, float]] | None = None,
    distinct: float | None = None,
) -> dict:
    """N, D and loss of the law's lowest point on the budget `compute`, and which of N and D are `extrapolated`.

    `limits` gives the lowest and highest N and D that can be chosen (sizes that can be built, data there is); left out,
    three decades around the points. `distinct` is U of a form with repeats. An optimum outside the limits is
    {"compute", "refused"}. Raises ChemscaleError for a form that is no surface.
    """
    log_n, log_d = _optimal(fit, cost, compute, fit.theta[None], distinct)
    return _judged(fit, cost, compute, float(log_n[0]), float(log_d[0]), limits, distinct)


def optima(
    boot: Bootstrap,
    cost: Cost,
    budgets: np.ndarray,
    confidence: float,
    limits: dict[str, tuple[float, float]] | None = None,
    distinct: float | None = None,
) -> dict:
    """The compute-optimal frontier as content for JSON: cost law, exponents of N and D in compute, and each budget.

    Every value has an `interval` from the draws; an end that is None is not bounded. The uncertainty of the cost law
    is left out: it is far smaller.
    """
    fit = boot.fit
    entries = []
    for compute in map(float, budgets):
        entry = optimum(fit, cost, compute, limits, distinct)
        if "refused" not in entry:
            log_n, log_d = _optimal(fit, cost, compute, boot.theta, distinct)
            loss = _own_losses(fit, log_n, log_d, boot.theta, distinct)
            entry["intervals"] = {
                "N": interval(np.exp(log_n), confidence),
                "D": interval(np.exp(log_d), confidence),
                "loss": interval(loss, confidence),
            }
        entries.append(entry)
    return {"form": fit.form.name, "cost": cost.to_dict(), "exponents": _exponents(boot, cost, confidence)} | {
        "confidence": confidence,
        "budgets": entries,
    }


def loss_paid(
    fit: Fit, cost: Cost, compute: float, factors: tuple[float, ...] = (0.25, 0.5, 2.0, 4.0), distinct=None
) -> list[dict]:
    """What it costs to leave the optimum on the same budget: relative excess loss at N_opt × each of `factors`.

    Raises ChemscaleError, with the reason, if the optimum is refused.
    """
    best = optimum(fit, cost, compute, distinct=distinct)
    if "refused" in best:
        raise ChemscaleError(best["refused"])
    n = best["N"] * np.asarray(factors, dtype=float)
    d = cost.data(n, compute)
    losses = fit.predict(_points(fit, n, d, distinct))
    return [
        {"factor": float(f), "N": float(a), "D": float(b), "loss": float(c), "excess": float(c / best["loss"] - 1)}
        for f, a, b, c in zip(factors, n, d, losses, strict=True)
    ]


def interval(draws: np.ndarray, confidence: float) -> list[float | None]:
    """Ends between which the share `confidence` of draws lies; None for one that is not bounded.

    A draw that is NaN says nothing: it counts below the lower end and above the upper one.
    """
    tail = (1 - confidence) / 2
    low, high = (
        np.quantile(np.where(np.isnan(draws), unknown, draws), share, method="inverted_cdf")
        for unknown, share in ((-np.inf, tail), (np.inf, 1 - tail))
    )
    return [float(end) if np.isfinite(end) else None for end in (low, high)]


def extrapolated(fit: Fit, point: dict[str, float]) -> list[str]:
    """The variables of a point that lie outside the range of the points fitted."""
    return [name for name, value in point.items() if not fit.x[name].min() <= value <= fit.x[name].max()]


def _sum_of_powers(fit: Fit, theta: np.ndarray) -> tuple[np.ndarray, ...]:
    """log A, α, log B and β, each (draws,), of the sum of powers that the surface falls with."""
    values = fit.form.natural(fit.scaling, theta)
    alpha = values["alpha"]
    beta = values.get("beta", alpha)  # tied
    with np.errstate(divide="ignore"):
        log_a, log_b = np.log(values["A"]), np.log(values["B"])
    if not fit.form.name.startswith("kaplan"):
        return log_a, alpha, log_b, beta
    ratio = alpha / np.maximum(beta, 1e-12)
    return ratio * log_a, ratio, log_b, np.ones_like(ratio)


def _optimal(fit: Fit, cost: Cost, compute: float, theta, distinct) -> tuple[np.ndarray, np.ndarray]:
    """log N and log D of the optimum for each θ (draws, parameters); NaN where there is none."""
    if fit.form.name not in SURFACES:
        raise ChemscaleError(f"form {fit.form.name} has no N and D to choose; fit one of {', '.join(SURFACES)}")
    if not (np.isfinite(compute) and compute > 0):
        raise ChemscaleError(f"compute {compute:g}: a budget is a positive number")
    if fit.form.name == "repeated":
        return _searched(fit, cost, compute, theta, distinct)
    log_a, alpha, log_b, beta = _sum_of_powers(fit, theta)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(alpha * cost.q) + log_a - np.log(beta * cost.p) - log_b
        log_n = (cost.q * ratio + beta * np.log(compute / cost.k)) / (alpha * cost.q + beta * cost.p)
        log_d = (np.log(compute / cost.k) - cost.p * log_n) / cost.q
        defined = np.maximum(np.abs(log_n), np.abs(log_d)) < FARTHEST
    return np.where(defined, log_n, np.nan), np.where(defined, log_d, np.nan)


def _searched(fit: Fit, cost: Cost, compute: float, theta, distinct) -> tuple[np.ndarray, np.ndarray]:
    """The same on a grid of N, refined by a parabola through the three lowest neighbours."""
    if distinct is None:
        raise ChemscaleError("a law with repeats has an optimum for a given number of distinct examples; name it")
    n = fit.x["N"]
    grid = np.linspace(np.log(n.min() / REACH**2), np.log(n.max() * REACH**2), GRID)
    losses = fit.predict_many(_points(fit, np.exp(grid), cost.data(np.exp(grid), compute), distinct), theta)
    place = losses.argmin(axis=1)
    inner = np.clip(place, 1, GRID - 2)
    left, middle, right = (losses[np.arange(len(theta)), inner + step] for step in (-1, 0, 1))
    bend = np.maximum(left - 2 * middle + right, 1e-300)
    shift = np.clip((left - right) / (2 * bend), -1, 1) * (grid[1] - grid[0])
    log_n = np.where(place == inner, grid[inner] + shift, grid[place])
    return log_n, (np.log(compute / cost.k) - cost.p * log_n) / cost.q


def _points(fit: Fit, n: np.ndarray, d: np.ndarray, distinct: float | None) -> dict[str, np.ndarray]:
    x = {"N": np.atleast_1d(n), "D": np.atleast_1d(d)}
    return x if distinct is None else x | {"U": np.full_like(x["N"], distinct)}


def _own_losses(fit: Fit, log_n, log_d, theta, distinct) -> np.ndarray:
    """Loss of every draw at its own optimum, (draws,)."""
    defined = np.isfinite(log_n)
    losses = np.full(len(theta), np.nan)
    x = _points(fit, np.exp(log_n[defined]), np.exp(log_d[defined]), distinct)
    losses[defined] = np.diagonal(fit.predict_many(x, theta[defined]))
    return losses


def _judged(fit: Fit, cost: Cost, compute, log_n: float, log_d: float, limits, distinct) -> dict:
    """An optimum with its loss, or the reason why it is none."""
    chosen = {"N": log_n, "D": log_d}
    if not np.isfinite(log_n):
        return {"compute": compute, "refused": "the law falls with one of N and D alone, or with neither: no optimum"}
    for name, value in chosen.items():
        low, high = (limits or {}).get(name, (fit.x[name].min() / REACH, fit.x[name].max() * REACH))
        if not np.log(low) <= value <= np.log(high):
            side, edge = ("below", low) if value < np.log(low) else ("above", high)
            reason = f"at {compute:.3g} the optimum has {name} = 10^{value / np.log(10):.1f}, {side} {edge:.3g}"
            return {
                "compute": compute,
                "refused": f"{reason}: the best that can be chosen is an edge of the choices, no optimum",
            }
    n, d = np.exp(log_n), np.exp(log_d)
    return {
        "compute": compute,
        "N": float(n),
        "D": float(d),
        "loss": float(fit.predict(_points(fit, n, d, distinct))[0]),
        "extrapolated": extrapolated(fit, {"N": n, "D": d}),
    }


def _exponents(boot: Bootstrap, cost: Cost, confidence: float) -> dict | None:
    """Exponents of the optimal N and D in compute.

    None for a law with repeats, which has no constant one, and for tied exponents, which give 1/(p + q) by assumption.
    """
    if boot.fit.form.name in ("repeated", "joint_tied"):
        return None
    content = {}
    for name in ("N", "D"):
        best, draws = (_exponent(boot.fit, cost, theta, name) for theta in (boot.fit.theta[None], boot.theta))
        value = float(best[0]) if np.isfinite(best[0]) else None
        content[name] = {"value": value, "interval": interval(draws, confidence)}
    return content


def _exponent(fit: Fit, cost: Cost, theta: np.ndarray, name: str) -> np.ndarray:
    _, alpha, _, beta = _sum_of_powers(fit, theta)
    with np.errstate(invalid="ignore"):
        return {"N": beta, "D": alpha}[name] / (alpha * cost.q + beta * cost.p)
