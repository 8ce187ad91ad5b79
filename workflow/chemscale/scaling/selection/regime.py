"""Where a curve is resolution-limited (a pure power law), and where not: a floor or a break, by rule and never by eye.

A pure power law is a straight line in logs. It is believed where nothing richer that the table allows explains
significantly more: neither a floor, nor a shift, nor a break, nor one free mean for every size. The tests are F tests
of nested least squares fits of log loss (Bates & Watts 1988, ch. 3.10; the last one is the test of lack of fit), each
at the level (1 − confidence) / number of tests (Bonferroni), so that a true power law is called one in about
`confidence` of all tables or more.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.fit import Fit, fit_law
from chemscale.scaling.fitting.validation import as_variables, check_table
from chemscale.scaling.forms.laws import named_form
from chemscale.scaling.inference.profile import profile_interval

LEAST_SIZES = 3
LEAST_DECADES = 1.0  # of a range that is called a power law
LEAST_LEFT = 2  # runs beyond the numbers of a form, to judge noise by
FORMS = ("power", "power_floor", "shifted", "broken")
MEANS = "one mean a size"
PLACES = 100  # tried for a break between the second and the last but one size


@dataclass(frozen=True)
class Noise:
    """Standard deviation of log loss of one run, its degrees of freedom, and what it was estimated from."""

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
        """Least squares slope of log loss by log x, and the weighted sum of squares that a line leaves."""
        z = self.log_x - np.average(self.log_x, weights=self.runs)
        y = self.mean - np.average(self.mean, weights=self.runs)
        slope = (self.runs * z * y).sum() / self.spread
        return float(slope), float((self.runs * (y - slope * z) ** 2).sum())

    @property
    def spread(self) -> float:
        """Weighted sum of squares of log x about its mean."""
        return float((self.runs * (self.log_x - np.average(self.log_x, weights=self.runs)) ** 2).sum())

    def part(self, rows) -> "Sizes":
        return Sizes(self.log_x[rows], self.mean[rows], self.runs[rows])


def by_size(x: np.ndarray, loss: np.ndarray) -> Sizes:
    """Group the runs of a curve, `x` and `loss` (points,), by size."""
    distinct, index = np.unique(x, return_inverse=True)
    runs = np.bincount(index)
    return Sizes(np.log(distinct), np.bincount(index, np.log(loss)) / runs, runs)


def seed_noise(x: np.ndarray, loss: np.ndarray) -> Noise | None:
    """Noise of log loss pooled over sizes with several seeds; None where fewer than two runs are repeats."""
    degrees = len(x) - len(np.unique(x))
    if degrees < LEAST_LEFT:
        return None
    return Noise(float(np.sqrt(_pure_error(x, loss) / degrees)), degrees, "seeds of the same size")


def _pure_error(x: np.ndarray, loss: np.ndarray) -> float:
    index = np.unique(x, return_inverse=True)[1]
    log_y = np.log(loss)
    return float(((log_y - (np.bincount(index, log_y) / np.bincount(index))[index]) ** 2).sum())


def residual_noise(fit: Fit) -> Noise:
    """Noise of log loss from the residuals of a fit."""
    degrees = len(fit.loss) - len(fit.theta)
    return Noise(float(np.sqrt(_squares(fit) / degrees)), degrees, f"residuals of {fit.form.name}")


def local_slopes(x: np.ndarray, loss: np.ndarray, confidence: float, noise: Noise) -> dict[str, list[dict]]:
    """Exponents −d log L / d log x with intervals (Student's t): between `neighbours`, and of each of the `decades`.

    A decade starts at the smallest size or at a power of ten times it, and needs two sizes.
    """
    sizes = by_size(x, loss)
    decade = np.floor(np.log10(np.exp(sizes.log_x - sizes.log_x[0])) + 1e-9)
    parts = [np.flatnonzero(decade == value) for value in np.unique(decade)]
    return {
        "neighbours": [_slope(sizes.part([i, i + 1]), confidence, noise) for i in range(len(sizes.runs) - 1)],
        "decades": [_slope(sizes.part(part), confidence, noise) for part in parts if len(part) > 1],
    }


def _slope(sizes: Sizes, confidence: float, noise: Noise) -> dict:
    slope = -sizes.line()[0]
    half = float(stats.t.ppf((1 + confidence) / 2, noise.degrees)) * noise.sd / np.sqrt(sizes.spread)
    start, end = (float(np.exp(value)) for value in sizes.log_x[[0, -1]])
    return {"from": start, "to": end, "slope": slope, "low": float(slope - half), "high": float(slope + half)}


def regime(x: np.ndarray, loss: np.ndarray, confidence: float = 0.9) -> dict:
    """Judge a curve, `x` and `loss` (points,); plain content for JSON with `verdict` and a `statement` in one sentence.

    * `resolution-limited`: no test rejects the power law, over three sizes and one decade at the least
    * `floor`: the law with a floor is not rejected where the power law is, and fits better than a shifted one;
      `floor` has its value and interval
    * `break`: it is; `break` has the place and interval, by profile likelihood of the form `broken` where there are
      runs enough for it, else where two straight lines meet best
    * `too short to say`: fewer sizes or decades

    `range` is the longest run of sizes over which the line is not rejected (the later of two as long) and that has no
    break inside; None where it is too short. The law with a floor may fit a break as well where sizes are few.
    Raises ChemscaleError for a table that carries no curve.
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
        "noise": {"sd": noise.sd, "degrees": noise.degrees, "source": noise.source} if noise else None,
        "slopes": local_slopes(x, loss, confidence, noise) if noise else None,
        "fits": {name: {"parameters": fit.parameters, "log_rmse": fit.log_rmse} for name, fit in fits.items()},
        "tests": [],
        "range": None,
        "floor": None,
        "break": None,
    }
    if not fits or decades < LEAST_DECADES:
        reason = f"{len(x)} runs at {len(np.unique(x))} sizes over {decades:.2g} decades"
        return content | {"verdict": "too short to say", "statement": f"Too short to say: {reason}."}

    content["tests"] = tests = _tests("power", fits, x, loss)
    if not _rejected(tests, confidence):
        return content | _resolution_limited(fits, x, confidence)
    sizes = by_size(x, loss)
    floor = fits.get("power_floor")
    if floor and _squares(floor) <= _squares(fits["shifted"]):
        more = _tests("power_floor", fits, x, loss)
        content["tests"] = tests + more
        if not _rejected(more, confidence):
            content["range"] = longest_line(sizes, noise, confidence)
            low, high = profile_interval(floor, "floor", confidence)
            value = floor.parameters["floor"]
            statement = f"Not resolution-limited: a floor of {value:.3g} ({low:.3g} to {high:.3g} at {confidence:.0%})"
            return content | {
                "verdict": "floor",
                "floor": {"value": value, "low": low, "high": high},
                "statement": statement + _within(content["range"]),
            }
    content["break"] = place = _break(fits, x, loss, confidence)
    sides = [sizes.log_x <= np.log(place["place"]), sizes.log_x >= np.log(place["place"])]
    found = [longest_line(sizes.part(side), noise, confidence) for side in sides]
    content["range"] = max(filter(None, found), key=lambda ends: ends[1] / ends[0], default=None)
    statement = f"Not resolution-limited: the slope changes at {place['place']:.3g}"
    statement += f" ({place['low']:.3g} to {place['high']:.3g} at {confidence:.0%})"
    return content | {"verdict": "break", "statement": statement + _within(content["range"])}


