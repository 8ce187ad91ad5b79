"""Choose the form of a law by what it is needed for: forecasts of sizes that it has not seen.

Windows: the runs with the smallest values of a variable are fitted, those with the next larger value are forecast, and
the window grows until nothing is left to forecast (expanding windows; Hyndman & Athanasopoulos 2021, Forecasting, ch.
5.10). Windows run along every variable of the law, and along compute where it is given. A form that follows the noise,
or misses a floor, forecasts badly, which no information criterion can see where the points are few.

The rule has an error of its own, because it chooses by few and noisy forecasts. It is measured as the errors of the
forms are: in every window the form is chosen by the runs in that window only, and its forecast is compared with the
held-out runs.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from chemscale.errors import ChemscaleError, NotFittable
from chemscale.scaling.fitting.fit import Fit, fit_law
from chemscale.scaling.fitting.objectives import SMOOTH_DELTA
from chemscale.scaling.fitting.validation import as_variables, require_positive
from chemscale.scaling.forms.laws import named_form

STARTS = 24
MAX_LEVELS = 8  # windows along a variable; more distinct values are grouped into as many groups of equal size
LOG_LOSS_ROUNDING = 1e-6  # forecasts with smaller log errors are equally good
CRITERIA = {"aicc": Fit.aicc, "bic": Fit.bic}
RULE = (
    "lowest root mean square of the log errors of forecasts over expanding windows, all windows equal; a form that "
    "could not be fitted in some windows is compared with the reference form in the others; of forms within half a "
    "standard error of the lowest, the one with the fewest parameters"
)
PRIVATE_KEYS = ("fitted", "forecast", "criteria")  # of a window, not for JSON


def select(
    forms: Sequence[str],
    x: dict[str, np.ndarray],
    loss: np.ndarray,
    compute: np.ndarray | None = None,
    delta: float | None = None,
) -> dict:
    """Choose one of `forms`, all of the same variables, for the table `x` (points,), `loss` (points,).

    `compute` (points,) adds windows along it. All fits share one Huber `delta`; by default that of the form with the
    most parameters that leaves enough runs to estimate the noise. Returns content for JSON:

    * `windows`: the errors of every form in every window
    * `forms`: their scores, AICc and BIC; `not_fitted`: reasons
    * `chosen` and `chosen_by`: `extrapolation`, `aicc` where no window can be fitted, or `simplest` where neither is
      possible; `tied`: all forms as good as the chosen one; `aicc_choice`, `bic_choice`: those of the whole table
    * `rule_error`: root mean square error in % of the loss of each rule and of each fixed form in the windows where a
      rule could choose; None, with `rule_error_reason`, if there are none

    Raises NotFittable if no form can be fitted, ChemscaleError for values that are not positive numbers.
    """
    forms = _sorted_forms(forms)
    x = as_variables(named_form(forms[0]), x)
    loss = np.atleast_1d(np.asarray(loss, dtype=float))
    along = dict(x) if compute is None else x | {"C": _checked_compute(compute, loss)}
    delta = common_delta(forms, x, loss) if delta is None else delta
    fits, not_fitted = _fit_all(forms, x, loss, delta)
    if not fits:
        raise NotFittable(f"none of the forms can be fitted: {next(iter(not_fitted.values()))}")
    windows = [_with_errors(window, forms, x, loss, delta) for window in expanding_windows(along)]
    windows = [window for window in windows if window["errors"]]

    criteria = {rule: _criteria(fits, rule) for rule in CRITERIA}
    choices = {rule: _lowest(values) for rule, values in criteria.items()}
    scores, tied = rank_forms(windows, list(fits))
    chosen, chosen_by = _choice(tied, choices["aicc"], list(fits))
    rule_error, reason = _rule_error(windows, list(fits))
    return {
        "rule": RULE,
        "delta": delta if np.isfinite(delta) else None,
        "forms": {
            name: {
                "parameters": len(fit.theta),
                "windows": sum(name in window["errors"] for window in windows),
                "score_percent": 100 * scores[name] if name in scores else None,
                **{rule: values.get(name) for rule, values in criteria.items()},
            }
            for name, fit in fits.items()
        },
        "not_fitted": not_fitted,
        "chosen": chosen,
        "chosen_by": chosen_by,
        "tied": tied,
        **{f"{rule}_choice": choice for rule, choice in choices.items()},
        "rule_error": rule_error,
        "rule_error_reason": reason,
        "windows": [{key: value for key, value in window.items() if key not in PRIVATE_KEYS} for window in windows],
    }


def _sorted_forms(forms: Sequence[str]) -> list[str]:
    """Return distinct forms, simplest first; raise ChemscaleError if they do not share their variables."""
    forms = sorted(dict.fromkeys(forms), key=lambda name: len(named_form(name).parameters))
    if len({named_form(name).variables for name in forms}) != 1:
        raise ChemscaleError(f"forms {', '.join(forms) or 'none'}: choose among forms of the same variables")
    return forms


def _checked_compute(compute: np.ndarray, loss: np.ndarray) -> np.ndarray:
    compute = np.atleast_1d(np.asarray(compute, dtype=float))
    if compute.shape != loss.shape:
        raise ChemscaleError(f"compute has {len(compute)} values, loss has {len(loss)}; give one value per run")
    require_positive({"compute": compute})
    return compute


def _choice(tied: list[str], by_aicc: str | None, forms: list[str]) -> tuple[str, str]:
    """Return the chosen form and the rule that chose it."""
    if tied:
        return tied[0], "extrapolation"
    return (by_aicc, "aicc") if by_aicc else (forms[0], "simplest")


def common_delta(forms: Sequence[str], x: dict[str, np.ndarray], loss: np.ndarray) -> float:
    """Return Huber's δ for all forms (simplest first): that of the richest that leaves runs to estimate the noise."""
    for name in reversed(forms):
        try:
            fit = fit_law(name, x, loss, starts=STARTS)
        except NotFittable:
            continue
        if np.isfinite(fit.aicc()):
            return fit.delta
    return SMOOTH_DELTA


