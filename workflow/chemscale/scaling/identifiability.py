"""What a table can and cannot say about a law: every fit gets one sentence, and its undetermined numbers are named."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from chemscale.scaling.fit import Fit, bounds, random_starts
from chemscale.scaling.minimise import minimise
from chemscale.scaling.uncertainty import Bootstrap

LEAST_DECADES = 1.0  # of each variable; on less, an exponent is a local slope
LARGEST_CORRELATION = 0.9  # of log N and log D; beyond it the runs lie on one ray and α and β trade off
WIDEST = 1.0  # width of an exponent's interval over the exponent
LIMIT_CONFIDENCE = 0.95  # of the one-sided limit of a floor
GRID = 40  # floors tried in each of the two passes of a profile


@dataclass(frozen=True)
class Identification:
    """Whether a fit is determined by its table. `unidentified` names parameters that must not be quoted as numbers."""

    unidentified: tuple[str, ...]
    statement: str
    decades: dict[str, float]
    correlation: float | None
    floor_limits: tuple[float, float] | None  # one-sided 95 % each

    @property
    def identified(self) -> bool:
        return not self.unidentified

    def to_dict(self) -> dict:
        return {
            "identified": self.identified,
            "unidentified": list(self.unidentified),
            "statement": self.statement,
            "decades": self.decades,
            "correlation": self.correlation,
            "floor_limits": list(self.floor_limits) if self.floor_limits else None,
        }


def aicc(fit: Fit) -> float:
    """Corrected Akaike criterion, n log(S/n) + 2k + 2k(k+1)/(n−k−1), infinite where n ≤ k + 1.

    S is twice the Huber objective (the sum of squares where no residual is clipped), k counts the parameters and the
    noise. Compare fits of the same points with the same δ only. Hurvich & Tsai 1989, Biometrika 76, 297.
    """
    n, k = len(fit.loss), len(fit.theta) + 1
    if n <= k + 1:
        return np.inf
    total = max(2 * fit.certificate["objective"], n * 1e-20)
    return n * np.log(total / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def floor_profile(fit: Fit, floors: np.ndarray) -> np.ndarray:
    """Objective with the floor held at each of `floors` and all else fitted anew: (floors,)."""
    place = fit.form.parameters.index(fit.form.floor)
    log_y = np.log(fit.loss)[None]
    low, high = (np.repeat(bound, len(floors), axis=0) for bound in bounds(fit.scaling, log_y))
    held = np.maximum(np.log(np.maximum(floors, 1e-300)), low[:, place])
    low[:, place] = high[:, place] = held
    starts = np.concatenate([fit.theta[None], random_starts(fit.scaling, log_y, 3, np.random.default_rng(0))])
    design = fit.scaling.design(fit.x)
    values = [minimise(design, log_y, np.repeat(s[None], len(floors), axis=0), low, high, fit.delta)[1] for s in starts]
    return np.min(values, axis=0)


def floor_limits(fit: Fit, confidence: float = LIMIT_CONFIDENCE) -> tuple[float, float]:
    """Lowest and highest floor, one-sided at `confidence` each, by profile likelihood.

    A floor is rejected where the profile rises above its least by F(1, ν) times the noise (least / ν), as for a
    parameter of a regression with normal noise and few points; Bates & Watts 1988, ch. 6. Lowest 0: no floor is as
    good. The highest is at most the smallest loss.
    """
    left = len(fit.loss) - len(fit.theta)
    if left < 1:
        return 0.0, float(fit.loss.min())
    rise = stats.f.ppf(2 * confidence - 1, 1, left) / left
    best = fit.parameters[fit.form.floor]
    top = max(float(fit.loss.min()), best)

    def allowed(floors: np.ndarray) -> np.ndarray:
        least = fit.certificate["objective"]
        return floor_profile(fit, floors) <= least * (1 + rise) + 1e-20 * len(fit.loss)

    def edge(inside: float, outside: float) -> float:
        if allowed(np.array([outside]))[0]:
            return outside
        for _ in range(2):
            grid = np.linspace(inside, outside, GRID)
            last = max(int(np.argmin(allowed(grid))) - 1, 0)
            inside, outside = grid[last], grid[last + 1]
        return float(inside)

    return edge(best, 0.0), edge(best, top)


def identify(fit: Fit, boot: Bootstrap, confidence: float) -> Identification:
    """Judge a fit by its table: spans, collinearity, width of the exponents' intervals, limits of the floor."""
    decades = {name: float(np.ptp(np.log10(values))) for name, values in fit.x.items()}
    correlation = None
    unidentified: list[str] = []
    reasons: list[str] = []

    for term in fit.form.terms:
        if term.exponent and decades[term.variable] < LEAST_DECADES:
            unidentified += [term.exponent, term.coefficient]
            reasons.append(
                f"{term.variable} spans {decades[term.variable]:.2g} decades, less than the {LEAST_DECADES:g} that "
                f"{term.exponent} needs"
            )
    if len(fit.x) == 2:
        correlation = float(np.corrcoef([np.log(values) for values in fit.x.values()])[0, 1])
        if abs(correlation) > LARGEST_CORRELATION:
            unidentified += fit.form.parameters
            reasons.append(
                f"log {' and log '.join(fit.x)} correlate at {correlation:.2f}, so that their exponents "
                "cannot be told apart"
            )
    for name in fit.form.exponents:
        low, high = boot.interval(name, confidence)
        if high - low > WIDEST * abs(fit.parameters[name]):
            unidentified.append(name)
            reasons.append(f"the {confidence:.0%} interval of {name}, {low:.2g} to {high:.2g}, is wider than its value")
    limits = None
    if fit.form.floor:
        limits = floor_limits(fit)
        if limits[0] == 0:
            unidentified.append(fit.form.floor)
            reasons.append(f"no floor fits as well ({fit.form.floor} < {limits[1]:.3g} at {LIMIT_CONFIDENCE:.0%})")

    unique = tuple(name for name in fit.form.parameters if name in unidentified)
    if unique:
        statement = f"Not identified ({', '.join(unique)}): {'; '.join(reasons)}."
    else:
        shown = []
        for name in fit.form.exponents:
            low, high = boot.interval(name, confidence)
            shown.append(f"{name} {fit.parameters[name]:.3g} ({low:.3g} to {high:.3g})")
        statement = f"Identified: {', '.join(shown)} at {confidence:.0%}"
        statement += f", floor {limits[0]:.3g} to {limits[1]:.3g}." if limits else "."
    return Identification(unique, statement, decades, correlation, limits)
