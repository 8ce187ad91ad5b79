"""Choose the form of a law by what it is wanted for: forecasts of sizes that it has not seen.

Windows: the runs with the smallest values of a variable are fitted, those with the next larger value are forecast, and
the window grows until nothing is left to forecast (expanding windows; Hyndman & Athanasopoulos 2021, Forecasting, ch.
5.10). Windows run along every variable of the law, and along compute where it is given. A form that follows the noise,
or misses a floor, forecasts badly, which no criterion of fit can see where the points are few.

The rule has an error of its own, since it chooses by few and noisy forecasts. It is measured as the forms' errors are:
in every window the form is chosen by the runs in that window only, and its forecast is compared with what came.
"""

from collections.abc import Sequence

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.fit import Fit, fit_law
from chemscale.scaling.fitting.objectives import SMOOTH_DELTA
from chemscale.scaling.fitting.validation import as_variables, require_positive
from chemscale.scaling.forms.laws import named_form

STARTS = 24
LEVELS = 8  # windows along a variable; with more distinct values, runs are grouped in so many groups of equal number
ROUNDING = 1e-6  # of a log loss: forecasts this good are equally good
CRITERIA = {"aicc": Fit.aicc, "bic": Fit.bic}
RULE = (
    "lowest root mean square of the log errors of forecasts over expanding windows, all windows equal; a form that "
    "could not be fitted in some is compared with the reference form in the others; of forms within half a standard "
    "error of the lowest, the one with the fewest parameters"
)


def select(
    forms: Sequence[str],
    x: dict[str, np.ndarray],
    loss: np.ndarray,
    compute: np.ndarray | None = None,
    delta: float | None = None,
) -> dict:
    """Choose one of `forms`, all of the same variables, for the table `x` (points,), `loss` (points,).

    `compute` (points,) adds windows along it. All fits have the same Huber `delta`; left out, it is that of the form
    with the most parameters that leaves runs to judge the noise by. Returns plain content for JSON: the errors of every
    form in every window, the scores, the form chosen and by what (`extrapolation`; `aicc` where no window can be
    fitted; `simplest` where neither is possible), what AICc and BIC of the whole table choose, and `rule_error`, the
    root mean square error in % of the loss of each rule and each fixed form in the windows where a rule could choose.
    Raises ChemscaleError if no form can be fitted to the table, or if `compute` is not one positive number a run.
    """
    forms = sorted(dict.fromkeys(forms), key=lambda name: len(named_form(name).parameters))
    if not forms or len({named_form(name).variables for name in forms}) != 1:
        raise ChemscaleError(f"forms {', '.join(forms) or 'none'}: choose among forms of the same variables")
    x = as_variables(named_form(forms[0]), x)
    loss = np.atleast_1d(np.asarray(loss, dtype=float))
    delta = common_delta(forms, x, loss) if delta is None else delta
    fits, not_fitted = _fit_all(forms, x, loss, delta)
    if not fits:
        raise ChemscaleError(f"none of the forms can be fitted: {next(iter(not_fitted.values()))}")
    along = dict(x)
    if compute is not None:
        along["C"] = np.atleast_1d(np.asarray(compute, dtype=float))
        if along["C"].shape != loss.shape:
            raise ChemscaleError(f"compute has {len(along['C'])} values, loss has {len(loss)}; give one value per run")
        require_positive({"compute": along["C"]}, "windows grow along it in logarithms")
    windows = [_judge(window, forms, x, loss, delta) for window in expanding_windows(along)]
    windows = [window for window in windows if window["errors"]]

    criteria = {rule: _criteria(fits, rule) for rule in CRITERIA}
    scores, tied = choose(windows, list(fits))
    chosen, chosen_by = (tied[0], "extrapolation") if tied else (_lowest(criteria["aicc"]), "aicc")
    if chosen is None:
        chosen, chosen_by = next(iter(fits)), "simplest"
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
        **{f"{rule}_choice": _lowest(values) for rule, values in criteria.items()},
        "rule_error": rule_error,
        "rule_error_reason": reason,
        "windows": [{key: value for key, value in window.items() if key not in PRIVATE} for window in windows],
    }


def common_delta(forms: Sequence[str], x: dict[str, np.ndarray], loss: np.ndarray) -> float:
    """Huber's δ for all forms (simplest first): chosen by the richest that leaves runs to judge the noise by."""
    for name in reversed(forms):
        try:
            fit = fit_law(name, x, loss, starts=STARTS)
        except ChemscaleError:
            continue
        if np.isfinite(fit.aicc()):
            return fit.delta
    return SMOOTH_DELTA


