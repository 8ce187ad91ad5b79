"""Read the points of a law from a table, given the names of its columns, and points to predict from text."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.validation import numbers, places, require_columns
from chemscale.scaling.forms.laws import Form, named_form
from chemscale.scaling.forms.terms import Variables

LOG = logging.getLogger(__name__)


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
    form: str | Form,
    loss: str = "loss",
    params: str | None = None,
    data: str | None = None,
    compute: str | None = None,
    distinct: str | None = None,
    group: str | None = None,
    weights: str | None = None,
    where: str | None = None,
    drop_missing: bool = False,
) -> Points:
    """Return the points of `table` for a form, given the names of its columns.

    A form of N and D takes two of params, data and compute; C = 6 N D gives the third. `where` is a condition on rows
    (`DataFrame.query`). With `drop_missing` rows without a number in a column of the law are left out.
    Raises ChemscaleError for missing or wrong columns, for values that are not positive numbers, and for rows that
    repeat another in all columns, as when a file was appended to itself: seeds differ in their loss, or in a column.
    """
    given = {"params": params, "data": data, "compute": compute}
    named = {option: column for option, column in given.items() if column}
    of = named_form(form)
    variables = of.variables
    if variables == ("x",):
        if len(named) != 1:
            raise ChemscaleError(
                f"form = {of.label!r}: takes exactly one of params, data and compute; "
                f"{', '.join(named) or 'none'} given"
            )
    elif len(named) != 2 or (distinct is not None) != ("U" in variables) or ("U" in variables and compute):
        needed = "params, data and distinct" if "U" in variables else "two of params, data and compute"
        raise ChemscaleError(f"form = {of.label!r}: takes {needed}; {', '.join(named) or 'none'} given")
    used = [loss, *named.values(), *filter(None, (distinct, weights))]
    require_columns(table, [*used, *filter(None, (group,))], "this fit")
    table = choose_rows(table, where, used, drop_missing)
    if group and table[group].isna().any():
        empty = places(np.flatnonzero(table[group].isna()), table)
        raise ChemscaleError(f"{group}: empty in {empty}; name a group in every row")
    repeated = np.flatnonzero(table.duplicated())
    if len(repeated):
        raise ChemscaleError(
            f"{places(repeated, table)}: equal to an earlier row in all columns; remove them, or add a column that "
            "tells repeated runs apart, such as seed"
        )
    values = {name: _positive(table, name) for name in (loss, *named.values(), *filter(None, (distinct,)))}
    if variables == ("x",):
        (column,) = named.values()
        x, columns = {"x": values[column]}, {"x": column}
    else:
        x, columns = _sizes(params, data, compute, values)
        if distinct:
            x, columns = x | {"U": values[distinct]}, columns | {"U": distinct}
    return Points(
        x,
        values[loss],
        numbers(table, weights) if weights else None,
        table[group].astype(str).to_numpy() if group else None,
        {"loss": loss} | columns,
    )


def choose_rows(table: pd.DataFrame, where: str | None, used: list[str], drop_missing: bool) -> pd.DataFrame:
    """Return the rows that `where` holds for, without those that lack a value of `used` if they are to be dropped.

    Raises ChemscaleError for a condition that is none or holds nowhere, and for missing values that are to stay.
    """
    if where:
        try:
            table = table.query(where)
        except Exception as error:  # of pandas or Python, whatever the condition says
            raise ChemscaleError(
                f"where = {where!r}: no condition on rows ({error}); write e.g. data == 'c4'"
            ) from None
        if table.empty:
            raise ChemscaleError(f"where = {where!r}: holds for no row; check the names and values")
    missing = table[used].isna().any(axis=1)
    if missing.any() and drop_missing:
        LOG.info(f"{missing.sum():,} of {len(table):,} rows lack a value and are left out")
        return table[~missing]
    if missing.any():
        lacking = {name: np.flatnonzero(table[name].isna()) for name in used}
        shown = "; ".join(f"{name} in {places(rows, table)}" for name, rows in lacking.items() if len(rows))
        raise ChemscaleError(f"missing values: {shown}; fill them in, or leave such rows out with drop_missing")
    return table


def _positive(table: pd.DataFrame, column: str) -> np.ndarray:
    values = numbers(table, column)
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(bad):
        raise ChemscaleError(
            f"{column}: must be positive numbers, since laws are fitted to logarithms, but is not in "
            f"{places(bad, table, values)}; correct these rows, or leave them out"
        )
    return values


def _sizes(
    params: str | None, data: str | None, compute: str | None, values: dict[str, np.ndarray]
) -> tuple[Variables, dict[str, str]]:
    """Return N and D and where they come from; one of them may follow from C = 6 N D (Kaplan et al. 2020)."""
    if params and data:
        return {"N": values[params], "D": values[data]}, {"N": params, "D": data}
    if params and compute:
        x = {"N": values[params], "D": values[compute] / (6 * values[params])}
        return x, {"N": params, "D": f"{compute} / (6 {params})"}
    assert data and compute
    return {"N": values[compute] / (6 * values[data]), "D": values[data]}, {"N": f"{compute} / (6 {data})", "D": data}


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
