"""Convergence diagnostics of a fit: do its starts agree on an optimum, and does the table determine the parameters?"""

import numpy as np

from chemscale.scaling.fitting.newton import evaluate, is_free
from chemscale.scaling.fitting.objectives import Objective
from chemscale.scaling.forms.laws import Form, Law
from chemscale.scaling.forms.terms import Variables

SAME_BASIN = 1e-6  # relative difference of objectives between starts that found the same optimum
NEAR_BASIN = 1e-3  # relative difference of objectives within which other optima are counted
DISTINCT_THETA = 1e-2  # difference in θ between two optima that are counted separately
VANISHING = ("floor", "shift")  # kinds of parameter whose lowest value stands for zero


def diagnose(
    form: Form,
    law: Law,
    x: Variables,
    log_y: np.ndarray,
    weights: np.ndarray,
    theta: np.ndarray,
    value: np.ndarray,
    limits: tuple[np.ndarray, np.ndarray],
    objective: Objective,
) -> dict:
    """Return diagnostics of the end points `theta` (starts, parameters) with objectives `value` (starts,).

    * `objective` is the weighted sum over the points
    * `scaled_gradient` is the largest derivative by θ (of order one), divided by the norm of the points' derivatives;
      it is 0 where these are orthogonal to the tangent of the law
    * `basins_within_0.1_percent` counts the distinct end points whose objective is that close to the best
    * `condition` is that of the Gauss-Newton matrix of the parameters that are not at a bound
    """
    low, high = limits
    best = theta[[value.argmin()]]
    least = float(value.min())
    rounding = 1e-20 * log_y.size  # of an exact fit
    gradient = evaluate(law, log_y, best, objective, weights)[1]
    free = is_free(best, gradient, low, high)[0]
    slopes = weights * objective.derivatives(law.log_loss(best), log_y)[1]
    scale = np.linalg.norm(slopes) * np.sqrt(log_y.size) + 1e-12
    singular = np.linalg.svd(law.gradient(best)[0][:, free], compute_uv=False)
    near = theta[value <= least * (1 + NEAR_BASIN) + rounding]
    basins: list[np.ndarray] = []
    for end in near:
        if all(np.abs(end - other).max() > DISTINCT_THETA for other in basins):
            basins.append(end)

    at_bounds, vanished = [], []
    for p, (name, kind) in enumerate(form.kinds.items()):
        if name in form.fixed:
            continue
        if best[0, p] <= low[0, p] + 1e-9:
            limited = form.limits.get(name, (None, None))[0] is not None
            zero = low[0, p] == 0 or (kind in VANISHING and not limited)
            at_bounds.append(f"{name} = 0" if zero else f"{name} at its lowest")
            vanished += [name] if zero else []
        elif best[0, p] >= high[0, p] - 1e-9:
            at_bounds.append(f"{name} at its highest")
    return {
        "objective_kind": objective.kind,
        "delta": objective.delta if np.isfinite(objective.delta) else None,
        "objective": least,
        "scaled_gradient": float(np.abs(gradient[0][free]).max(initial=0) / scale),
        "starts": len(value),
        "share_in_best_basin": float(np.mean(value <= least * (1 + SAME_BASIN) + rounding)),
        "basins_within_0.1_percent": len(basins),
        "at_bounds": at_bounds,
        "vanished": vanished,
        "condition": float((singular[0] / max(singular[-1], 1e-150)) ** 2) if free.any() else None,
        "decades": {name: float(np.ptp(np.log10(values))) for name, values in x.items()},
        "correlation": correlation(x),
    }


def correlation(x: Variables) -> float | None:
    """Return the correlation of log N and log D; None for a curve, or where one of them does not vary."""
    if not {"N", "D"} <= set(x):
        return None
    logs = [np.log(x["N"]), np.log(x["D"])]
    if min(np.ptp(values) for values in logs) == 0:
        return None
    return float(np.corrcoef(logs)[0, 1])