def levels(values: np.ndarray) -> np.ndarray:
    """Rank of each run's value, (points,): of the distinct values, or of groups of about equal numbers of runs."""
    distinct, index = np.unique(values, return_inverse=True)
    if len(distinct) <= LEVELS:
        return index
    edges = np.quantile(values, np.arange(1, LEVELS) / LEVELS)
    return np.searchsorted(edges, values, side="left")


def expanding_windows(along: dict[str, np.ndarray]) -> list[dict]:
    """Every window along every variable: runs up to a value are `fitted` (points,), those at the next `forecast`."""
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


PRIVATE = ("fitted", "forecast", "criteria")  # of a window, not for JSON


def _judge(window: dict, forms: Sequence[str], x: dict[str, np.ndarray], loss: np.ndarray, delta: float) -> dict:
    """The window with each form's forecast errors, log of forecast over the geometric mean of a point's runs."""
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


def _fit_all(forms, x, loss, delta: float) -> tuple[dict[str, Fit], dict[str, str]]:
    """The forms that this table allows, fitted, and the reasons for the others."""
    fits, reasons = {}, {}
    for name in forms:
        try:
            fits[name] = fit_law(name, x, loss, delta=delta, starts=STARTS)
        except ChemscaleError as error:
            reasons[name] = str(error)
    return fits, reasons


def _criteria(fits: dict[str, Fit], rule: str) -> dict[str, float]:
    """AICc or BIC of the forms that leave runs to judge the noise by (where AICc is finite)."""
    return {name: float(CRITERIA[rule](fit)) for name, fit in fits.items() if np.isfinite(fit.aicc())}


def _lowest(values: dict[str, float]) -> str | None:
    return min(values, key=values.get) if values else None


def choose(windows: list[dict], forms: Sequence[str]) -> tuple[dict[str, float], list[str]]:
    """Scores of the forms (simplest first) in log loss, and those that tie for the lowest, the chosen one first.

    The reference is the form fitted in the most windows, the simplest of these. A form's score is the reference's root
    mean square error over its windows, times the ratio of the form's to the reference's over the windows they share.
    So nothing is gained or lost by not being there in windows that are easy or hard for all.
    A root mean square of w errors is known to 1/√(2w) of itself. Half of that counts as a tie, as two forms share the
    noise of what they forecast.
    """
    errors: dict[str, dict[int, float]] = {form: {} for form in forms}
    for i, window in enumerate(windows):
        for form in errors.keys() & window["errors"].keys():
            errors[form][i] = window["errors"][form]["rms_log_error"]
    judged = [form for form in forms if errors[form]]
    if not judged:
        return {}, []
    reference = errors[max(judged, key=lambda form: len(errors[form]))]

    def rms(of: dict[int, float], places) -> float:
        return float(np.sqrt(np.mean([of[i] ** 2 for i in places])))

    scores = {}
    for form in judged:
        shared = errors[form].keys() & reference.keys()
        if shared:
            ratio = rms(errors[form], shared) / max(rms(reference, shared), ROUNDING**2)
            scores[form] = rms(reference, reference) * ratio
    best = min(scores, key=scores.get)
    most = scores[best] * (1 + 0.5 / np.sqrt(2 * len(errors[best]))) + ROUNDING
    tied = [form for form in scores if scores[form] <= most]
    return scores, sorted(tied, key=lambda form: (len(named_form(form).parameters), scores[form]))


def _rule_error(windows: list[dict], forms: Sequence[str]) -> tuple[dict | None, str | None]:
    """Error in % of each rule and each form where rules could choose beforehand; None with the reason if nowhere.

    In a window a rule knows its fitted runs only: the extrapolation rule chooses by windows that lie wholly among them,
    AICc and BIC by their values there.
    """
    made: dict[str, list[float]] = {}
    count = 0
    for window in windows:
        before = [other for other in windows if not ((other["fitted"] | other["forecast"]) & ~window["fitted"]).any()]
        _, tied = choose(before, [form for form in forms if form in window["errors"]])
        if not tied:
            continue
        count += 1
        choices = {"extrapolation": tied[0]} | {rule: _lowest(window["criteria"][rule]) for rule in CRITERIA}
        for rule, form in {**choices, **{form: form for form in forms}}.items():
            if form in window["errors"]:
                made.setdefault(rule, []).append(window["errors"][form]["rms_log_error"])
    if not count:
        return None, f"too few windows ({len(windows)}) for a rule to choose by some and be judged in a later one"
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
