"""Newton's method for the Huber loss of log residuals, for many problems at once.

Everything is batched: a batch is many starts of one fit, or many draws of a bootstrap. The loss of log residuals has an
exact Hessian here (laws.py), which makes some 20 steps enough where a quasi-Newton method stops early (the objective is
tiny, so default tolerances are met at once) or needs hundreds.

A small δ makes the objective nearly piecewise linear, with many local minima; it is reached from a smooth one by
lowering δ step by step (Madsen & Nielsen 1990, BIT 30, 682).
"""

import numpy as np

from chemscale.scaling.laws import log_gradient, log_loss

ITERATIONS = 1000  # some 30 are usual; narrow valleys take more
ENOUGH = 1e-12  # promised decrease over the objective, at which a problem is solved
LARGEST_STEP = 2.0  # in units of θ: a factor 7 in a coefficient
SMOOTH_DELTA = 1.0  # a factor e between loss and law: all residuals count as squares
ELEMENTS_AT_ONCE = 4_000_000  # batch × points × terms kept in memory


def huber(residual: np.ndarray, delta: float) -> np.ndarray:
    """Huber's loss: r²/2 within δ, δ(|r| − δ/2) beyond (Huber 1964, Ann. Math. Stat. 35, 73)."""
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))


def objective(design, log_y, theta, delta, weights=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Σ_i w_i Huber(log L(x_i) − log y_i), its gradient and its Hessian, for every problem of the batch.

    `design` (points, terms, parameters), `log_y` and `weights` (batch or 1, points), `theta` (batch, parameters)
    -> (batch,), (batch, parameters), (batch, parameters, parameters).
    """
    n, k, p = design.shape
    weights = np.ones((1, n)) if weights is None else weights
    log_l, shares = log_loss(design, theta)
    gradient = log_gradient(design, shares)
    residual = log_l - log_y
    inside = np.abs(residual) <= delta
    slope = weights * np.clip(residual, -delta, delta)  # derivative of the loss by the residual
    outer = (design[..., :, None] * design[..., None, :]).reshape(n * k, p * p)
    curvature = (slope[..., None] * shares).reshape(-1, n * k) @ outer
    bend = (weights * inside - slope)[..., None] * gradient
    return (
        (weights * huber(residual, delta)).sum(axis=1),
        np.matmul(slope[:, None, :], gradient)[:, 0],
        curvature.reshape(-1, p, p) + np.matmul(bend.transpose(0, 2, 1), gradient),
    )


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


def _newton(design, log_y, weights, theta, low, high, delta) -> np.ndarray:
    """Minimise at one δ; returns θ. All arrays have the batch as first dimension."""
    theta = np.clip(theta, low, high)
    value, gradient, hessian = objective(design, log_y, theta, delta, weights)
    # in units of the curvature of least squares, the sum of weights as θ is of order one
    unit = weights.sum(axis=1)
    damping = np.full(len(theta), 1e-3)
    live = np.arange(len(theta))
    for _ in range(ITERATIONS):
        step, promised = _step(
            gradient[live],
            hessian[live],
            damping[live] * unit[live],
            is_free(theta[live], gradient[live], low[live], high[live]),
        )
        going = (promised > ENOUGH * value[live] + 1e-30) & (damping[live] < 1e4)
        live, step = live[going], step[going]
        if not len(live):
            break
        trial = np.clip(theta[live] + step, low[live], high[live])
        f, g, h = objective(design, log_y[live], trial, delta, weights[live])
        better = f < value[live]
        damping[live] = np.where(better, np.maximum(damping[live] * 0.3, 1e-15), damping[live] * 10)
        taken = live[better]
        theta[taken], value[taken], gradient[taken], hessian[taken] = trial[better], f[better], g[better], h[better]
    return theta


def minimise(design, log_y, theta, low, high, delta, weights=None, smooth=True) -> tuple[np.ndarray, np.ndarray]:
    """Minimise Σ w Huber_δ(log L − log y) from every start of the batch, within bounds.

    `design` (points, terms, parameters), `log_y`, `weights` (batch or 1, points), `theta`, `low`, `high` (batch or 1,
    parameters). With `smooth`, δ comes down from 1 in factors of ten; without, the target δ is met at once. Returns θ
    (batch, parameters) and the objective (batch,).
    """
    n, k, p = design.shape
    batch = max(len(theta), len(log_y))
    weights = np.ones((1, n)) if weights is None else weights
    deltas = [delta]
    while smooth and deltas[0] * 10 <= SMOOTH_DELTA:
        deltas.insert(0, deltas[0] * 10)

    theta = np.array(np.broadcast_to(theta, (batch, p)))
    rows = max(1, ELEMENTS_AT_ONCE // (n * k * p))
    spread = [np.broadcast_to(values, (batch, values.shape[-1])) for values in (log_y, weights, low, high)]
    for first in range(0, batch, rows):
        part = slice(first, first + rows)
        here = [values[part] for values in spread]
        for level in deltas:
            theta[part] = _newton(design, *here[:2], theta[part], *here[2:], level)
    return theta, objective(design, log_y, theta, delta, weights)[0]
