"""Judge by stated tests whether a curve is resolution-limited (a pure power law), or shows a floor or a break.

A pure power law is a straight line in logs. It is accepted where no richer law that the table allows explains
significantly more: not a floor, a shift or a break, and not a free mean for each size. The tests are F tests of nested
least-squares fits of log loss (Bates & Watts 1988, ch. 3.10; the last one is the test of lack of fit), each at the
level (1 − confidence) / number of tests (Bonferroni), so that a true power law is accepted in about `confidence` of all
tables or more.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from chemscale.errors import NotFittable
from chemscale.scaling.fitting.fit import Fit, fit_law
from chemscale.scaling.fitting.validation import as_variables, check_table
from chemscale.scaling.forms.laws import named_form
from chemscale.scaling.inference.profile import profile_interval

MIN_SIZES = 3
MIN_DECADES = 1.0  # of a range that is called a power law
MIN_DEGREES = 2  # runs beyond the parameters of a form, to estimate the noise
FORMS = ("power", "power_floor", "shifted", "broken")  # simplest first
RICHER_FORMS = {"power": ("power_floor", "shifted", "broken"), "power_floor": ("broken",)}
MEANS = "one mean per size"
BREAK_GRID_POINTS = 100  # candidates for a break between the second size and the last but one


@dataclass(frozen=True)
class Noise:
    """Standard deviation of the log loss of one run, its degrees of freedom, and what it was estimated from."""

    sd: float
    degrees: int
    source: str


@dataclass(frozen=True)
class Sizes:
    """Runs of a curve by size: log x, mean log loss and number of runs, each (sizes,)."""

    log_x: np.ndarray
    mean: np.ndarray
    runs: np.ndarray

    def line(self) -> tuple[float, float]:
        """Return the least-squares slope of log loss by log x, and the weighted sum of squares that the line leaves."""
        z = self.log_x - np.average(self.log_x, weights=self.runs)
        y = self.mean - np.average(self.mean, weights=self.runs)
        slope = (self.runs * z * y).sum() / self.spread
        return float(slope), float((self.runs * (y - slope * z) ** 2).sum())

    @property
    def spread(self) -> float:
        """Weighted sum of squares of log x about its mean."""
        return float((self.runs * (self.log_x - np.average(self.log_x, weights=self.runs)) ** 2).sum())

    def subset(self, rows: np.ndarray | list[int] | slice) -> "Sizes":
        """Return the sizes of `rows`."""
        return Sizes(self.log_x[rows], self.mean[rows], self.runs[rows])


def by_size(x: np.ndarray, loss: np.ndarray) -> Sizes:
    """Group the runs of a curve, `x` and `loss` (points,), by size."""
    distinct, index = np.unique(x, return_inverse=True)
    runs = np.bincount(index)
    return Sizes(np.log(distinct), np.bincount(index, np.log(loss)) / runs, runs)


def seed_noise(x: np.ndarray, loss: np.ndarray) -> Noise | None:
    """Return the noise of log loss pooled over sizes with several seeds; None where fewer than two runs are repeats."""
    degrees = len(x) - len(np.unique(x))
    if degrees < MIN_DEGREES:
        return None
    return Noise(float(np.sqrt(_pure_error(x, loss) / degrees)), degrees, "seeds of the same size")


def _pure_error(x: np.ndarray, loss: np.ndarray) -> float:
    """Return the sum of squares of log losses about the mean of their size."""
    index = np.unique(x, return_inverse=True)[1]
    log_y = np.log(loss)
    return float(((log_y - (np.bincount(index, log_y) / np.bincount(index))[index]) ** 2).sum())


def residual_noise(fit: Fit) -> Noise:
    """Return the noise of log loss from the residuals of a fit."""
    degrees = len(fit.loss) - len(fit.form.free)
    return Noise(float(np.sqrt(_squares(fit) / degrees)), degrees, f"residuals of {fit.form.name}")


def local_slopes(x: np.ndarray, loss: np.ndarray, confidence: float, noise: Noise) -> dict[str, list[dict]]:
    """Return local exponents −d log L / d log x with intervals (Student's t), as content for JSON.

    `neighbours` are those between neighbouring sizes, `decades` those of each decade. A decade starts at the smallest
    size or at a power of ten times it, and needs two sizes.
    """
    sizes = by_size(x, loss)
    decade = np.floor(np.log10(np.exp(sizes.log_x - sizes.log_x[0])) + 1e-9)
    rows = [np.flatnonzero(decade == value) for value in np.unique(decade)]
    return {
        "neighbours": [_slope(sizes.subset([i, i + 1]), confidence, noise) for i in range(len(sizes.runs) - 1)],
        "decades": [_slope(sizes.subset(of_decade), confidence, noise) for of_decade in rows if len(of_decade) > 1],
    }


def _slope(sizes: Sizes, confidence: float, noise: Noise) -> dict:
    slope = -sizes.line()[0]
    half = float(stats.t.ppf((1 + confidence) / 2, noise.degrees)) * noise.sd / np.sqrt(sizes.spread)
    start, end = (float(np.exp(value)) for value in sizes.log_x[[0, -1]])
    return {"from": start, "to": end, "slope": slope, "low": float(slope - half), "high": float(slope + half)}


def regime(x: np.ndarray, loss: np.ndarray, confidence: float = 0.9) -> dict:
    """Judge a curve, `x` and `loss` (points,), and return content for JSON with a `verdict` and a `statement`.

    * `resolution-limited`: no test rejects the power law, over at least three sizes and one decade
    * `floor`: the power law is rejected, the law with a floor is not, and it fits better than a shifted one; `floor`
      holds its value and interval
    * `break`: both are rejected; `break` holds the place and its interval, by profile likelihood of the form `broken`
      where there are enough runs for it, otherwise by the best pair of straight lines that meet
    * `too short to say`: fewer sizes or decades

    `range` is the longest run of sizes over which the line is not rejected and that contains no break (of two of equal
    length, the later one); None if there is none. On few sizes the law with a floor may fit a break as well.
    Raises ChemscaleError for values that are not positive numbers, NotFittable for a table that is not a curve.
    """
    x = as_variables(named_form("power"), x)["x"]
    loss = np.atleast_1d(np.asarray(loss, dtype=float))
    check_table(named_form("power"), {"x": x}, loss, np.ones_like(loss))
    fits = _fits(x, loss)
    noise = seed_noise(x, loss) or (residual_noise(_richest(fits)) if fits else None)
    decades = float(np.ptp(np.log10(x)))
    content: dict = {
        "confidence": confidence,
        "decades": decades,
        "noise": vars(noise) if noise else None,
        "slopes": local_slopes(x, loss, confidence, noise) if noise else None,
        "fits": {name: {"parameters": fit.parameters, "log_rmse": fit.log_rmse} for name, fit in fits.items()},
        "tests": [],
        "range": None,
        "floor": None,
        "break": None,
    }
    if noise is None or not fits or decades < MIN_DECADES:
        reason = f"{len(x)} runs at {len(np.unique(x))} sizes over {decades:.2g} decades"
        return content | {"verdict": "too short to say", "statement": f"Too short to say: {reason}."}

    content["tests"] = _tests("power", fits, x, loss)
    if not _rejected(content["tests"], confidence):
        return content | _resolution_limited(fits, x, confidence)
    if "power_floor" in fits and _squares(fits["power_floor"]) <= _squares(fits["shifted"]):
        of_floor = _tests("power_floor", fits, x, loss)
        content["tests"] = content["tests"] + of_floor
        if not _rejected(of_floor, confidence):
            return content | _with_floor(fits["power_floor"], by_size(x, loss), noise, confidence)
    return content | _with_break(fits, x, loss, noise, confidence)


def _fits(x: np.ndarray, loss: np.ndarray) -> dict[str, Fit]:
    """Return least-squares fits of the forms that leave enough runs to estimate the noise, simplest first."""
    fits = {}
    for name in FORMS:
        if len(x) - len(named_form(name).parameters) < MIN_DEGREES:
            continue
        try:
            fits[name] = fit_law(name, x, loss, objective="least_squares_log")
        except NotFittable:  # too few sizes for this form
            continue
    return fits


def _squares(fit: Fit) -> float:
    """Return the sum of squares of the log residuals, at least that of rounding."""
    return max(2 * fit.diagnostics["objective"], 1e-20 * len(fit.loss))


def _richest(fits: dict[str, Fit]) -> Fit:
    return max(fits.values(), key=lambda fit: (len(fit.theta), -_squares(fit)))


def _tests(name: str, fits: dict[str, Fit], x: np.ndarray, loss: np.ndarray) -> list[dict]:
    """F tests of a form against the richer forms that contain it and, where there are seeds, against free means."""
    simple = fits[name]
    richer = {form: (_squares(fits[form]), len(fits[form].theta)) for form in RICHER_FORMS[name] if form in fits}
    means = len(np.unique(x))
    if seed_noise(x, loss) and means > len(simple.theta):
        richer[MEANS] = max(_pure_error(x, loss), 1e-20 * len(x)), means
    made = []
    for against, (squares, parameters) in richer.items():
        more, left = parameters - len(simple.theta), len(x) - parameters
        f = max(_squares(simple) - squares, 0) / more / (squares / left)
        made.append(
            {"form": name, "against": against, "f": float(f), "degrees": [more, left], "p": _p_value(f, more, left)}
        )
    return made


def _p_value(f: float, more: int, left: int) -> float:
    return float(stats.f.sf(f, more, left))


def _rejected(tests: list[dict], confidence: float) -> bool:
    return any(test["p"] < (1 - confidence) / len(tests) for test in tests)


def _resolution_limited(fits: dict[str, Fit], x: np.ndarray, confidence: float) -> dict:
    slope = fits["power"].parameters["exponent"]
    low, high = profile_interval(fits["power"], "exponent", confidence)
    statement = (
        f"Resolution-limited from {x.min():.3g} to {x.max():.3g}: one power law with exponent {slope:.3g} "
        f"({low:.3g} to {high:.3g} at {confidence:.0%})"
    )
    floor = None
    if "power_floor" in fits:
        bottom, top = profile_interval(fits["power_floor"], "floor", confidence)
        floor = {"value": fits["power_floor"].parameters["floor"], "low": bottom, "high": top}
        statement += f"; a floor above {top:.3g} is excluded"
    return {
        "verdict": "resolution-limited",
        "range": [float(x.min()), float(x.max())],
        "floor": floor,
        "statement": statement + ".",
    }


def _with_floor(fit: Fit, sizes: Sizes, noise: Noise, confidence: float) -> dict:
    found = longest_line(sizes, noise, confidence)
    low, high = profile_interval(fit, "floor", confidence)
    value = fit.parameters["floor"]
    statement = f"Not resolution-limited: a floor of {value:.3g} ({low:.3g} to {high:.3g} at {confidence:.0%})"
    return {
        "verdict": "floor",
        "range": found,
        "floor": {"value": value, "low": low, "high": high},
        "statement": statement + _range_text(found),
    }


def _with_break(fits: dict[str, Fit], x: np.ndarray, loss: np.ndarray, noise: Noise, confidence: float) -> dict:
    place = _break(fits, x, loss, confidence)
    sizes, at = by_size(x, loss), np.log(place["place"])
    lines = [longest_line(sizes.subset(side), noise, confidence) for side in (sizes.log_x <= at, sizes.log_x >= at)]
    found = max((line for line in lines if line), key=lambda ends: ends[1] / ends[0], default=None)
    statement = f"Not resolution-limited: the slope changes at {place['place']:.3g}"
    statement += f" ({place['low']:.3g} to {place['high']:.3g} at {confidence:.0%})"
    return {"verdict": "break", "range": found, "break": place, "statement": statement + _range_text(found)}


def longest_line(sizes: Sizes, noise: Noise, confidence: float) -> list[float] | None:
    """Return the first and last size of the longest run (in log x) that a line describes within the noise.

    F test of what the line leaves of the means against `noise`. None if the run has fewer than three sizes or spans
    less than one decade.
    """
    best, longest = None, MIN_DECADES * np.log(10) - 1e-9
    for first in range(len(sizes.runs)):
        for last in range(first + MIN_SIZES - 1, len(sizes.runs)):
            length = sizes.log_x[last] - sizes.log_x[first]
            left = last - first - 1  # sizes minus the two parameters of a line
            f = sizes.subset(slice(first, last + 1)).line()[1] / left / max(noise.sd**2, 1e-20)
            if length >= longest and _p_value(f, left, noise.degrees) >= 1 - confidence:
                best, longest = [float(np.exp(sizes.log_x[i])) for i in (first, last)], length
    return best


def _range_text(found: list[float] | None) -> str:
    if found is None:
        return "; no range of sizes is consistent with a power law."
    return f"; consistent with a power law from {found[0]:.3g} to {found[1]:.3g}."


def _break(fits: dict[str, Fit], x: np.ndarray, loss: np.ndarray, confidence: float) -> dict:
    """Return the place of a break with its interval."""
    if "broken" in fits:
        low, high = profile_interval(fits["broken"], "break", confidence)
        return {
            "place": fits["broken"].parameters["break"],
            "low": low,
            "high": high,
            "by": "profile of the form broken",
        }
    log_x, log_y = np.log(x), np.log(loss)
    second, last_but_one = np.unique(x)[[1, -2]]
    places = np.geomspace(second, last_but_one, BREAK_GRID_POINTS)  # leaves two sizes on either side
    left = np.array([_two_line_squares(log_x, log_y, np.log(place)) for place in places])
    degrees = max(len(x) - 4, 1)
    inside = places[left <= left.min() * (1 + stats.f.ppf(confidence, 1, degrees) / degrees)]
    return {
        "place": float(places[left.argmin()]),
        "low": float(inside.min()),
        "high": float(inside.max()),
        "by": "two lines that meet",
    }


def _two_line_squares(log_x: np.ndarray, log_y: np.ndarray, place: float) -> float:
    """Return the sum of squares that two lines leave which meet at `place`, a log x."""
    columns = np.stack([np.ones_like(log_x), log_x, np.maximum(log_x - place, 0)], axis=1)
    found = np.linalg.lstsq(columns, log_y, rcond=None)[0]
    return float(((log_y - columns @ found) ** 2).sum())
