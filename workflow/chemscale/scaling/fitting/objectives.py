"""The objective of a fit: a sum over points of a loss of the distance between law and observation."""

from dataclasses import dataclass

import numpy as np

from chemscale.errors import ChemscaleError

OBJECTIVES = ("huber", "lad", "least_squares_log", "least_squares_log1p", "least_squares")
LAD_DELTA = 1e-8  # lower still, the objective would differ from the sum of absolute residuals by rounding only
SMOOTH_DELTA = 1.0  # a factor e between loss and law, so that all residuals count as squares


@dataclass(frozen=True)
class Objective:
    """Σ w ρ of the log residuals r = log L − log y, or of L − y.

    * huber: r²/2 within δ, δ(|r| − δ/2) beyond (Huber 1964, Ann. Math. Stat. 35, 73); lad is its limit for small δ
    * least_squares_log: r²/2
    * least_squares_log1p: the same with log(1 + L) and log(1 + y) (Caballero et al. 2023, arXiv:2210.14891)
    * least_squares: (L − y)²/2 over the mean square of y, so that the objective has no unit
    """

    kind: str
    delta: float = np.inf

    def derivatives(self, log_l: np.ndarray, log_y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ρ of every point, and its first and second derivative by log L, each (batch, points)."""
        if self.kind == "least_squares":
            y = np.exp(log_y)
            scale = np.mean(y**2, axis=1, keepdims=True)
            law = np.exp(np.minimum(log_l, 300))
            distance = law - y
            return distance**2 / (2 * scale), distance * law / scale, (law + distance) * law / scale
        if self.kind == "least_squares_log1p":
            residual = np.logaddexp(0, log_l) - np.logaddexp(0, log_y)
            share = np.exp(-np.logaddexp(0, -log_l))  # L / (1 + L)
            return residual**2 / 2, residual * share, share**2 + residual * share * (1 - share)
        residual = log_l - log_y
        if not np.isfinite(self.delta):
            return residual**2 / 2, residual, np.ones_like(residual)
        return huber(residual, self.delta), np.clip(residual, -self.delta, self.delta), np.abs(residual) <= self.delta

    def delta_schedule(self) -> list["Objective"]:
        """Return objectives from a smooth one to this one; δ falls from at most 1 in factors of ten."""
        steps = [self]
        while steps[0].delta * 10 <= SMOOTH_DELTA:
            steps.insert(0, Objective(self.kind, steps[0].delta * 10))
        return steps


def huber(residual: np.ndarray, delta: float) -> np.ndarray:
    """Return Huber's loss: r²/2 within δ, δ(|r| − δ/2) beyond."""
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))


def named_objective(kind: str, delta: float | None) -> Objective:
    """Return the objective `kind` with Huber's `delta`; raise ChemscaleError for an unknown one."""
    if kind not in OBJECTIVES:
        raise ChemscaleError(f"objective = {kind!r}: unknown objective; choose one of {', '.join(OBJECTIVES)}")
    if delta is not None and kind != "huber":
        raise ChemscaleError(f"delta = {delta:g}: the objective {kind} has no δ; leave delta out, or choose huber")
    if delta is not None and not delta > 0:
        raise ChemscaleError(f"delta = {delta:g}: must be above 0, in units of log loss")
    if kind == "lad":
        return Objective(kind, LAD_DELTA)
    return Objective(kind, max(delta, LAD_DELTA) if delta is not None else np.inf)
