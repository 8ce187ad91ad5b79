"""Compute-optimal model size and data: the lowest point of a fitted surface L(N, D) on a budget, and its neighbourhood.

Every surface without repeats falls with g = A N^-α + B D^-β (in Kaplan's form g is the sum inside the power: A^(α/β),
α/β, B, 1). On a budget C = k N^p D^q the lowest g has α A N^-α / p = β B D^-β / q (Hoffmann et al. 2022,
arXiv:2203.15556, eq. 4, for p = q = 1), hence

    log N = [q log(α A q / (β B p)) + β log(C/k)] / (α q + β p),    N ∝ C^(β / (α q + β p)),    D ∝ C^(α / (α q + β p))

With repeats, and for a user's formula, the lowest point is searched for on a dense grid of N.
"""

import numpy as np

from chemscale.errors import ChemscaleError, NotFittable
from chemscale.scaling.allocation.cost import Cost
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.forms.laws import FORMULA, SURFACES
from chemscale.scaling.inference.bootstrap import Bootstrap

EXTRAPOLATION_FACTOR = 1e3  # beyond the N and D of the points, within which an optimum is accepted by default
GRID_POINTS = 2001
MAX_LOG = 100.0  # of |log N| and |log D|: an optimum beyond means that one exponent is zero and there is none


def optimum(
    fit: Fit,
    cost: Cost,
    compute: float,
    limits: dict[str, tuple[float, float]] | None = None,
    distinct: float | None = None,
) -> dict:
    """Return N, D and loss of the law's lowest point on the budget `compute`, and which of N and D are `extrapolated`.

    `limits` gives the lowest and highest N and D that can be chosen (sizes that can be built, available data); by
    default three decades around the points. `distinct` is U of a form with repeats. An optimum outside the limits is
    {"compute", "refused"}. Raises ChemscaleError for a form that is not a surface.
    """
    log_n, log_d = _optimal(fit, cost, compute, fit.theta[None], distinct)
    return _checked(fit, cost, compute, float(log_n[0]), float(log_d[0]), limits, distinct)


def optima(
    boot: Bootstrap,
    cost: Cost,
    budgets: np.ndarray,
    confidence: float,
    limits: dict[str, tuple[float, float]] | None = None,
    distinct: float | None = None,
) -> dict:
    """Return the compute-optimal frontier as content for JSON: cost law, exponents of N and D, and each budget.

    Every value has an `interval` from the draws; an end is None where the draws do not bound it. The uncertainty of the
    cost law is left out: it is far smaller.
    """
    fit = boot.fit
    entries = []
    for compute in map(float, budgets):
        entry = optimum(fit, cost, compute, limits, distinct)
        if "refused" not in entry:
            log_n, log_d = _optimal(fit, cost, compute, boot.theta, distinct)
            loss = _own_losses(fit, log_n, log_d, boot.theta, distinct)
            entry["intervals"] = {
                "N": interval_of_draws(np.exp(log_n), confidence),
                "D": interval_of_draws(np.exp(log_d), confidence),
                "loss": interval_of_draws(loss, confidence),
            }
        entries.append(entry)
    return {"form": fit.form.name, "cost": cost.to_dict(), "exponents": _exponents(boot, cost, confidence)} | {
        "confidence": confidence,
        "budgets": entries,
    }


def lowest_within(fit: Fit, cost: Cost, points: int = 30) -> list[dict]:
    """Return the lowest loss of a surface against compute for N and D within the range of its fitted points.

    Unlike `optima` it can be compared with measured runs, which have no more than the largest N and D. There are up to
    `points` entries (compute, N, D, loss), from the cost of the cheapest fitted point to that of the most expensive.
    """
    n = np.geomspace(fit.x["N"].min(), fit.x["N"].max(), GRID_POINTS)
    low, high = fit.x["D"].min(), fit.x["D"].max()
    spent = cost.of(fit.x["N"], fit.x["D"])
    entries = []
    for compute in np.geomspace(spent.min(), spent.max(), points):
        d = cost.data(n, compute)
        inside = (d >= low * (1 - 1e-9)) & (d <= high * (1 + 1e-9))
        if not inside.any():
            continue
        losses = fit.predict({"N": n[inside], "D": d[inside]})
        best = int(np.argmin(losses))
        entries.append({
            "compute": float(compute), "N": float(n[inside][best]), "D": float(d[inside][best]),
            "loss": float(losses[best]),
        })  # fmt: skip
    return entries


