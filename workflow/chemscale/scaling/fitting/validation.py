"""Check a table before and after a law is fitted to it, and refuse it with the reason."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from chemscale.errors import ChemscaleError, NotFittable
from chemscale.scaling.forms.laws import Form
from chemscale.scaling.forms.terms import Points, Variables

if TYPE_CHECKING:
    import pandas as pd

MAX_GAP = 3.0  # decades between neighbouring sizes; a larger gap looks like two units
USUAL_GAP = 1.5  # decades, of all other gaps of such a table
UNIT_FACTORS = {
    1e3: "a factor of 1,000",
    1e6: "a factor of 1,000,000",
    1e9: "a factor of 10⁹",
    27.2114: "hartree against eV",
    23.0605: "eV against kcal/mol",
    627.509: "hartree against kcal/mol",
}
UNIT_TOLERANCE = 0.25  # of a log residual to the log of a unit factor
MAX_ROWS_NAMED = 20  # in one message


def require_columns(table: "pd.DataFrame", columns: list[str], purpose: str) -> None:
    """Raise ChemscaleError if the table lacks one of the columns that `purpose` ("this fit") needs."""
    if missing := [name for name in columns if name not in table.columns]:
        raise ChemscaleError(
            f"{purpose} needs the column {', '.join(missing)}; the table has {', '.join(table.columns)}"
        )


def numbers(table: "pd.DataFrame", column: str) -> np.ndarray:
    """Return a column as floats, (rows,); raise ChemscaleError with all places and values that are not numbers."""
    import pandas as pd

    values = pd.to_numeric(table[column], errors="coerce")
    if len(bad := np.flatnonzero((values.isna() & table[column].notna()).to_numpy())):
        raise ChemscaleError(
            f"{column}: not a number in {places(bad, table, table[column])}; correct these rows, or leave them out"
        )
    return values.to_numpy(dtype=float)


def require_positive(columns: Mapping[str, np.ndarray], reason: str = "laws are fitted to logarithms") -> None:
    """Raise ChemscaleError if values are not positive and finite, naming column and rows."""
    for name, values in columns.items():
        values = np.atleast_1d(np.asarray(values, dtype=float))
        if len(bad := np.flatnonzero(~(np.isfinite(values) & (values > 0)))):
            raise ChemscaleError(
                f"{name}: must be positive numbers, since {reason}, but is not in {places(bad, None, values)}; "
                "correct these rows, or leave them out"
            )


def places(rows: np.ndarray, table: "pd.DataFrame | None" = None, values: Any = None) -> str:
    """Return rows (counted from 0 in `rows`) for a message, with their `values`: "row 3 (nan), row 8 (-1)".

    Rows are counted from 1; those of a `table` that came from a text file are named by their line in it.
    """
    first = None if table is None else table.attrs.get("first_line")
    if table is None or first is None:
        names = [f"row {row + 1}" for row in rows]
    else:
        names = [f"line {row + first}" for row in table.index[rows]]
    if values is not None:
        held = [f"{value:g}" if isinstance(value, float) else repr(value) for value in np.asarray(values)[rows]]
        names = [f"{name} ({value})" for name, value in zip(names, held, strict=True)]
    more = f" and {len(names) - MAX_ROWS_NAMED:,} more" if len(names) > MAX_ROWS_NAMED else ""
    return ", ".join(names[:MAX_ROWS_NAMED]) + more


def as_variables(form: Form, x: Points) -> Variables:
    """Return `x` as one float array per variable of the form; a bare array serves a form of one variable.

    Raises ChemscaleError if a variable of the form is missing.
    """
    needed = f"form {form.name} needs {' and '.join(form.variables)}"
    if not isinstance(x, Mapping):
        if len(form.variables) != 1:
            raise ChemscaleError(f"{needed}; one array was given")
        x = {form.variables[0]: x}
    if missing := [name for name in form.variables if name not in x]:
        raise ChemscaleError(f"{needed}; {', '.join(missing)} is missing")
    return {name: np.atleast_1d(np.asarray(x[name], dtype=float)) for name in form.variables}


def check_table(form: Form, x: Variables, loss: np.ndarray, weights: np.ndarray) -> None:
    """Check that a law can be fitted to this table.

    Raises ChemscaleError for values that are no losses, sizes or weights, and NotFittable for too few of them.
    """
    columns = {**x, "loss": loss, "weights": weights}
    for name, values in columns.items():
        if values.shape != loss.shape:
            raise ChemscaleError(f"{name} has {len(values)} values, loss has {len(loss)}; give one value per run")
    require_positive({name: values for name, values in columns.items() if name != "weights"})
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise ChemscaleError("weights: must be numbers of at least 0, and not all 0; correct them")
    for name, values in x.items():
        if name != "U" and (distinct := len(np.unique(values))) < 3:
            raise NotFittable(f"{name} has {distinct} distinct values; a power law needs at least 3")
    if "U" in x and not (x["D"] > x["U"]).any():
        raise NotFittable(
            "no run sees an example twice (D > U), so the value of repeats cannot be fitted; use the form joint"
        )
    check_gaps(x)
    distinct = len(np.unique(np.stack(list(x.values())), axis=1).T)
    if distinct < len(form.free):
        raise NotFittable(f"{distinct} distinct points cannot determine the {len(form.free)} parameters of {form.name}")


def check_gaps(x: Variables) -> None:
    """Raise NotFittable if sizes form two groups far apart, as when some rows count in millions."""
    for name, values in x.items():
        logs = np.unique(np.log10(values))
        gaps = np.diff(logs)
        if len(gaps) < 3 or gaps.max() < MAX_GAP or np.sort(gaps)[-2] > USUAL_GAP:
            continue
        place = int(gaps.argmax())
        raise NotFittable(
            f"{name} has no values between {10 ** logs[place]:.4g} and {10 ** logs[place + 1]:.4g}; are some rows in "
            "different units (thousands, millions)? Fix them, or fit the two groups separately"
        )


def check_residuals(residuals: np.ndarray) -> None:
    """Raise NotFittable if the log residuals (points,) of a robust fit show rows in another unit of loss."""
    away = np.abs(residuals)
    logs = np.log(list(UNIT_FACTORS))
    nearest = np.abs(away[:, None] - logs).argmin(axis=1)  # (points,)
    rows = np.flatnonzero(np.abs(away - logs[nearest]) < UNIT_TOLERANCE)
    if len(rows) and np.median(away) < UNIT_TOLERANCE:
        factor = list(UNIT_FACTORS.values())[nearest[rows[0]]]
        raise NotFittable(
            f"loss of {places(rows)} is {factor} away from the law of the other rows; are units mixed up? "
            "Fix these rows, or leave them out"
        )