def _fits(x: np.ndarray, loss: np.ndarray) -> dict[str, Fit]:
    """Least squares fits of the forms that leave runs to judge the noise by, simplest first."""
    fits = {}
    for name in FORMS:
        if len(x) - len(named_form(name).parameters) < LEAST_LEFT:
            continue
        try:
            fits[name] = fit_law(name, x, loss, objective="least_squares_log")
        except ChemscaleError:  # too few sizes for this form
            continue
    return fits


def _squares(fit: Fit) -> float:
    """Sum of squares of the log residuals, of rounding at the least."""
    return max(2 * fit.diagnostics["objective"], 1e-20 * len(fit.loss))


def _richest(fits: dict[str, Fit]) -> Fit:
    return max(fits.values(), key=lambda fit: (len(fit.theta), -_squares(fit)))


def _tests(name: str, fits: dict[str, Fit], x: np.ndarray, loss: np.ndarray) -> list[dict]:
    """F tests of a form against the richer ones that contain it, and against one mean a size where there are seeds."""
    simple = fits[name]
    inside = {"power": ("power_floor", "shifted", "broken"), "power_floor": ("broken",)}[name]
    richer = {form: (_squares(fits[form]), len(fits[form].theta)) for form in inside if form in fits}
    means = len(np.unique(x))
    if seed_noise(x, loss) and means > len(simple.theta):
        richer[MEANS] = max(_pure_error(x, loss), 1e-20 * len(x)), means
    made = []
    for against, (squares, numbers) in richer.items():
        more, left = numbers - len(simple.theta), len(x) - numbers
        f = max(_squares(simple) - squares, 0) / more / (squares / left)
        made.append(
            {"form": name, "against": against, "f": float(f), "degrees": [more, left], "p": _tail(f, more, left)}
        )
    return made


