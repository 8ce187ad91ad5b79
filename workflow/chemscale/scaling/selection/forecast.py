"""Forecast runs that the law has not seen: fit without the largest cells, predict them, compare."""

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.fit import Fit, as_variables, fit_law
from chemscale.scaling.forms.laws import named_form
from chemscale.scaling.inference.bootstrap import Bootstrap, bootstrap

HOLD_OUT_RULE = {
    1: "the largest size of the curve",
    2: "every cell of the largest model or of the largest data size",
}  # by number of variables


def held_out(form: str, x: dict[str, np.ndarray] | np.ndarray) -> np.ndarray:
    """Which points are held out, (points,): those at the largest value of any variable."""
    x = as_variables(named_form(form), x)
    return np.any([values == values.max() for values in x.values()], axis=0)


def forecast(
    form: str,
    x: dict[str, np.ndarray] | np.ndarray,
    loss: np.ndarray,
    held: np.ndarray,
    delta: float | None = None,
    confidence: float = 0.9,
    draws: int = 500,
    seed: int = 0,
) -> tuple[Fit, list[dict]]:
    """Fit the points that are not `held` (points,) and predict those that are.

    Returns the fit, and for each distinct held point: x, the mean loss of its runs and their standard deviation (None
    for one run), the prediction with the interval for a mean of so many runs, whether the mean is inside, and the error
    of the prediction in %. Raises ChemscaleError if the points left carry no law.
    """
    x, loss = as_variables(named_form(form), x), np.asarray(loss, dtype=float)
    held = np.asarray(held, dtype=bool)
    try:
        fit = fit_law(form, {name: values[~held] for name, values in x.items()}, loss[~held], delta)
        boot = bootstrap(fit, draws, seed)
    except ChemscaleError as error:
        raise ChemscaleError(f"without the held-out cells: {error}") from None

    places, index = np.unique(np.stack([values[held] for values in x.values()], axis=1), axis=0, return_inverse=True)
    points = []
    for place, values in enumerate(places):
        runs = loss[held][index.ravel() == place]
        points.append(compare(boot, dict(zip(x, values, strict=True)), runs, confidence))
    return fit, points


def compare(boot: Bootstrap, x: dict[str, float], runs: np.ndarray, confidence: float) -> dict:
    """The mean of `runs` at one point against its prediction."""
    predicted = float(boot.fit.predict(x)[0])
    low, high = (float(end[0]) for end in boot.band(x, confidence, runs=len(runs)))
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
