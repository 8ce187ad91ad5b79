"""Fit a law to many windows of one table at once, and forecast the runs that follow each window.

A window holds the runs with the smallest values of a variable; those with the next larger value are forecast, and the
window grows until nothing is left to forecast (expanding windows; Hyndman & Athanasopoulos 2021, Forecasting, ch.
5.10). All starts of all windows are one batch of Newton's method, so that a window costs little more than none.
"""

from dataclasses import dataclass

import numpy as np

from chemscale.errors import NotFittable
from chemscale.scaling.fitting.diagnostics import diagnose
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.fitting.newton import minimise
from chemscale.scaling.fitting.objectives import Objective
from chemscale.scaling.fitting.starts import bounds, project, projected_every, random_starts
from chemscale.scaling.fitting.validation import check_table
from chemscale.scaling.forms.laws import Form
from chemscale.scaling.forms.terms import Variables

STARTS = 24  # per window
MAX_LEVELS = 8  # windows along a variable; more distinct values are grouped into as many groups of equal size


@dataclass(frozen=True)
class Window:
    """Runs that are fitted and runs that are forecast, each (points,) bool, along one variable."""

    along: str
    fitted: np.ndarray
    forecast: np.ndarray
    fitted_to: float
    forecast_to: float

    def precedes(self, other: "Window") -> bool:
        """Return whether all runs of this window, forecast ones included, are fitted in `other`."""
        return not ((self.fitted | self.forecast) & ~other.fitted).any()


def expanding_windows(along: Variables) -> list[Window]:
    """List the windows along every variable of `along`."""
    windows = []
    for name, values in along.items():
        rank = levels(values)
        for level in np.unique(rank)[:-1]:
            fitted = rank <= level
            following = rank == rank[~fitted].min()
            ends = float(values[fitted].max()), float(values[following].max())
            windows.append(Window(name, fitted, following, *ends))
    return windows


def levels(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value, (points,): among distinct values, or among groups of about equally many runs."""
    distinct, index = np.unique(values, return_inverse=True)
    if len(distinct) <= MAX_LEVELS:
        return index
    edges = np.quantile(values, np.arange(1, MAX_LEVELS) / MAX_LEVELS)
    return np.searchsorted(edges, values, side="left")


def fit_windows(
    law_form: Form, x: Variables, loss: np.ndarray, windows: list[np.ndarray], delta: float
) -> list[Fit | str]:
    """Fit a form to each of `windows`, rows of the table as (points,) bool; return fits, or reasons why there is none.

    `x` and `loss` are (points,), `delta` is Huber's δ (infinite: least squares of log loss).
    """
    scaling = law_form.scaling(x)
    objective = Objective("huber", delta)
    found: list[Fit | str] = [""] * len(windows)
    places: list[int] = []
    problems: list[tuple[np.ndarray, ...]] = []  # starts, lowest and highest θ, and weights of each window
    for place, rows in enumerate(windows):
        own = select_rows(x, rows)
        try:
            check_table(law_form, own, loss[rows], np.ones(rows.sum()))
        except NotFittable as error:
            found[place] = str(error)
            continue
        log_y = np.log(loss[rows])[None]
        theta = random_starts(law_form, scaling, own, log_y, STARTS, np.random.default_rng(0))
        every = projected_every(law_form)
        theta[::every] = project(law_form, law_form.bind(scaling, own), log_y, theta[::every])
        low, high = bounds(law_form, scaling, own, log_y)
        places.append(place)
        same = (np.repeat(value, STARTS, axis=0) for value in (low, high, rows[None].astype(float)))
        problems.append((theta, *same))
    if not places:
        return found

    theta, low, high, weight = (np.stack(values) for values in zip(*problems, strict=True))  # (fits, starts, …)
    law, log_y = law_form.bind(scaling, x), np.log(loss)[None]
    value = np.empty(theta.shape[:2])
    # half of the starts through smooth problems, half directly: a floor that vanishes on the way down is stuck at 0
    for half, smooth in ((slice(None, STARTS // 2), True), (slice(STARTS // 2, None), False)):
        begin, least, most, of_runs = (
            array[:, half].reshape(-1, array.shape[2]) for array in (theta, low, high, weight)
        )
        ends = minimise(law, log_y, begin, least, most, objective, of_runs, smooth, rough=True)
        theta[:, half], value[:, half] = (
            end.reshape(target.shape) for end, target in zip(ends, (theta[:, half], value[:, half]), strict=True)
        )
    best = np.arange(len(theta)), value.argmin(axis=1)
    polished = minimise(law, log_y, theta[best], low[best], high[best], objective, weight[best], smooth=False)
    theta[best], value[best] = polished

    for i, place in enumerate(places):
        rows, limits = windows[place], (low[i, :1], high[i, :1])
        own, own_loss = select_rows(x, rows), loss[rows]
        ones = np.ones(len(own_loss))
        bound = law_form.bind(scaling, own)
        diagnostics = diagnose(
            law_form, bound, own, np.log(own_loss)[None], ones[None], theta[i], value[i], limits, objective
        )
        natural = law_form.natural(scaling, theta[best][i])
        parameters = {name: 0.0 if name in diagnostics["vanished"] else float(v) for name, v in natural.items()}
        found[place] = Fit(law_form, parameters, objective, diagnostics, own, own_loss, ones, scaling, theta[best][i])
    return found


def select_rows(x: Variables, rows: np.ndarray) -> Variables:
    """Return the variables at `rows`."""
    return {name: values[rows] for name, values in x.items()}


def forecast_errors(fit: Fit, x: Variables, loss: np.ndarray) -> np.ndarray:
    """Return log of forecast over geometric mean of the runs, for each distinct point of the runs `x`: (points,)."""
    points, index = np.unique(np.stack(list(x.values())), axis=1, return_inverse=True)
    index = index.ravel()
    observed = np.bincount(index, np.log(loss)) / np.bincount(index)
    return np.log(fit.predict(dict(zip(x, points, strict=True)))) - observed
