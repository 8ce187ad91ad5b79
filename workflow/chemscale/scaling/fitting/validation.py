"""What a table must be for a law to be fitted to it, and the refusals that say why it is not."""

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.forms.laws import Form

LONGEST_GAP = 3.0  # decades between neighbouring sizes; more looks like two units
USUAL_GAP = 1.5  # decades, of all other gaps of such a table
FACTORS = {
    1e3: "a factor of 1,000",
    1e6: "a factor of 1,000,000",
    1e9: "a factor of 10⁹",
    27.2114: "hartree against eV",
    23.0605: "eV against kcal/mol",
    627.509: "hartree against kcal/mol",
}
NEAR = 0.25  # of log residuals to the log of a factor


def as_variables(form: Form, x: dict[str, np.ndarray] | np.ndarray) -> dict[str, np.ndarray]:
    """`x` as one float array for each variable of the form; a bare array serves a form of one variable."""
    if not isinstance(x, dict):
        if len(form.variables) != 1:
            raise ChemscaleError(f"form {form.name} needs {' and '.join(form.variables)}; one array was given")
        x = {form.variables[0]: x}
    if missing := [name for name in form.variables if name not in x]:
        raise ChemscaleError(f"form {form.name} needs {' and '.join(form.variables)}; {', '.join(missing)} is missing")
    return {name: np.atleast_1d(np.asarray(x[name], dtype=float)) for name in form.variables}


def check_table(form: Form, x: dict[str, np.ndarray], loss: np.ndarray, weights: np.ndarray) -> None:
    """Raise ChemscaleError, naming column and rows (counted from 0), if a law cannot be fitted to this table."""
    for name, values in {**x, "loss": loss, "weights": weights}.items():
        if values.shape != loss.shape:
            raise ChemscaleError(f"{name} has {len(values)} values, loss has {len(loss)}; there must be one a run")
        if len(bad := np.flatnonzero(~(np.isfinite(values) & (values > 0)))):
            shown = ", ".join(f"row {row}: {values[row]:g}" for row in bad[:5])
            raise ChemscaleError(f"{name} must be positive numbers, since laws are fitted in logs; {shown}")
    seen: dict[tuple, int] = {}
    for row, key in enumerate(zip(*x.values(), loss, strict=True)):
        if key in seen:
            raise ChemscaleError(f"row {row} repeats row {seen[key]} (same x, same loss to the last digit); remove it")
        seen[key] = row
    for name, values in x.items():
        if name != "U" and (distinct := len(np.unique(values))) < 3:
            raise ChemscaleError(f"{name} has {distinct} distinct values; a power law needs 3 at the least")
    if "U" in x and not (x["D"] > x["U"]).any():
        raise ChemscaleError("no run sees an example twice (D > U): the worth of repeats cannot be fitted; use joint")
    check_gaps(x)
    distinct = len(np.unique(np.stack(list(x.values())), axis=1).T)
    if distinct < len(form.parameters):
        raise ChemscaleError(
            f"{distinct} distinct points cannot give the {len(form.parameters)} numbers of {form.name}"
        )


def check_gaps(x: dict[str, np.ndarray]) -> None:
    """Raise ChemscaleError for sizes in two heaps far apart, as when some rows count in millions."""
    for name, values in x.items():
        logs = np.unique(np.log10(values))
        gaps = np.diff(logs)
        if len(gaps) < 3 or gaps.max() < LONGEST_GAP or np.sort(gaps)[-2] > USUAL_GAP:
            continue
        place = int(gaps.argmax())
        raise ChemscaleError(
            f"{name} jumps from {10 ** logs[place]:.4g} to {10 ** logs[place + 1]:.4g} with nothing between: do "
            "some rows count in another unit (thousands, millions)? Put them right, or fit the two heaps apart"
        )


def check_residuals(residuals: np.ndarray) -> None:
    """Raise ChemscaleError if the log residuals (points,) of a robust fit show rows in another unit of loss."""
    away = np.abs(residuals)
    logs = np.log(list(FACTORS))
    nearest = np.abs(away[:, None] - logs).argmin(axis=1)  # (points,)
    rows = np.flatnonzero(np.abs(away - logs[nearest]) < NEAR)
    if len(rows) and np.median(away) < NEAR:
        shown = ", ".join(map(str, rows[:5]))
        what = list(FACTORS.values())[nearest[rows[0]]]
        raise ChemscaleError(
            f"loss of row {shown} is {what} away from the law of the others: are units mixed up? "
            "Put them right, or leave the rows out"
        )
