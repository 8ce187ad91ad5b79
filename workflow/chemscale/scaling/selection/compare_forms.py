"""Compare the forms of a law on one table: parameters, information criteria, forecast errors, and predictions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.validation import numbers, require_columns
from chemscale.scaling.forms.constraints import Range, constrain
from chemscale.scaling.forms.laws import FORMS, Form, named_form
from chemscale.scaling.selection.selection import select_with_fits
from chemscale.scaling.table import default_form, read_points, require_variables

COLUMNS = {
    "form": "form",
    "parameters": "k",
    "aicc": "AICc",
    "bic": "BIC",
    "score_percent": "forecast error, %",
    "largest_error_percent": "largest, %",
}  # key of `Comparison.table` → heading of the printed table


@dataclass(frozen=True)
class Comparison:
    """The forms of a law compared on one table; `chosen` is preferred by the extrapolation rule."""

    content: dict

    @property
    def chosen(self) -> str:
        """The preferred form."""
        return self.content["chosen"]

    @property
    def statement(self) -> str:
        """Which form is preferred, and by how much."""
        return self.content["statement"]

    @property
    def table(self) -> pd.DataFrame:
        """One row per form, best first: criteria, forecast errors, predictions, and the values of the parameters."""
        return pd.DataFrame([
            {"form": name, "preferred": name == self.chosen}
            | {key: entry[key] for key in COLUMNS if key in entry}
            | {_place(at): loss for at, loss in zip(self.content["at"], entry["predictions"], strict=True)}
            | entry["values"]
            for name, entry in self.content["forms"].items()
        ])  # fmt: skip

    def to_dict(self) -> dict:
        """Return plain content for JSON."""
        return self.content

    def __str__(self) -> str:
        places = [_place(at) for at in self.content["at"]]
        table = self.table[[*COLUMNS, *places]].rename(columns=COLUMNS)
        table["form"] = [f"{name} *" if name == self.chosen else name for name in table["form"]]
        table["values"] = [
            ", ".join(f"{name} {value:.4g}" for name, value in entry["values"].items())
            for entry in self.content["forms"].values()
        ]
        text = table.to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="–", justify="left")
        missing = [f"{name}: {reason}" for name, reason in self.content["not_fitted"].items()]
        return "\n".join([text, *missing, self.statement])

    __repr__ = __str__


def compare(
    table: pd.DataFrame,
    loss: str = "loss",
    params: str | None = None,
    data: str | None = None,
    compute: str | None = None,
    distinct: str | None = None,
    cost: str | None = None,
    forms: Sequence[str | Form] | None = None,
    at: Iterable[Mapping[str, float]] = (),
    delta: float | None = None,
    fix: Mapping[str, float] | None = None,
    tie: Mapping[str, str] | None = None,
    bounds: Mapping[str, Range] | None = None,
) -> Comparison:
    """Compare the forms of a law on a table whose columns are named as for `fit`.

    `forms`, names or formulas, are by default all that these columns allow; `fix`, `tie` and `bounds` apply to those
    that have the parameters, and the others are left out with the reason. All are fitted with one Huber `delta`, so
    that their AICc and BIC can be compared; by default three standard deviations of the noise around the richest form.
    Forecasts are those of expanding windows along each variable, and along the column `cost` of a surface:
    `score_percent` is the root mean square error of a form, `largest_error_percent` that of its forecast of the largest
    size by the smaller ones (of several variables the largest error). `at` are points to predict, such as
    {"N": 1e9, "D": 1e10} or {"x": 1e9}. Raises ChemscaleError for wrong columns, values or names, NotFittable if no
    form can be fitted.
    """
    form = named_form((forms or [default_form(params, data, compute, distinct)])[0])
    variables = form.variables
    forms = forms or [other for other in FORMS.values() if other.variables == variables]
    forms, without = _constrained([named_form(other) for other in forms], fix, tie, bounds)
    points = read_points(table, form, loss, params, data, compute, distinct)
    if cost:
        require_columns(table, [cost], "windows along cost")
    places = [require_variables(place, variables) for place in at]
    costs = numbers(table, cost) if cost else None
    content, fits, windows = select_with_fits(forms, points.x, points.loss, costs, delta)
    for name, entry in content["forms"].items():
        last = [judged for judged in windows if judged.window.forecast_to == _largest(points.x, judged.window.along)]
        errors = [float(np.expm1(judged.errors[name].mean())) for judged in last if name in judged.errors]
        entry["formula"] = fits[name].form.formula
        entry["values"] = fits[name].parameters
        entry["largest_error_percent"] = 100 * max(errors, key=abs) if errors else None
        entry["predictions"] = [float(fits[name].predict(place)[0]) for place in places]
    content["not_fitted"] |= without
    rank = {name: i for i, name in enumerate(content["tied"])}
    order = sorted(
        content["forms"], key=lambda name: (name != content["chosen"], rank.get(name, 99), _score(content, name))
    )
    content["forms"] = {name: content["forms"][name] for name in order}
    return Comparison({"columns": points.columns, "at": places, "statement": _statement(content)} | content)


def _constrained(
    forms: list[Form],
    fix: Mapping[str, float] | None,
    tie: Mapping[str, str] | None,
    bounds: Mapping[str, Range] | None,
) -> tuple[list[Form], dict[str, str]]:
    """Return the forms that have all constrained parameters, with the constraints, and why the others are left out."""
    made, without = [], {}
    for form in forms:
        try:
            made.append(constrain(form, fix, tie, bounds))
        except ChemscaleError as error:
            without[form.label] = str(error)
    if not made:
        raise ChemscaleError(next(iter(without.values())))
    return made, without


def _place(at: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:.3g}" for name, value in at.items())


def _largest(x: dict[str, np.ndarray], along: str) -> float | None:
    return float(x[along].max()) if along in x else None


def _score(content: dict, name: str) -> float:
    score = content["forms"][name]["score_percent"]
    return np.inf if score is None else score


def _statement(content: dict) -> str:
    """Say which form is preferred, by which rule, and by how much."""
    chosen, forms = content["chosen"], content["forms"]
    if content["chosen_by"] != "extrapolation":
        rule = {"aicc": "the lowest AICc", "simplest": "the fewest parameters"}[content["chosen_by"]]
        return f"{chosen} is preferred for {rule}: there are too few sizes to forecast any."
    others = sorted((name for name in forms if name != chosen), key=lambda name: _score(content, name))
    windows = f"{forms[chosen]['windows']} windows"
    text = f"{chosen} is preferred: forecasts over {windows} are off by {forms[chosen]['score_percent']:.2g} %"
    if not others:
        return f"{text}; no other form can be fitted."
    if rivals := [name for name in others if name in content["tied"]]:
        shown = ", ".join(f"{name} ({_score(content, name):.2g} %)" for name in rivals)
        bics = [forms[name]["bic"] for name in (chosen, rivals[0])]
        margin = f", by {bics[1] - bics[0]:.2g}" if None not in bics else ""
        return f"{text}, within one standard error of {shown}; it has the lower BIC{margin}."
    times = _score(content, others[0]) / max(forms[chosen]["score_percent"], 1e-12)
    return f"{text}, those of the next form, {others[0]}, by {_score(content, others[0]):.2g} % ({times:.3g} times)."
