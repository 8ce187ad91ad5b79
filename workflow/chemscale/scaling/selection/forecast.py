"""Forecast held-out runs: fit a law without the largest cells, predict them, and compare."""

import numpy as np

from chemscale.errors import NotFittable
from chemscale.scaling.defaults import DEFAULT_CONFIDENCE, DEFAULT_DRAWS
from chemscale.scaling.fitting.fit import Fit, fit_law
from chemscale.scaling.fitting.validation import as_variables
from chemscale.scaling.forms.laws import Form, named_form
from chemscale.scaling.inference.bootstrap import Bootstrap, bootstrap

HOLD_OUT_RULE = {
    1: "the largest size of the curve",
    2: "every cell of the largest model or of the largest data size",
    3: "every cell of the largest model, of the most data or of the most distinct data",
}  # by number of variables


def held_out(form: str | Form, x: dict[str, np.ndarray] | np.ndarray) -> np.ndarray:
    """Return which points are held out, (points,) bool: those at the largest value of any variable."""
    x = as_variables(named_form(form), x)
    return np.any([values == values.max() for values in x.values()], axis=0)


def forecast(
    form: str | Form,
    x: dict[str, np.ndarray] | np.ndarray,
    loss: np.ndarray,
    held: np.ndarray,
    delta: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    draws: int = DEFAULT_DRAWS,
    seed: int = 0,
) -> tuple[Fit, list[dict]]:
    """Fit the points that are not `held` (points,) and predict those that are.

    Return the fit, and an entry for each distinct held-out point (see `compare_forecast`). Raises NotFittable if the
    remaining points cannot support the law.
    """
    x, loss = as_variables(named_form(form), x), np.asarray(loss, dtype=float)
    held = np.asarray(held, dtype=bool)
    try:
        fit = fit_law(form, {name: values[~held] for name, values in x.items()}, loss[~held], delta)
        boot = bootstrap(fit, draws, seed)
    except NotFittable as error:
        raise NotFittable(f"without the held-out cells: {error}") from None

    places, index = np.unique(np.stack([values[held] for values in x.values()], axis=1), axis=0, return_inverse=True)
    points = []
    for place, values in enumerate(places):
        runs = loss[held][index.ravel() == place]
        points.append(compare_forecast(boot, dict(zip(x, values, strict=True)), runs, confidence))
    return fit, points


def compare_forecast(boot: Bootstrap, x: dict[str, float], runs: np.ndarray, confidence: float) -> dict:
    """Return the mean of `runs`, losses at the one point `x`, beside its prediction, as content for JSON.

    `low` and `high` are the prediction interval for a mean of as many runs, `inside` says whether the mean lies between
    them, and `error_percent` is the error of the prediction. `observed_sd` is None for a single run.
    """
    point = {name: np.array([value]) for name, value in x.items()}
    predicted = float(boot.fit.predict(point)[0])
    low, high = (float(end[0]) for end in boot.band(point, confidence, runs=len(runs)))
    observed = float(runs.mean())
    return {
        "x": {name: float(value) for name, value in x.items()},
        "observed": observed,
        "observed_sd": float(runs.std(ddof=1)) if len(runs) > 1 else None,
        "seeds": len(runs),
        "predicted": predicted,
        "low": low,
        "high": high,
        "inside": low <= observed <= high,
        "error_percent": 100 * (predicted / observed - 1),
    }
