"""Intervals of a fitted law by bootstrap: of runs, or of groups of runs.

Three ways to draw:

* **residual** (without groups; for a designed grid of few sizes, where resampling runs would often leave two sizes):
  log losses are drawn as law + noise. Noise is the law's own residuals, resampled, at a level that is itself drawn from
  its sampling distribution, σ*² = Σ r² / χ²_ν with ν = runs − parameters. That widens five points as Student's t does,
  where a plain residual bootstrap is too narrow. It assumes that the form is right and that the noise of log loss is
  independent between runs and the same at all sizes.
* **cases** (with twelve groups or more; large tables, checkpoints of the same run): whole groups are drawn with
  replacement, which assumes nothing about the noise. A draw that cannot be fitted (fewer than 3 values of a variable,
  fewer distinct points than parameters) is drawn again and counted in `redrawn`.
* **wild** (with fewer groups): log losses are law + the law's own residuals, those of one group multiplied by one
  random number of mean 0 and variance 1 (six points; Webb 2023, Can. J. Econ. 56, 839), and scaled as above. Groups
  that share their luck stay together, and all sizes stay in the table.

Measured coverage of the 90 % intervals, 84 to 94 %: docs/benchmarks.md (tests/benchmarks/coverage.py). It is lower
where the form is wrong: a power law through a curve with a floor is sure of a wrong exponent.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.progress import progress
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.fitting.newton import FOR_DRAWS, minimise
from chemscale.scaling.fitting.starts import project, random_starts

RESCUES = 3  # random starts of every draw beside the fit itself: a draw may have its optimum in another basin
TRIES = 100
DRAWS_AT_ONCE = 100
MANY_DRAWS = 1000  # are worth a line of progress
LEAST_GROUPS = 5  # with three, a parameter that differs between groups alone gets a false narrow interval
GROUPS_FOR_CASES = 12  # below, draws of whole groups leave too few sizes
WEBB = np.sqrt([0.5, 1.0, 1.5])


@dataclass(frozen=True)
class Bootstrap:
    """Draws of a fit's parameter vector; intervals are their quantiles."""

    fit: Fit
    method: str  # "residual", "cases" or "wild"
    theta: np.ndarray  # (draws, parameters)
    noise: np.ndarray  # (draws,) level of each draw's noise over that of the fit's residuals
    seed: int
    redrawn: int = 0

    def draws_of(self, name: str) -> np.ndarray:
        """Draws of one parameter of the formula, or of `a` = β/(α + β), the exponent of N in compute."""
        values = self.fit.form.plain(self.fit.scaling, self.theta)
        if name == "a":
            return values["beta"] / np.maximum(values["alpha"] + values["beta"], 1e-12)
        return values[name]

    def interval(self, name: str, confidence: float) -> tuple[float, float]:
        """Interval of one parameter, or of `a`."""
        return _quantiles(self.draws_of(name), confidence)

    def band(self, x, confidence: float, runs: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest loss at `x` (points,): of the law, or, with `runs`, of the mean of so many new runs."""
        losses = self.fit.predict_many(x, self.theta)  # (draws, points)
        if runs:
            rng = np.random.default_rng([self.seed, 1])
            residuals = _centred(self.fit)
            noise = rng.choice(residuals, (*losses.shape, runs)) * self.noise[:, None, None]
            losses = losses * np.exp(noise).mean(axis=2)
        return _quantiles(losses, confidence)


def _quantiles(draws: np.ndarray, confidence: float):
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return (float(low), float(high)) if draws.ndim == 1 else (low, high)


def _centred(fit: Fit) -> np.ndarray:
    residuals = -fit.residuals  # observed over law
    return residuals - residuals.mean()


def _refit(fit: Fit, log_y, weights, rng) -> np.ndarray:
    """Best θ of every draw; `log_y` and `weights` are (draws or 1, points)."""
    law, log_loss = fit.form.bind(fit.scaling, fit.x), np.log(fit.loss)[None]
    low, high = fit.bounds()
    draws = max(len(log_y), len(weights))
    spread = [np.broadcast_to(values, (draws, values.shape[1])) for values in (log_y, weights)]
    thetas = []
    with progress(draws, f"bootstrap of {fit.form.name}", "draws") if draws >= MANY_DRAWS else nullcontext() as tick:
        for first in range(0, draws, DRAWS_AT_ONCE):
            here = [values[first : first + DRAWS_AT_ONCE] for values in spread]
            count = len(here[0])
            start = np.tile(fit.theta, (count, 1))
            options = {"weights": here[1], "smooth": False, **FOR_DRAWS}
            theta, value = minimise(law, here[0], start, low, high, fit.objective, **options)
            # one term alone is a line in logs: a convex problem, with one optimum
            for _ in range(0 if fit.form.name == "power" else RESCUES):
                start = random_starts(fit.form, fit.scaling, fit.x, log_loss, count, rng)
                start = project(fit.form, law, log_loss, start)
                other, other_value = minimise(law, here[0], start, low, high, fit.objective, **options)
                better = other_value < value
                theta[better], value[better] = other[better], other_value[better]
            thetas.append(theta)
            if tick:
                tick(count)
    return np.concatenate(thetas)


def _degrees(fit: Fit) -> int:
    """Degrees of freedom left to the noise."""
    free = len(fit.theta) - len(fit.certificate["at_bounds"])
    left = len(fit.loss) - free
    if left < 1:
        raise ChemscaleError(
            f"{len(fit.loss)} runs for the {free} numbers of {fit.form.name} leave nothing to judge the noise by; "
            "add sizes or seeds, or fit a form with fewer numbers"
        )
    return left


def bootstrap(fit: Fit, draws: int = 500, seed: int = 0, groups: np.ndarray | None = None) -> Bootstrap:
    """Draw tables like the one fitted, and fit each; `groups` (points,) names what is drawn together.

    Raises ChemscaleError if no noise can be estimated, or if the groups are too few to be drawn from.
    """
    rng = np.random.default_rng([seed, 0])
    left = _degrees(fit)
    n = len(fit.loss)
    level = np.sqrt(n / rng.chisquare(left, draws))
    if groups is None:
        noise = rng.choice(_centred(fit), (draws, n)) * level[:, None]
        theta = _refit(fit, np.log(fit.predict(fit.x)) + noise, fit.weights[None], rng)
        return Bootstrap(fit, "residual", theta, level, seed)
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < LEAST_GROUPS:
        raise ChemscaleError(
            f"{len(names)} groups are too few to resample, {LEAST_GROUPS} are the least; leave the groups out, then "
            "residuals are resampled"
        )
    if len(names) < GROUPS_FOR_CASES:
        signs = rng.choice(np.concatenate([-WEBB, WEBB]), (draws, len(names)))[:, index]
        theta = _refit(fit, np.log(fit.predict(fit.x)) + _centred(fit) * signs * level[:, None], fit.weights[None], rng)
        return Bootstrap(fit, "wild", theta, level, seed)
    weights, redrawn = _draw_groups(fit, index, draws, rng)
    theta = _refit(fit, np.log(fit.loss)[None], weights * fit.weights, rng)
    return Bootstrap(fit, "cases", theta, level, seed, redrawn)


def _draw_groups(fit: Fit, index: np.ndarray, draws: int, rng) -> tuple[np.ndarray, int]:
    """How often each run is in each draw (draws, points), and how many draws were thrown away."""
    count = index.max() + 1
    codes = np.stack([np.unique(values, return_inverse=True)[1] for values in fit.x.values()])

    def can_be_fitted(weights: np.ndarray) -> bool:
        present = codes[:, weights > 0]
        enough = min(len(np.unique(values)) for values in present) >= 3
        return enough and len(np.unique(present, axis=1).T) >= len(fit.form.parameters)

    weights, redrawn = np.empty((draws, len(index))), 0
    for draw in range(draws):
        for _ in range(TRIES):
            weights[draw] = np.bincount(rng.integers(count, size=count), minlength=count)[index]
            if can_be_fitted(weights[draw]):
                break
            redrawn += 1
        else:
            raise ChemscaleError(
                f"draws of the {count} groups leave too few sizes for {fit.form.name}; leave the groups out, then "
                "residuals are resampled"
            )
    return weights, redrawn