def levels(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value, (points,): among distinct values, or among groups of about equally many runs."""
    distinct, index = np.unique(values, return_inverse=True)
    if len(distinct) <= MAX_LEVELS:
        return index
    edges = np.quantile(values, np.arange(1, MAX_LEVELS) / MAX_LEVELS)
    return np.searchsorted(edges, values, side="left")


def expanding_windows(along: dict[str, np.ndarray]) -> list[dict]:
    """List windows along every variable: runs up to a value are `fitted` (points,), those at the next `forecast`."""
    windows = []
    for name, values in along.items():
        rank = levels(values)
        for level in np.unique(rank)[:-1]:
            fitted = rank <= level
            following = rank == rank[~fitted].min()
            windows.append(
                {
                    "along": name,
                    "fitted_to": float(values[fitted].max()),
                    "forecast_to": float(values[following].max()),
                    "fitted": fitted,
                    "forecast": following,
                }
            )
    return windows


def _with_errors(window: dict, forms: Sequence[str], x: dict[str, np.ndarray], loss: np.ndarray, delta: float) -> dict:
    """Add the forecast errors of each form to a window: log of forecast over geometric mean of a point's runs."""
    fitted, forecast = window["fitted"], window["forecast"]
    fits, not_fitted = _fit_all(forms, _rows(x, fitted), loss[fitted], delta)
    points, index = np.unique(np.stack(list(_rows(x, forecast).values())), axis=1, return_inverse=True)
    index = index.ravel()
    observed = np.bincount(index, np.log(loss[forecast])) / np.bincount(index)
    errors = {}
    for name, fit in fits.items():
        error = np.log(fit.predict(dict(zip(x, points, strict=True)))) - observed
        errors[name] = {
            "mean_log_error": float(error.mean()),
            "rms_log_error": float(np.sqrt(np.mean(error**2))),
        }
    return {
        **window,
        "runs_fitted": int(fitted.sum()),
        "runs_forecast": int(forecast.sum()),
        "errors": errors,
        "not_fitted": not_fitted,
        "criteria": {rule: _criteria(fits, rule) for rule in CRITERIA},
    }


def _rows(x: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in x.items()}


def _fit_all(
    forms: Sequence[str], x: dict[str, np.ndarray], loss: np.ndarray, delta: float
) -> tuple[dict[str, Fit], dict[str, str]]:
    """Return fits of the forms that this table supports, and the reasons for the others."""
    fits, reasons = {}, {}
    for name in forms:
        try:
            fits[name] = fit_law(name, x, loss, delta=delta, starts=STARTS)
        except NotFittable as error:
            reasons[name] = str(error)
    return fits, reasons


def _criteria(fits: dict[str, Fit], rule: str) -> dict[str, float]:
    """Return AICc or BIC of the forms that leave enough runs to estimate the noise (where AICc is finite)."""
    return {name: float(CRITERIA[rule](fit)) for name, fit in fits.items() if np.isfinite(fit.aicc())}


def _lowest(values: dict[str, float]) -> str | None:
    return min(values, key=lambda name: values[name]) if values else None


def rank_forms(windows: list[dict], forms: Sequence[str]) -> tuple[dict[str, float], list[str]]:
    """Score the forms (simplest first) in log loss; return the scores and the forms that tie, the chosen one first.

    The reference is the form fitted in the most windows, the simplest of these. A form's score is the reference's root
    mean square error over its windows, times the ratio of the form's to the reference's over the windows they share.
    So a form neither gains nor loses by missing from windows that are easy or hard for all forms.
    A root mean square of w errors has a relative standard error of 1/√(2w). Half of that counts as a tie, because two
    forms share the noise of what they forecast.
    """
    errors: dict[str, dict[int, float]] = {form: {} for form in forms}
    for i, window in enumerate(windows):
        for form in errors.keys() & window["errors"].keys():
            errors[form][i] = window["errors"][form]["rms_log_error"]
    judged = [form for form in forms if errors[form]]
    if not judged:
        return {}, []
    reference = errors[max(judged, key=lambda form: len(errors[form]))]
    scores = {}
    for form in judged:
        shared = errors[form].keys() & reference.keys()
        if shared:
            ratio = _rms(errors[form], shared) / max(_rms(reference, shared), LOG_LOSS_ROUNDING**2)
            scores[form] = _rms(reference, reference) * ratio
    best = min(scores, key=lambda form: scores[form])
    highest_tied = scores[best] * (1 + 0.5 / np.sqrt(2 * len(errors[best]))) + LOG_LOSS_ROUNDING
    tied = [form for form in scores if scores[form] <= highest_tied]
    return scores, sorted(tied, key=lambda form: (len(named_form(form).parameters), scores[form]))


def _rms(errors: dict[int, float], windows: Iterable[int]) -> float:
    return float(np.sqrt(np.mean([errors[i] ** 2 for i in windows])))


def _rule_error(windows: list[dict], forms: Sequence[str]) -> tuple[dict | None, str | None]:
    """Return the error in % of each rule and form where a rule could choose; None with the reason if nowhere.

    In a window a rule knows the fitted runs only: the extrapolation rule chooses by windows that lie entirely among
    them, AICc and BIC by their values there.
    """
    made: dict[str, list[float]] = {}
    count = 0
    for window in windows:
        before = [other for other in windows if not ((other["fitted"] | other["forecast"]) & ~window["fitted"]).any()]
        _, tied = rank_forms(before, [form for form in forms if form in window["errors"]])
        if not tied:
            continue
        count += 1
        choices = {"extrapolation": tied[0]} | {rule: _lowest(window["criteria"][rule]) for rule in CRITERIA}
        for rule, form in {**choices, **{form: form for form in forms}}.items():
            if form in window["errors"]:
                made.setdefault(rule, []).append(window["errors"][form]["rms_log_error"])
    if not count:
        return None, f"too few windows ({len(windows)}) to choose by some and to test the choice in a later one"
    percent = {
        rule: 100 * float(np.sqrt(np.mean(np.square(errors)))) if len(errors) == count else None
        for rule, errors in made.items()
    }
    rules = ("extrapolation", *CRITERIA)
    return {
        "windows": count,
        **{rule: percent.get(rule) for rule in rules},
        "forms": {form: percent.get(form) for form in forms},
    }, None
