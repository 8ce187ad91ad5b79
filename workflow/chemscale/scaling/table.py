"""Read the points of a law from a table, given the names of its columns, and points to predict from text."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.validation import numbers, require_columns
from chemscale.scaling.forms.laws import named_form
from chemscale.scaling.forms.terms import Variables


@dataclass(frozen=True)
class Points:
    """The points of a law: variables, losses, weights and groups, each (points,), and the columns they came from."""

    x: Variables
    loss: np.ndarray
    weights: np.ndarray | None
    groups: np.ndarray | None
    columns: dict[str, str]  # `loss` and the variables of the law → columns of the table


def default_form(params: str | None, data: str | None, compute: str | None, distinct: str | None) -> str:
    """Return the form for these columns: power_floor for a curve, joint or repeated for a surface."""
    if distinct:
        return "repeated"
    return "joint" if sum(column is not None for column in (params, data, compute)) == 2 else "power_floor"


def read_points(
    table: pd.DataFrame,
    form: str,
    loss: str = "loss",
    params: str | None = None,
    data: str | None = None,
    compute: str | None = None,
    distinct: str | None = None,
    group: str | None = None,
    weights: str | None = None,
) -> Points:
    """Return the points of `table` for a form, given the names of its columns.

    Raises ChemscaleError for missing or wrong columns and for values that are not numbers.
    """
    given = {"params": params, "data": data, "compute": compute}
    named = {option: column for option, column in given.items() if column}
    variables = named_form(form).variables
    if variables == ("x",):
        if len(named) != 1:
            raise ChemscaleError(
                f"form {form} takes exactly one of params, data and compute; {', '.join(named) or 'none'} given"
            )
        columns = dict.fromkeys("x", *named.values())
    else:
        options = {"N": params, "D": data, "U": distinct}
        columns = {name: column for name in variables if (column := options[name])}
        if len(columns) < len(variables) or compute:
            needed = " and ".join(("params", "data", "distinct")[: len(variables)])
            raise ChemscaleError(f"form {form} takes {needed}, but not compute")
    require_columns(table, [loss, *columns.values(), *filter(None, (group, weights))], "this fit")
    if group and table[group].isna().any():
        raise ChemscaleError(f"column {group} is empty in some rows; name a group in every row")
    return Points(
        {name: numbers(table, column) for name, column in columns.items()},
        numbers(table, loss),
        numbers(table, weights) if weights else None,
        table[group].astype(str).to_numpy() if group else None,
        {"loss": loss} | columns,
    )


def parse_point(text: str) -> dict[str, float]:
    """Return a point written as N=1e9,D=1e10 on a command line; raise ChemscaleError if it is not one."""
    try:
        point = {name.strip(): float(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise ChemscaleError(f"{text!r}: not a point; write N=1e9,D=1e10 or x=1e9") from None
    if not all(np.isfinite(value) and value > 0 for value in point.values()):
        raise ChemscaleError(f"{text!r}: give positive numbers")
    return point


def require_variables(point: Mapping[str, float], variables: tuple[str, ...]) -> dict[str, float]:
    """Return the point with its variables in the order of a law; raise ChemscaleError if they are not the law's."""
    if set(point) != set(variables):
        given = ", ".join(point) or "nothing"
        raise ChemscaleError(f"the law is one of {' and '.join(variables)}; {given} is given")
    return {name: float(point[name]) for name in variables}
