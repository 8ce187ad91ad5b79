"""Choose the form of a law by what it is needed for: forecasts of sizes that it has not seen.

Each form is fitted in expanding windows (windows.py), along every variable of the law and along compute where it is
given, and forecasts the runs that follow. A form that follows the noise, or misses a floor, forecasts badly, which no
information criterion can see where the points are few.

The rule has an error of its own, because it chooses by few and noisy forecasts. It is measured as the errors of the
forms are: in every window the form is chosen by the runs in that window only, and its forecast is compared with the
held-out runs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from chemscale.errors import ChemscaleError, NotFittable
from chemscale.scaling.fitting.fit import DELTA_FACTOR, Fit, huber_from_residuals
from chemscale.scaling.fitting.objectives import SMOOTH_DELTA
from chemscale.scaling.fitting.validation import Variables, as_variables, require_positive
from chemscale.scaling.forms.laws import Form, named_form
from chemscale.scaling.selection.windows import Window, expanding_windows, fit_windows, forecast_errors, select_rows

OUTLIER_DEVIATIONS = 3.0  # of the noise; a smaller δ would also clip what a form misses, and hide that it does
LOG_LOSS_ROUNDING = 1e-6  # forecasts with smaller log errors are equally good
CRITERIA = {"aicc": Fit.aicc, "bic": Fit.bic}
RULE = (
    "lowest root mean square of the log errors of forecasts over expanding windows, all windows equal; a form that "
    "could not be fitted in some windows is compared with the reference form in the others; of the forms within one "
    "standard error of the lowest, the one with the lowest BIC"
)


@dataclass(frozen=True)
class Judged:
    """A window with the fits of its runs, the log errors of their forecasts (points,), and reasons for other forms."""

    window: Window
    fits: dict[str, Fit]
    errors: dict[str, np.ndarray]
    not_fitted: dict[str, str]

    def rms(self, form: str) -> float:
        """Return the root mean square of the log errors of a form."""
        return float(np.sqrt(np.mean(self.errors[form] ** 2)))

    def to_dict(self) -> dict:
        """Return plain content for JSON."""
        return {
            "along": self.window.along,
            "fitted_to": self.window.fitted_to,
            "forecast_to": self.window.forecast_to,
            "runs_fitted": int(self.window.fitted.sum()),
            "runs_forecast": int(self.window.forecast.sum()),
            "errors": {
                form: {"mean_log_error": float(errors.mean()), "rms_log_error": self.rms(form)}
                for form, errors in self.errors.items()
            },
            "not_fitted": self.not_fitted,
        }


def select(
    forms: Sequence[str | Form],
    x: dict[str, np.ndarray],
    loss: np.ndarray,
    compute: np.ndarray | None = None,
    delta: float | None = None,
) -> dict:
    """Choose one of `forms`, all of the same variables, for the table `x` (points,), `loss` (points,).

    `compute` (points,) adds windows along it. All fits share one Huber `delta`; by default that of `common_delta`.
    Returns content for JSON:

    * `windows`: the errors of every form in every window
    * `forms`: their scores, AICc and BIC; `not_fitted`: reasons
    * `chosen` and `chosen_by`: `extrapolation`, `aicc` where no window can be fitted, or `simplest` where neither is
      possible; `tied`: all forms as good as the chosen one; `aicc_choice`, `bic_choice`: those of the whole table
    * `rule_error`: root mean square error in % of the loss of each rule and of each fixed form in the windows where a
      rule could choose; None, with `rule_error_reason`, if there are none

    Raises NotFittable if no form can be fitted, ChemscaleError for values that are not positive numbers.
    """
    return select_with_fits(forms, x, loss, compute, delta)[0]


def select_with_fits(
    forms: Sequence[str | Form],
    x: dict[str, np.ndarray],
    loss: np.ndarray,
    compute: np.ndarray | None = None,
    delta: float | None = None,
) -> tuple[dict, dict[str, Fit], list[Judged]]:
    """Return what `select` returns, the fits of all runs, and the windows."""
    sorted_forms = _sorted_forms(forms)
    x = as_variables(sorted_forms[0], x)
    loss = np.atleast_1d(np.asarray(loss, dtype=float))
    if not len(loss):
        raise NotFittable("there are no runs to choose a form by")
    along = dict(x) if compute is None else x | {"C": _checked_compute(compute, loss)}
    delta = common_delta(sorted_forms, x, loss) if delta is None else delta
    windows, fits, not_fitted = judge_windows(sorted_forms, x, loss, along, delta)
    if not fits:
        raise NotFittable(f"none of the forms can be fitted: {next(iter(not_fitted.values()))}")

    criteria = {rule: _criteria(fits, rule) for rule in CRITERIA}
    choices = {rule: _lowest(values) for rule, values in criteria.items()}
    scores, tied = rank_forms(windows, list(fits), criteria["bic"])
    chosen, chosen_by = _choice(tied, choices["aicc"], list(fits))
    rule_error, reason = _rule_error(windows, list(fits))
    content = {
        "rule": RULE,
        "delta": delta if np.isfinite(delta) else None,
        "forms": {
            name: {
                "parameters": len(fit.form.free),
                "windows": sum(name in window.errors for window in windows),
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
        "windows": [window.to_dict() for window in windows],
    }
    return content, fits, windows


def _sorted_forms(forms: Sequence[str | Form]) -> list[Form]:
    """Return distinct forms, simplest first; raise ChemscaleError if they do not share their variables."""
    found = {form.label: form for form in map(named_form, forms)}
    ordered = sorted(found.values(), key=lambda form: len(form.free))
    if len({form.variables for form in ordered}) != 1:
        raise ChemscaleError(f"forms {', '.join(found) or 'none'}: choose among forms of the same variables")
    return ordered


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


def common_delta(forms: Sequence[Form], x: Variables, loss: np.ndarray) -> float:
    """Return Huber's δ for all forms (simplest first): three standard deviations of the noise.

    The noise is that around the richest form that leaves runs to estimate it.
    """
    for form in reversed(forms):
        (fit,) = fit_windows(form, x, loss, [np.ones(len(loss), dtype=bool)], np.inf)
        if isinstance(fit, Fit) and np.isfinite(fit.aicc()):
            law, log_y = fit.form.bind(fit.scaling, x), np.log(loss)[None]
            objective = huber_from_residuals(law, log_y, fit.theta[None], fit.bounds, fit.weights)
            return OUTLIER_DEVIATIONS / DELTA_FACTOR * objective.delta
    return SMOOTH_DELTA


def judge_windows(
    forms: Sequence[Form], x: Variables, loss: np.ndarray, along: Variables, delta: float
) -> tuple[list[Judged], dict[str, Fit], dict[str, str]]:
    """Fit all forms in every window of `along` that supports one, and to all runs.

    Return the windows, the fits of all runs, and the reasons for forms that cannot be fitted to all runs.
    """
    windows = expanding_windows(along)
    everything = np.ones(len(loss), dtype=bool)
    every = [*(w.fitted for w in windows), everything]
    found = {form.label: fit_windows(form, x, loss, every, delta) for form in forms}
    judged = []
    for i, window in enumerate(windows):
        fits = {form: fit for form, made in found.items() if isinstance(fit := made[i], Fit)}
        reasons = {form: reason for form, made in found.items() if isinstance(reason := made[i], str)}
        held = select_rows(x, window.forecast), loss[window.forecast]
        errors = {form: forecast_errors(fit, *held) for form, fit in fits.items()}
        judged += [Judged(window, fits, errors, reasons)] if fits else []
    fits = {form: fit for form, made in found.items() if isinstance(fit := made[-1], Fit)}
    return judged, fits, {form: reason for form, made in found.items() if isinstance(reason := made[-1], str)}


def _criteria(fits: dict[str, Fit], rule: str) -> dict[str, float]:
    """Return AICc or BIC of the forms that leave enough runs to estimate the noise (where AICc is finite)."""
    return {name: float(CRITERIA[rule](fit)) for name, fit in fits.items() if np.isfinite(fit.aicc())}


def _lowest(values: dict[str, float]) -> str | None:
    return min(values, key=lambda name: values[name]) if values else None


def rank_forms(
    windows: list[Judged], forms: Sequence[str], bic: dict[str, float]
) -> tuple[dict[str, float], list[str]]:
    """Score the forms (simplest first) in log loss; return the scores and the forms that tie, the chosen one first.

    The reference is the form fitted in the most windows, the simplest of these. A form's score is the reference's root
    mean square error over its windows, times the ratio of the form's to the reference's over the windows they share.
    So a form neither gains nor loses by missing from windows that are easy or hard for all forms.
    A root mean square of w errors has a relative standard error of 1/√(2w); forms within it tie, and are ordered by
    `bic` (those without one last, simplest first).
    """
    errors: dict[str, dict[int, float]] = {form: {} for form in forms}
    for i, window in enumerate(windows):
        for form in errors.keys() & window.errors.keys():
            errors[form][i] = window.rms(form)
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
    highest_tied = scores[best] * (1 + 1 / np.sqrt(2 * len(errors[best]))) + LOG_LOSS_ROUNDING
    tied = [form for form in forms if scores.get(form, np.inf) <= highest_tied]
    return scores, sorted(tied, key=lambda form: bic.get(form, np.inf))


def _rms(errors: dict[int, float], windows: Iterable[int]) -> float:
    return float(np.sqrt(np.mean([errors[i] ** 2 for i in windows])))


def _rule_error(windows: list[Judged], forms: Sequence[str]) -> tuple[dict | None, str | None]:
    """Return the error in % of each rule and form where a rule could choose; None with the reason if nowhere.

    In a window a rule knows the fitted runs only: the extrapolation rule chooses by windows that lie entirely among
    them, AICc and BIC by their values there.
    """
    made: dict[str, list[float]] = {}
    count = 0
    for judged in windows:
        before = [other for other in windows if other.window.precedes(judged.window)]
        known = {rule: _criteria(judged.fits, rule) for rule in CRITERIA}
        _, tied = rank_forms(before, [form for form in forms if form in judged.errors], known["bic"])
        if not tied:
            continue
        count += 1
        choices = {"extrapolation": tied[0]} | {rule: _lowest(values) for rule, values in known.items()}
        for rule, form in {**choices, **{form: form for form in forms}}.items():
            if form in judged.errors:
                made.setdefault(rule, []).append(judged.rms(form))
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
