"""Newton's method for a fit, for many problems at once.

Everything is batched: a batch is many starts of one fit, or many draws of a bootstrap. Losses of log residuals have an
exact Hessian here (laws.py), which makes some 20 steps enough where a quasi-Newton method stops early (the objective is
tiny, so default tolerances are met at once) or needs hundreds.

A small δ makes the objective nearly piecewise linear, with many local minima; it is reached from a smooth one by
lowering δ step by step (Madsen & Nielsen 1990, BIT 30, 682).
"""

import numpy as np

from chemscale.scaling.fitting.objectives import Objective
from chemscale.scaling.forms.laws import Law

ITERATIONS = 1000  # some 30 are usual; narrow valleys take more
ENOUGH = 1e-12  # promised decrease over the objective, at which a problem is solved
FOR_DRAWS = {"enough": 1e-7, "iterations": 150}  # of a draw or a profile: far below what moves a quantile
LARGEST_STEP = 2.0  # in units of θ: a factor 7 in a coefficient
ELEMENTS_AT_ONCE = 4_000_000  # batch × points × parameters kept in memory


def evaluate(law: Law, log_y, theta, objective: Objective, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Σ_i w_i ρ_i, its gradient and its Hessian, for every problem of the batch.

    `log_y` and `weights` (batch or 1, points), `theta` (batch, parameters)
    -> (batch,), (batch, parameters), (batch, parameters, parameters).
    """
    log_l, gradient, hessian = law.curvature(theta)
    value, first, second = objective.derivatives(log_l, log_y)
    first = weights * first
    along = np.matmul(first[:, None, :], gradient)[:, 0]
    return (weights * value).sum(axis=1), along, hessian(first, weights * second)


def _step(gradient, hessian, damping, free) -> tuple[np.ndarray, np.ndarray]:
    """Damped Newton step over the free parameters, and the decrease it promises."""
    gradient = np.where(free, gradient, 0)
    hessian = hessian * free[:, :, None] * free[:, None, :]
    values, vectors = np.linalg.eigh(hessian)
    # |eigenvalues|: downhill also where the objective is not convex
    size = np.abs(values) + damping[:, None]
    along = np.matmul(gradient[:, None, :], vectors)[:, 0]
    step = -np.matmul(vectors, (along / size)[..., None])[..., 0]
    step = np.where(free, step, 0)
    longest = np.abs(step).max(axis=1, keepdims=True)
    return step * np.minimum(1, LARGEST_STEP / np.maximum(longest, 1e-300)), (along**2 / size).sum(axis=1)


def is_free(theta, gradient, low, high) -> np.ndarray:
    """Parameters that may move: not those that sit at a bound and are pushed outwards, nor those held (low = high)."""
    return (low < high) & ~((theta <= low) & (gradient >= 0)) & ~((theta >= high) & (gradient <= 0))


def _newton(
    law: Law, log_y, weights, theta, low, high, objective: Objective, enough: float, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise one objective; returns θ and its value. All arrays have the batch as first dimension."""
    theta = np.clip(theta, low, high)
    value, gradient, hessian = evaluate(law, log_y, theta, objective, weights)
    # in units of the curvature of least squares, the sum of weights as θ is of order one
    unit = weights.sum(axis=1)
    damping = np.full(len(theta), 1e-3)
    live = np.arange(len(theta))
    for _ in range(iterations):
        step, promised = _step(
            gradient[live],
            hessian[live],
            damping[live] * unit[live],
            is_free(theta[live], gradient[live], low[live], high[live]),
        )
        going = (promised > enough * value[live] + 1e-30) & (damping[live] < 1e4)
        live, step = live[going], step[going]
        if not len(live):
            break
        trial = np.clip(theta[live] + step, low[live], high[live])
        f, g, h = evaluate(law, log_y[live], trial, objective, weights[live])
        better = f < value[live]
        damping[live] = np.where(better, np.maximum(damping[live] * 0.3, 1e-15), damping[live] * 10)
        taken = live[better]
        theta[taken], value[taken], gradient[taken], hessian[taken] = trial[better], f[better], g[better], h[better]
    return theta, value


def minimise(
    law: Law,
    log_y,
    theta,
    low,
    high,
    objective: Objective,
    weights=None,
    smooth=True,
    enough=ENOUGH,
    iterations=ITERATIONS,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise Σ w ρ from every start of the batch, within bounds.

    `log_y`, `weights` (batch or 1, points), `theta`, `low`, `high` (batch or 1, parameters). With `smooth`, δ comes
    down from 1 in factors of ten; without, the objective is met at once. Returns θ (batch, parameters) and the
    objective (batch,).
    """
    points, p = log_y.shape[1], low.shape[1]
    batch = max(len(theta), len(log_y))
    weights = np.ones((1, points)) if weights is None else weights
    theta = np.array(np.broadcast_to(theta, (batch, p)))
    value = np.empty(batch)
    rows = max(1, ELEMENTS_AT_ONCE // (points * p * p))
    spread = [np.broadcast_to(values, (batch, values.shape[-1])) for values in (log_y, weights, low, high)]
    for first in range(0, batch, rows):
        part = slice(first, first + rows)
        here = [values[part] for values in spread]
        for level in objective.smoother() if smooth else [objective]:
            theta[part], value[part] = _newton(law, *here[:2], theta[part], *here[2:], level, enough, iterations)
    return theta, value
