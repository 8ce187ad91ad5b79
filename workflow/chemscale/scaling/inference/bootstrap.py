"""Intervals of a fitted law by bootstrap: tables like the one fitted are drawn, and each is fitted again.

Three ways to draw:

* **residual** (for a designed grid of few sizes, where resampling runs would often leave two sizes): log losses are
  drawn as law + noise. The noise is the residuals of the law times √weight, resampled, over √weight again, at a level
  that is itself drawn from its sampling distribution, σ*² = Σ w r² / χ²_ν with ν = runs − parameters. That widens the
  intervals of five points as Student's t does, where a plain residual bootstrap is too narrow. It assumes that the form
  is right, and that the noise of log loss is independent between runs, with a variance of 1 / weight.
* **cases** (with twelve groups or more; large tables, checkpoints of the same run): whole groups are drawn with
  replacement, which assumes nothing about the noise. A draw that cannot be fitted (fewer than 3 values of a variable,
  fewer distinct points than parameters) is drawn again and counted in `redrawn`.
* **wild** (with fewer groups): log losses are law + residuals, those of one group multiplied by one random number of
  mean 0 and variance 1 (six points; Webb 2023, Can. J. Econ. 56, 839), and scaled as above. Residuals that groups share
  stay together, and all sizes stay in the table.

`wider_bootstrap` draws in two ways where there are groups, or rows enough to be groups of their own, and keeps the one
with the wider intervals: all that is quoted comes from its draws.

Measured coverage of the 90 % intervals: docs/explanation/benchmarks.md (tests/benchmarks/coverage.py). It is lower
where the form is wrong: a power law through a curve with a floor gives a narrow interval around a wrong exponent.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np

from chemscale.errors import NotFittable
from chemscale.progress import progress
from chemscale.scaling.defaults import DEFAULT_DRAWS, MIN_DRAWS
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.fitting.newton import minimise
from chemscale.scaling.fitting.objectives import Objective
from chemscale.scaling.fitting.starts import project, random_starts
from chemscale.scaling.forms.terms import Points
from chemscale.scaling.inference.profile import MANY_ROWS

RANDOM_STARTS = 3  # of every draw, beside the fit itself: a draw may have its optimum in another basin
MAX_REDRAWS = 100  # of one draw
DRAWS_AT_ONCE = 100
MIN_DRAWS_FOR_PROGRESS = 1000
MIN_GROUPS = 5  # with three, a parameter that only differs between groups gets a narrow interval that is wrong
MIN_GROUPS_FOR_CASES = 12  # with fewer, draws of whole groups leave too few sizes
ROWS_PER_PARAMETER_FOR_CASES = 6  # from here on rows are drawn as cases too: their noise may differ between sizes
NO_FLOOR = 0.1  # share of the noise of the smallest loss below which a floor counts as none
SMOOTH_BELOW = 1e-4  # Huber's δ below which a draw is reached through smoother ones: Newton finds no curvature there
BETTER = 1e-4  # relative fall of the objective by which another start is better, not only further on
PILOT_DRAWS = 40  # of a table of many rows, on which random starts are tried
SMALLEST_DELTA = 0.01  # of the noise: for many rows a smaller δ takes longer and draws the same
WEBB_WEIGHTS = np.sqrt([0.5, 1.0, 1.5])


@dataclass(frozen=True)
class Bootstrap:
    """Draws of a fit's parameter vector; intervals are their quantiles."""

    fit: Fit
    method: str  # "residual", "cases" or "wild"
    theta: np.ndarray  # (draws, parameters)
    noise: np.ndarray  # (draws,) noise of each draw over that of the residuals
    seed: int
    redrawn: int = 0

    def draws_of(self, name: str) -> np.ndarray:
        """Return the draws of one parameter of the formula, or of `a`: (draws,).

        A floor is 0 where it is too small to show beside the noise: its logarithm is what is fitted, and has no end.
        """
        if name in self.fit.form.fixed:
            return np.full(len(self.theta), self.fit.form.fixed[name])
        draws = self.fit.quantity(name, self.theta)
        if self.fit.form.kinds.get(name) == "floor":
            return np.where(draws < NO_FLOOR * self.fit.log_rmse * self.fit.loss.min(), 0.0, draws)
        return draws

    def interval(self, name: str, confidence: float) -> tuple[float, float]:
        """Return the interval of one parameter, or of `a`."""
        low, high = self._ends(self.draws_of(name), confidence)
        return float(low), float(high)

    def _ends(self, draws: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of the interval of a quantity with `draws` (draws, …), each (…).

        Where a floor of 0 is among the draws, the fitted floor can only err upwards, and so does all that moves with
        it: the bootstrap fails at a bound (Andrews 2000, Econometrica 68, 399). The interval then also holds that of
        the draws without a floor.
        """
        low, high = quantile_interval(draws, confidence)
        floor = self.fit.form.floor
        without = np.zeros(len(draws), dtype=bool) if floor is None else self.draws_of(floor) == 0
        if without.sum() >= max(MIN_DRAWS, len(draws) * (1 - confidence) / 2):
            ends = quantile_interval(draws[without], confidence)
            low, high = np.minimum(low, ends[0]), np.maximum(high, ends[1])
        return low, high

    def band(self, x: Points, confidence: float, runs: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return lowest and highest loss at `x`, each (points,): of the law, or of the mean of `runs` new runs."""
        losses = self.fit.predict_many(x, self.theta)  # (draws, points)
        if runs:
            rng = np.random.default_rng([self.seed, 1])
            noise = rng.choice(_standardised(self.fit), (*losses.shape, runs)) * self.noise[:, None, None]
            losses = losses * np.exp(noise).mean(axis=2)
        return self._ends(losses, confidence)


def quantile_interval(draws: np.ndarray, confidence: float) -> np.ndarray:
    """Return the ends between which the share `confidence` of the draws (draws, …) lies: (2, …)."""
    tail = (1 - confidence) / 2
    return np.quantile(draws, [tail, 1 - tail], axis=0)


def _relative_weights(fit: Fit) -> np.ndarray:
    """Return the weights of the points over their mean, (points,)."""
    return fit.weights / fit.weights.mean()


def _centred(fit: Fit) -> np.ndarray:
    """Return observed over fitted log losses, less their weighted mean: (points,)."""
    return np.average(fit.residuals, weights=fit.weights) - fit.residuals


def _standardised(fit: Fit) -> np.ndarray:
    """Return the centred residuals of a point of mean weight: those of all points with a weight, times √weight."""
    weights = _relative_weights(fit)
    return (_centred(fit) * np.sqrt(weights))[weights > 0]


def _refit(fit: Fit, log_y: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the best θ of every draw, (draws, parameters); `log_y` and `weights` are (draws or 1, points).

    Every draw is fitted from the fit itself and from random starts. A table of many rows is spared the random starts
    where none of them is better in the first draws.
    """
    law, log_loss = fit.form.bind(fit.scaling, fit.x), np.log(fit.loss)[None]
    low, high = fit.bounds
    draws = max(len(log_y), len(weights))
    spread = [np.broadcast_to(values, (draws, values.shape[1])) for values in (log_y, weights)]
    objective, starts = fit.objective, RANDOM_STARTS
    if fit.form.name == "power":  # a line in logs, which has one optimum
        starts = 0
    if len(fit.loss) >= MANY_ROWS and np.isfinite(objective.delta):
        objective = Objective(objective.kind, max(objective.delta, SMALLEST_DELTA * fit.log_rmse))
    at_once = DRAWS_AT_ONCE if len(fit.loss) < MANY_ROWS else PILOT_DRAWS
    smooth = objective.delta < SMOOTH_BELOW
    thetas = []
    with (
        progress(draws, f"bootstrap of {fit.form.name}", "draws")
        if draws >= MIN_DRAWS_FOR_PROGRESS
        else nullcontext() as tick
    ):
        for first in range(0, draws, at_once):
            here = [values[first : first + at_once] for values in spread]
            count = len(here[0])
            start = np.tile(fit.theta, (count, 1))
            refit = partial(minimise, weights=here[1], smooth=smooth, rough=True)
            theta, value = refit(law, here[0], start, low, high, objective)
            improved = False
            for _ in range(starts):
                start = random_starts(fit.form, fit.scaling, fit.x, log_loss, count, rng)
                start = project(fit.form, law, log_loss, start)
                other, other_value = refit(law, here[0], start, low, high, objective)
                better = other_value < value
                improved |= bool((other_value < value * (1 - BETTER)).any())
                theta[better], value[better] = other[better], other_value[better]
            if len(fit.loss) >= MANY_ROWS and not improved:
                starts = 0
            thetas.append(theta)
            if tick:
                tick(count)
    return np.concatenate(thetas)


def _degrees(fit: Fit) -> int:
    """Return the degrees of freedom that are left to the noise."""
    free = len(fit.form.free) - len(fit.diagnostics["at_bounds"])
    runs = int(np.count_nonzero(fit.weights))
    left = runs - free
    if left < 1:
        raise NotFittable(
            f"{runs} runs cannot determine the {free} parameters of {fit.form.name} and the noise; "
            "add sizes or seeds, or fit a form with fewer parameters"
        )
    return left


def bootstrap(fit: Fit, draws: int = DEFAULT_DRAWS, seed: int = 0, groups: np.ndarray | None = None) -> Bootstrap:
    """Draw tables like the one fitted, and fit each; `groups` (points,) names the rows that are drawn together.

    Raises NotFittable if the noise cannot be estimated, or if there are too few groups to draw from.
    """
    rng = np.random.default_rng([seed, 0])
    left = _degrees(fit)
    weights, standardised = _relative_weights(fit), _standardised(fit)
    level = np.sqrt(len(standardised) / rng.chisquare(left, draws))
    if groups is None:
        noise = rng.choice(standardised, (draws, len(fit.loss))) * level[:, None]
        noise /= np.sqrt(np.where(weights > 0, weights, 1))
        theta = _refit(fit, np.log(fit.predict(fit.x)) + noise, fit.weights[None], rng)
        return Bootstrap(fit, "residual", theta, level, seed)
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < MIN_GROUPS:
        raise NotFittable(
            f"{len(names)} groups are too few to resample; give at least {MIN_GROUPS}, or leave the groups out to "
            "resample residuals"
        )
    if len(names) < MIN_GROUPS_FOR_CASES:
        signs = rng.choice(np.concatenate([-WEBB_WEIGHTS, WEBB_WEIGHTS]), (draws, len(names)))[:, index]
        theta = _refit(fit, np.log(fit.predict(fit.x)) + _centred(fit) * signs * level[:, None], fit.weights[None], rng)
        return Bootstrap(fit, "wild", theta, level, seed)
    weights, redrawn = _draw_groups(fit, index, draws, rng)
    theta = _refit(fit, np.log(fit.loss)[None], weights * fit.weights, rng)
    return Bootstrap(fit, "cases", theta, level, seed, redrawn)


def wider_bootstrap(
    fit: Fit, draws: int = DEFAULT_DRAWS, seed: int = 0, groups: np.ndarray | None = None
) -> tuple[Bootstrap, Bootstrap | None]:
    """Return the draws to quote, and the narrower ones if tables were drawn in a second way.

    The first way is by row. The second is by `groups` (points,), or by rows as cases where there are enough of them.
    The wider draws are those whose intervals of the parameters are wider on geometric average. Raises NotFittable as
    `bootstrap` does.
    """
    by_row = bootstrap(fit, draws, seed)
    if groups is not None:
        second = bootstrap(fit, draws, seed, groups)
    elif len(fit.loss) >= ROWS_PER_PARAMETER_FOR_CASES * len(fit.form.free):
        try:
            second = bootstrap(fit, draws, seed, np.arange(len(fit.loss)))
        except NotFittable:  # draws of rows leave too few sizes
            return by_row, None
    else:
        return by_row, None
    ratios = [ratio for ratio in width_ratios(second, by_row, 0.9).values() if ratio]
    return (second, by_row) if np.log(ratios).mean() > 0 else (by_row, second)


def width_ratios(one: Bootstrap, other: Bootstrap, confidence: float) -> dict[str, float | None]:
    """Return the widths of the intervals of `one` over those of `other`, None where those have no width."""
    widths = [
        {name: np.ptp(draws.interval(name, confidence)) for name in draws.fit.form.quantities} for draws in (one, other)
    ]
    return {name: float(widths[0][name] / width) if width > 0 else None for name, width in widths[1].items()}


def _draw_groups(fit: Fit, index: np.ndarray, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return how often each run is in each draw (draws, points), and how many draws were thrown away."""
    count = index.max() + 1
    codes = np.stack([np.unique(values, return_inverse=True)[1] for values in fit.x.values()])

    def can_be_fitted(weights: np.ndarray) -> bool:
        present = codes[:, weights > 0]
        enough = min(len(np.unique(values)) for values in present) >= 3
        return enough and len(np.unique(present, axis=1).T) >= len(fit.form.free)

    weights, redrawn = np.empty((draws, len(index))), 0
    for draw in range(draws):
        for _ in range(MAX_REDRAWS):
            weights[draw] = np.bincount(rng.integers(count, size=count), minlength=count)[index]
            if can_be_fitted(weights[draw]):
                break
            redrawn += 1
        else:
            raise NotFittable(
                f"draws of the {count} groups leave too few sizes for {fit.form.name}; leave the groups out to "
                "resample residuals"
            )
    return weights, redrawn