def excess_loss(
    fit: Fit,
    cost: Cost,
    compute: float,
    factors: tuple[float, ...] = (0.25, 0.5, 2.0, 4.0),
    distinct: float | None = None,
) -> list[dict]:
    """Return the relative excess loss at N_opt × each of `factors`, on the same budget as the optimum.

    Raises NotFittable, with the reason, if the optimum is refused.
    """
    best = optimum(fit, cost, compute, distinct=distinct)
    if "refused" in best:
        raise NotFittable(best["refused"])
    n = best["N"] * np.asarray(factors, dtype=float)
    d = cost.data(n, compute)
    losses = fit.predict(_points(fit, n, d, distinct))
    return [
        {"factor": float(f), "N": float(a), "D": float(b), "loss": float(c), "excess": float(c / best["loss"] - 1)}
        for f, a, b, c in zip(factors, n, d, losses, strict=True)
    ]


def interval_of_draws(draws: np.ndarray, confidence: float) -> list[float | None]:
    """Return the ends between which the share `confidence` of `draws` (draws,) lies; None for an unbounded end.

    A draw that is NaN carries no information: it counts as below the lower end and as above the upper one.
    """
    tail = (1 - confidence) / 2
    low, high = (
        np.quantile(np.where(np.isnan(draws), unknown, draws), share, method="inverted_cdf")
        for unknown, share in ((-np.inf, tail), (np.inf, 1 - tail))
    )
    return [float(end) if np.isfinite(end) else None for end in (low, high)]


def extrapolated(fit: Fit, point: dict[str, float]) -> list[str]:
    """List the variables of a point that lie outside the range of the fitted points."""
    return [name for name, value in point.items() if not fit.x[name].min() <= value <= fit.x[name].max()]