def _tail(f: float, more: int, left: int) -> float:
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


def longest_line(sizes: Sizes, noise: Noise, confidence: float) -> list[float] | None:
    """First and last size of the longest run (in log x) that a line describes within the noise, None if too short.

    F test of what the line leaves of the means against `noise`; three sizes and one decade at the least.
    """
    best, longest = None, LEAST_DECADES * np.log(10) - 1e-9
    for first in range(len(sizes.runs)):
        for last in range(first + LEAST_SIZES - 1, len(sizes.runs)):
            length = sizes.log_x[last] - sizes.log_x[first]
            left = last - first - 1  # sizes less the two numbers of a line
            f = sizes.part(slice(first, last + 1)).line()[1] / left / max(noise.sd**2, 1e-20)
            if length >= longest and _tail(f, left, noise.degrees) >= 1 - confidence:
                best, longest = [float(np.exp(sizes.log_x[i])) for i in (first, last)], length
    return best


def _within(found: list[float] | None) -> str:
    if found is None:
        return "; no run of sizes long enough to be called a power law is one."
    return f"; a power law from {found[0]:.3g} to {found[1]:.3g}."


def _break(fits: dict[str, Fit], x: np.ndarray, loss: np.ndarray, confidence: float) -> dict:
    """Place of a break with its interval."""
    if "broken" in fits:
        low, high = profile_interval(fits["broken"], "break", confidence)
        return {
            "place": fits["broken"].parameters["break"],
            "low": low,
            "high": high,
            "by": "profile of the form broken",
        }
    log_x, log_y = np.log(x), np.log(loss)
    places = np.geomspace(*np.unique(x)[[1, -2]], PLACES)  # two sizes on either side
    left = np.array([_hinge(log_x, log_y, np.log(place)) for place in places])
    degrees = max(len(x) - 4, 1)
    inside = places[left <= left.min() * (1 + stats.f.ppf(confidence, 1, degrees) / degrees)]
    return {
        "place": float(places[left.argmin()]),
        "low": float(inside.min()),
        "high": float(inside.max()),
        "by": "two lines that meet",
    }


def _hinge(log_x: np.ndarray, log_y: np.ndarray, place: float) -> float:
    """Sum of squares that two lines leave which meet at `place`."""
    columns = np.stack([np.ones_like(log_x), log_x, np.maximum(log_x - place, 0)], axis=1)
    found = np.linalg.lstsq(columns, log_y, rcond=None)[0]
    return float(((log_y - columns @ found) ** 2).sum())
