"""How much runs not made yet would tell about one number of a law: optimal design of experiments.

To first order the parameters θ of a law have the covariance (Σ w g gᵀ / σ² + P)⁻¹, with g the gradient of log L at each
run, σ the noise of log loss and P a weak prior that keeps directions finite on which the runs say nothing. A number
φ(θ) has the variance cᵀ cov c with c its gradient, and a new run lowers it by (cᵀ cov g)² / (σ² + gᵀ cov g)
(c-optimality; Atkinson, Donev & Tobias 2007, Optimum Experimental Designs, ch. 10). A law is not linear in θ, hence the
mean over draws of the bootstrap (Chaloner & Verdinelli 1995, Stat. Sci. 10, 273).
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from chemscale.errors import ChemscaleError
from chemscale.scaling.inference.bootstrap import Bootstrap

DRAWS = 40  # over which a design is averaged
PRIOR_SD = 5.0  # of each parameter of order one: no more than that nothing is infinite
STEP = 1e-4

Number = Callable[[np.ndarray], np.ndarray]  # θ (batch, parameters) -> (batch,)


class Design:
    """The runs of a fit and those added to them, as seen from some draws of the fit."""

    def __init__(self, boot: Bootstrap, number: Number, confidence: float):
        fit = boot.fit
        self.fit, self.confidence = fit, confidence
        self.theta = np.vstack([fit.theta, boot.theta[: DRAWS - 1]])
        self.degrees = len(fit.loss) - (len(fit.theta) - len(fit.diagnostics["at_bounds"]))
        if self.degrees < 1:
            raise ChemscaleError(f"{len(fit.loss)} runs of {fit.form.name} leave nothing to judge the noise by")
        self.noise = max(float(np.sqrt((fit.weights * fit.residuals**2).sum() / self.degrees)), 1e-9)
        gradient = self.gradient(fit.x) * np.sqrt(fit.weights)[:, None]
        information = np.matmul(gradient.transpose(0, 2, 1), gradient) / self.noise**2
        self.before = np.linalg.inv(information + np.eye(self.theta.shape[1]) / PRIOR_SD**2)
        steps = STEP * np.eye(self.theta.shape[1])
        self.along = np.stack(
            [(number(self.theta + step) - number(self.theta - step)) / (2 * STEP) for step in steps], axis=1
        )  # (draws, parameters)
        self.variance = self._variance(self.before)

    def gradient(self, x: dict[str, np.ndarray]) -> np.ndarray:
        """Gradient of log L at runs `x`, (draws, runs, parameters)."""
        return self.fit.form.bind(self.fit.scaling, x).gradient(self.theta)

    def _variance(self, covariance: np.ndarray) -> np.ndarray:
        return np.einsum("sp,spq,sq->s", self.along, covariance, self.along)

    def added(self, covariance: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Covariance after one more run of gradient (draws, parameters)."""
        along = np.einsum("spq,sq->sp", covariance, gradient)
        scale = self.noise**2 + (gradient * along).sum(axis=1)
        return covariance - along[:, :, None] * along[:, None, :] / scale[:, None, None]

    def widths(self, covariance: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        """Width after one more run of each of `gradients` (draws, runs, parameters), over that before any: (runs,)."""
        along = np.einsum("skp,spq->skq", gradients, covariance)
        scale = self.noise**2 + (along * gradients).sum(axis=2)
        fall = np.einsum("skp,sp->sk", along, self.along) ** 2 / scale
        return self._relative(self._variance(covariance)[:, None] - fall)

    def width(self, covariance: np.ndarray) -> float:
        """Width of the number's interval over that before any run was added, the quantile of the noise left out."""
        return float(self._relative(self._variance(covariance)))

    def _relative(self, variance: np.ndarray) -> np.ndarray:
        told = self.variance > 0  # not the draws that have no such number, a floor of zero for one
        before = self.variance[told].reshape(-1, *[1] * (variance.ndim - 1))
        return np.sqrt(np.maximum(variance[told], 0) / before).mean(axis=0)

    def expected(self, x: dict[str, np.ndarray]) -> float:
        """Width of the number's interval after runs at `x` (one point a run) over that before them."""
        covariance = self.before
        for gradient in self.gradient(x).transpose(1, 0, 2):
            covariance = self.added(covariance, gradient)
        runs = len(next(iter(x.values())))
        now, then = (stats.t.ppf((1 + self.confidence) / 2, left) for left in (self.degrees, self.degrees + runs))
        return self.width(covariance) * float(then / now)


def choose(
    design: Design, x: dict[str, np.ndarray], cost: np.ndarray, budget: float, most_repeats: int, most_runs: int
) -> np.ndarray:
    """Runs of each candidate `x` (candidates,) that shrink the number's interval most on a budget: (candidates,).

    Greedy by gain per cost, by gain alone, and by gain per cost plus a fixed cost of a run; the best of the three. Not
    far from the best there is where the gain of a run falls with those before it (Khuller, Moss & Naor 1999, Inf.
    Process. Lett. 70, 39). Not more than `most_repeats` runs of a candidate: seeds lower the noise, but not what is
    wrong with the form.
    """
    gradients = design.gradient(x)
    best, least = np.zeros(len(cost), dtype=int), np.inf
    for fixed in (0.0, budget / most_runs, 1e6 * budget):
        counts, covariance, left = np.zeros(len(cost), dtype=int), design.before, budget
        while counts.sum() < most_runs:
            open_to = np.flatnonzero((cost <= left) & (counts < most_repeats))
            if not len(open_to):
                break
            gain = design.width(covariance) - design.widths(covariance, gradients[:, open_to])
            chosen = open_to[np.argmax(gain / (cost[open_to] + fixed))]
            covariance = design.added(covariance, gradients[:, chosen])
            counts[chosen] += 1
            left -= cost[chosen]
        if (width := design.width(covariance)) < least:
            best, least = counts, width
    return best