def _sum_of_powers(fit: Fit, theta: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return log A, α, log B and β, each (draws,), of the sum of powers that the surface falls with."""
    values = fit.form.natural(fit.scaling, theta)
    values |= {name: values[other] for name, other in fit.form.tied.items()}
    alpha = values["alpha"]
    beta = values.get("beta", alpha)  # the form joint_tied
    with np.errstate(divide="ignore"):
        log_a, log_b = np.log(values["A"]), np.log(values["B"])
    if not fit.form.name.startswith("kaplan"):
        return log_a, alpha, log_b, beta
    ratio = alpha / np.maximum(beta, 1e-12)
    return ratio * log_a, ratio, log_b, np.ones_like(ratio)


def _optimal(
    fit: Fit, cost: Cost, compute: float, theta: np.ndarray, distinct: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return log N and log D of the optimum for each θ (draws, parameters); NaN where there is none."""
    if not {"N", "D"} <= set(fit.form.variables):
        raise ChemscaleError(f"form {fit.form.name}: has no N and D to choose; fit one of {', '.join(SURFACES)}")
    if not (np.isfinite(compute) and compute > 0):
        raise ChemscaleError(f"compute = {compute:g}: a budget must be a positive number")
    if "U" in fit.form.variables or fit.form.name == FORMULA:
        return _searched(fit, cost, compute, theta, distinct)
    if fit.form.name.startswith("product"):  # on a budget one of N and D should be all
        return np.full(len(theta), np.nan), np.full(len(theta), np.nan)
    log_a, alpha, log_b, beta = _sum_of_powers(fit, theta)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(alpha * cost.q) + log_a - np.log(beta * cost.p) - log_b
        log_n = (cost.q * ratio + beta * np.log(compute / cost.k)) / (alpha * cost.q + beta * cost.p)
        log_d = (np.log(compute / cost.k) - cost.p * log_n) / cost.q
        defined = np.maximum(np.abs(log_n), np.abs(log_d)) < MAX_LOG
    return np.where(defined, log_n, np.nan), np.where(defined, log_d, np.nan)


def _searched(
    fit: Fit, cost: Cost, compute: float, theta: np.ndarray, distinct: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Search for the same on a grid of N, refined by a parabola through the lowest point and its two neighbours."""
    if distinct is None and "U" in fit.form.variables:
        raise ChemscaleError(
            f"form {fit.form.name}: its optimum depends on the number of distinct examples available; give it as "
            "`distinct`"
        )
    n, reach = fit.x["N"], EXTRAPOLATION_FACTOR**2
    grid = np.linspace(np.log(n.min() / reach), np.log(n.max() * reach), GRID_POINTS)
    losses = fit.predict_many(_points(fit, np.exp(grid), cost.data(np.exp(grid), compute), distinct), theta)
    place = losses.argmin(axis=1)
    inner = np.clip(place, 1, GRID_POINTS - 2)
    left, middle, right = (losses[np.arange(len(theta)), inner + step] for step in (-1, 0, 1))
    bend = np.maximum(left - 2 * middle + right, 1e-300)
    shift = np.clip((left - right) / (2 * bend), -1, 1) * (grid[1] - grid[0])
    log_n = np.where(place == inner, grid[inner] + shift, grid[place])
    return log_n, (np.log(compute / cost.k) - cost.p * log_n) / cost.q


def _points(fit: Fit, n: float | np.ndarray, d: float | np.ndarray, distinct: float | None) -> dict[str, np.ndarray]:
    x = {"N": np.atleast_1d(n), "D": np.atleast_1d(d)}
    return x if distinct is None else x | {"U": np.full_like(x["N"], distinct)}


def _own_losses(
    fit: Fit, log_n: np.ndarray, log_d: np.ndarray, theta: np.ndarray, distinct: float | None
) -> np.ndarray:
    """Return the loss of every draw at its own optimum, (draws,)."""
    defined = np.isfinite(log_n)
    losses = np.full(len(theta), np.nan)
    x = _points(fit, np.exp(log_n[defined]), np.exp(log_d[defined]), distinct)
    losses[defined] = np.diagonal(fit.predict_many(x, theta[defined]))
    return losses


def _checked(
    fit: Fit,
    cost: Cost,
    compute: float,
    log_n: float,
    log_d: float,
    limits: dict[str, tuple[float, float]] | None,
    distinct: float | None,
) -> dict:
    """Return an optimum with its loss, or the reason why it is refused."""
    if not np.isfinite(log_n):
        reason = "the law has no lowest point on a budget: it falls with only one of N and D, with their product or not"
        return {"compute": compute, "refused": reason}
    for name, value in {"N": log_n, "D": log_d}.items():
        around = fit.x[name].min() / EXTRAPOLATION_FACTOR, fit.x[name].max() * EXTRAPOLATION_FACTOR
        low, high = (limits or {}).get(name, around)
        if not np.log(low) <= value <= np.log(high):
            side, edge = ("below", low) if value < np.log(low) else ("above", high)
            reason = f"{name} = 10^{value / np.log(10):.1f}, {side} {edge:.3g}"
            refused = f"at {compute:.3g} the optimum lies outside the allowed range: {reason}"
            return {"compute": compute, "refused": refused}
    n, d = np.exp(log_n), np.exp(log_d)
    return {
        "compute": compute,
        "N": float(n),
        "D": float(d),
        "loss": float(fit.predict(_points(fit, n, d, distinct))[0]),
        "extrapolated": extrapolated(fit, {"N": n, "D": d}),
    }


def _exponents(boot: Bootstrap, cost: Cost, confidence: float) -> dict | None:
    """Return the exponents of the optimal N and D in compute.

    None for a law with repeats and for a formula, which have no constant ones, and for tied exponents, which imply
    1/(p + q).
    """
    form = boot.fit.form
    if form.variables != ("N", "D") or form.name == FORMULA or not {"alpha", "beta"} <= set(form.parameters):
        return None
    content: dict = {}
    for name in ("N", "D"):
        best, draws = (_exponent(boot.fit, cost, theta, name) for theta in (boot.fit.theta[None], boot.theta))
        value = float(best[0]) if np.isfinite(best[0]) else None
        content[name] = {"value": value, "interval": interval_of_draws(draws, confidence)}
    return content


def _exponent(fit: Fit, cost: Cost, theta: np.ndarray, name: str) -> np.ndarray:
    _, alpha, _, beta = _sum_of_powers(fit, theta)
    with np.errstate(invalid="ignore"):
        return {"N": beta, "D": alpha}[name] / (alpha * cost.q + beta * cost.p)
