"""Optimal design of experiments: predict how much future runs would narrow the interval of one quantity of a law.

To first order the parameters θ of a law have the covariance (Σ w g gᵀ / σ² + P)⁻¹, with g the gradient of log L at each
run, σ the noise of log loss and P a weak prior that keeps directions finite that the runs do not determine. A quantity
φ(θ) has the variance cᵀ cov c with c its gradient, and a new run lowers it by (cᵀ cov g)² / (σ² + gᵀ cov g)
(c-optimality; Atkinson, Donev & Tobias 2007, Optimum Experimental Designs, ch. 10). A law is not linear in θ, hence the
mean over draws of the bootstrap (Chaloner & Verdinelli 1995, Stat. Sci. 10, 273).
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from chemscale.errors import NotFittable
from chemscale.scaling.inference.bootstrap import Bootstrap

MAX_DRAWS = 40  # over which a design is averaged
PRIOR_SD = 5.0  # of each parameter of order one: weak, only to keep variances finite
GRADIENT_STEP = 1e-4

Quantity = Callable[[np.ndarray], np.ndarray]  # θ (batch, parameters) -> (batch,)


class Design:
    """Expected width of the interval of one quantity after runs are added to those of a fit."""

    def __init__(self, boot: Bootstrap, quantity: Quantity, confidence: float):
        fit = boot.fit
        self.fit, self.confidence = fit, confidence
        self.theta = np.vstack([fit.theta, boot.theta[: MAX_DRAWS - 1]])
        self.free = np.array([name in fit.form.free for name in fit.form.parameters])  # what is held has no variance
        self.degrees = len(fit.loss) - (len(fit.form.free) - len(fit.diagnostics["at_bounds"]))
        if self.degrees < 1:
            raise NotFittable(f"{len(fit.loss)} runs cannot determine {fit.form.name} and estimate the noise")
        self.noise = max(float(np.sqrt((fit.weights * fit.residuals**2).sum() / self.degrees)), 1e-9)
        gradient = self.gradient(fit.x) * np.sqrt(fit.weights)[:, None]
        information = np.matmul(gradient.transpose(0, 2, 1), gradient) / self.noise**2
        flat = np.eye(self.theta.shape[1]) / PRIOR_SD**2
        self.before = np.linalg.inv(information + flat)
        steps = GRADIENT_STEP * np.eye(self.theta.shape[1])
        rises = [quantity(self.theta + step) - quantity(self.theta - step) for step in steps]
        self.along = np.stack(rises, axis=1) / (2 * GRADIENT_STEP) * self.free  # (draws, parameters)
        self.variance = self._variance(self.before)
        # what a prior ten times as wide would add: nothing, where the runs determine the quantity
        wider = self._variance(np.linalg.inv(information + flat / 100))
        self.prior_share = float(np.median(1 - self.variance / np.maximum(wider, 1e-300)))

    def gradient(self, x: dict[str, np.ndarray]) -> np.ndarray:
        """Return the gradient of log L at runs `x`, (draws, runs, parameters)."""
        return self.fit.form.bind(self.fit.scaling, x).gradient(self.theta) * self.free

    def _variance(self, covariance: np.ndarray) -> np.ndarray:
        return np.einsum("sp,spq,sq->s", self.along, covariance, self.along)

    def added(self, covariance: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return the covariance after one more run of gradient (draws, parameters)."""
        along = np.einsum("spq,sq->sp", covariance, gradient)
        scale = self.noise**2 + (gradient * along).sum(axis=1)
        return covariance - along[:, :, None] * along[:, None, :] / scale[:, None, None]

    def ratios(self, covariance: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        """Return `ratio` after one more run, for each of `gradients` (draws, runs, parameters): (runs,)."""
        along = np.einsum("skp,spq->skq", gradients, covariance)
        scale = self.noise**2 + (along * gradients).sum(axis=2)
        fall = np.einsum("skp,sp->sk", along, self.along) ** 2 / scale
        return self._relative(self._variance(covariance)[:, None] - fall)

    def ratio(self, covariance: np.ndarray) -> float:
        """Return the width of the quantity's interval over that before any run was added, at equal quantiles."""
        return float(self._relative(self._variance(covariance)))

    def _relative(self, variance: np.ndarray) -> np.ndarray:
        known = self.variance > 0  # leaves out draws without the quantity, such as those with a floor of zero
        before = self.variance[known].reshape(-1, *[1] * (variance.ndim - 1))
        return np.sqrt(np.maximum(variance[known], 0) / before).mean(axis=0)

    def expected(self, x: dict[str, np.ndarray]) -> float:
        """Return the width of the quantity's interval after runs at `x` (one point per run) over that before them."""
        covariance = self.before
        for gradient in self.gradient(x).transpose(1, 0, 2):
            covariance = self.added(covariance, gradient)
        runs = len(next(iter(x.values())))
        now, then = (stats.t.ppf((1 + self.confidence) / 2, left) for left in (self.degrees, self.degrees + runs))
        return self.ratio(covariance) * float(then / now)


def choose_runs(
    design: Design, x: dict[str, np.ndarray], cost: np.ndarray, budget: float, max_repeats: int, max_runs: int
) -> np.ndarray:
    """Return how many runs of each candidate `x` (candidates,) narrow the quantity's interval most: (candidates,).

    Greedy by gain per cost, by gain alone, and by gain per cost plus a fixed cost per run; the best of the three is
    taken. That is close to the optimum where the gain of a run falls with those before it (Khuller, Moss & Naor 1999,
    Inf. Process. Lett. 70, 39). At most `max_repeats` runs of a candidate: seeds lower the noise, but not the error of
    the form.
    """
    gradients = design.gradient(x)
    best, narrowest = np.zeros(len(cost), dtype=int), np.inf
    for fixed in (0.0, budget / max_runs, 1e6 * budget):
        counts, covariance, left = np.zeros(len(cost), dtype=int), design.before, budget
        while counts.sum() < max_runs:
            affordable = np.flatnonzero((cost <= left) & (counts < max_repeats))
            if not len(affordable):
                break
            gain = design.ratio(covariance) - design.ratios(covariance, gradients[:, affordable])
            chosen = affordable[np.argmax(gain / (cost[affordable] + fixed))]
            covariance = design.added(covariance, gradients[:, chosen])
            counts[chosen] += 1
            left -= cost[chosen]
        if (ratio := design.ratio(covariance)) < narrowest:
            best, narrowest = counts, ratio
    return best
