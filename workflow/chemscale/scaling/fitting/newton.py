"""Newton's method for many fits at once.

Everything is batched: a batch is many starts of one fit, or many draws of a bootstrap. The Hessian is exact (laws.py),
so some 20 steps are enough where a quasi-Newton method needs hundreds, or stops early because the objective is tiny and
default tolerances are met at once.

A small δ makes the objective nearly piecewise linear, with many local minima. It is reached from a smooth objective by
lowering δ step by step (Madsen & Nielsen 1990, BIT 30, 682).
"""

import numpy as np

from chemscale.scaling.fitting.objectives import Objective
from chemscale.scaling.forms.laws import Law

MAX_ITERATIONS = 1000  # some 30 are usual; narrow valleys take more
TOLERANCE = 1e-12  # promised decrease over the objective, at which a problem is solved
DRAW_TOLERANCE, DRAW_ITERATIONS = 1e-7, 150  # for a draw or a profile: far below what moves a quantile
MAX_STEP = 2.0  # in units of θ: a factor 7 in a coefficient
MAX_ELEMENTS = 4_000_000  # batch × points × parameters² kept in memory


def evaluate(
    law: Law, log_y: np.ndarray, theta: np.ndarray, objective: Objective, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Σ_i w_i ρ_i, its gradient and its Hessian for every problem of the batch.

    `log_y` and `weights` (batch or 1, points), `theta` (batch, parameters)
    -> (batch,), (batch, parameters), (batch, parameters, parameters).
    """
    log_l, gradient, hessian = law.curvature(theta)
    value, first, second = objective.derivatives(log_l, log_y)
    first = weights * first
    along = np.matmul(first[:, None, :], gradient)[:, 0]
    return (weights * value).sum(axis=1), along, hessian(first, weights * second)


def _step(
    gradient: np.ndarray, hessian: np.ndarray, damping: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the damped Newton step of the free parameters, and the decrease that it promises."""
    gradient = np.where(free, gradient, 0)
    hessian = hessian * free[:, :, None] * free[:, None, :]
    values, vectors = np.linalg.eigh(hessian)
    # |eigenvalues|: downhill also where the objective is not convex
    size = np.abs(values) + damping[:, None]
    along = np.matmul(gradient[:, None, :], vectors)[:, 0]
    step = -np.matmul(vectors, (along / size)[..., None])[..., 0]
    step = np.where(free, step, 0)
    longest = np.abs(step).max(axis=1, keepdims=True)
    return step * np.minimum(1, MAX_STEP / np.maximum(longest, 1e-300)), (along**2 / size).sum(axis=1)


def is_free(theta: np.ndarray, gradient: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return which parameters may move: not those pushed against a bound, and not those held (low = high)."""
    return (low < high) & ~((theta <= low) & (gradient >= 0)) & ~((theta >= high) & (gradient <= 0))


def _newton(
    law: Law,
    log_y: np.ndarray,
    weights: np.ndarray,
    theta: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    objective: Objective,
    tolerance: float,
    max_iterations: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise one objective; return θ and its value. All arrays have the batch as first dimension."""
    theta = np.clip(theta, low, high)
    value, gradient, hessian = evaluate(law, log_y, theta, objective, weights)
    # in units of the curvature of least squares, the sum of weights as θ is of order one
    unit = weights.sum(axis=1)
    damping = np.full(len(theta), 1e-3)
    live = np.arange(len(theta))
    for _ in range(max_iterations):
        step, promised = _step(
            gradient[live],
            hessian[live],
            damping[live] * unit[live],
            is_free(theta[live], gradient[live], low[live], high[live]),
        )
        going = (promised > tolerance * value[live] + 1e-30) & (damping[live] < 1e4)
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
    log_y: np.ndarray,
    theta: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    objective: Objective,
    weights: np.ndarray | None = None,
    smooth: bool = True,
    rough: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise Σ w ρ from every start of the batch, within bounds.

    `log_y`, `weights` (batch or 1, points), `theta`, `low`, `high` (batch or 1, parameters). With `smooth`, δ falls
    from 1 in factors of ten; without, the objective is minimised at once. `rough` is enough for a draw or a profile.
    Returns θ (batch, parameters) and the objective (batch,).
    """
    points, p = log_y.shape[1], low.shape[1]
    batch = max(len(theta), len(log_y))
    weights = np.ones((1, points)) if weights is None else weights
    theta = np.array(np.broadcast_to(theta, (batch, p)))
    value = np.empty(batch)
    limits = (DRAW_TOLERANCE, DRAW_ITERATIONS) if rough else (TOLERANCE, MAX_ITERATIONS)
    rows = max(1, MAX_ELEMENTS // (points * p * p))
    log_y, weights, low, high = (np.broadcast_to(v, (batch, v.shape[-1])) for v in (log_y, weights, low, high))
    for first in range(0, batch, rows):
        part = slice(first, first + rows)
        for level in objective.delta_schedule() if smooth else [objective]:
            theta[part], value[part] = _newton(
                law, log_y[part], weights[part], theta[part], low[part], high[part], level, *limits
            )
    return theta, value
