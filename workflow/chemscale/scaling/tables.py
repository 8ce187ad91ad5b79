"""From a table of runs to the points that enter a fit, with the rule that left out each other one."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from chemscale.errors import ChemscaleError


@dataclass(frozen=True)
class Arm:
    """What is fitted in an arm of the study: the loss, and the columns that count data, parameters and compute.

    The first column of `counted` is the one the fits use. `loss_degree` is the power of an error that the loss of
    training and validation is: 2 for squared errors.
    """

    loss: str
    unit: str
    label: str
    data_label: str
    counted: dict[str, tuple[str, ...]]
    loss_degree: int

    @property
    def data(self) -> str:
        """The column that counts the data."""
        return self.counted["data"][0]


PARAMETERS = "parameters"
COUNTED = {
    "parameters": (PARAMETERS, "parameters_total", "parameters_matrices"),
    "compute": ("flops", "flops_6nd", "device_seconds"),
}
ARMS = {
    "language": Arm(
        "test_loss",
        "nats per token",
        "test loss",
        "training molecules",
        {"data": ("train_molecules", "train_tokens"), **COUNTED},
        loss_degree=1,
    ),
    "potential": Arm(
        "test_force_mae",
        "eV/Å",
        "test MAE of forces",
        "training structures",
        {"data": ("train_structures", "train_atoms", "train_force_labels"), **COUNTED},
        loss_degree=2,
    ),
}
PARAMETERS_LABEL = "non-embedding parameters"


def need_columns(table: pd.DataFrame, columns: list[str], what: str) -> None:
    """Raise ChemscaleError if the table lacks one of the columns."""
    if missing := [name for name in columns if name not in table.columns]:
        raise ChemscaleError(f"{what} needs the column {', '.join(missing)}; the table has {', '.join(table.columns)}")


def numbers(table: pd.DataFrame, column: str) -> np.ndarray:
    """A column as floats; raise ChemscaleError, naming row and value, for one that is no number."""
    values = pd.to_numeric(table[column], errors="coerce")
    if len(bad := np.flatnonzero((values.isna() & table[column].notna()).to_numpy())):
        raise ChemscaleError(f"column {column}, row {bad[0]}: {table[column].iloc[bad[0]]!r} is no number")
    return values.to_numpy(dtype=float)


def select_runs(table: pd.DataFrame, arm: str) -> tuple[pd.DataFrame, list[dict]]:
    """Runs of an arm that enter its fits, and those left out as [{"cell", "rule"}].

    A run enters if it finished, is not flagged `undertrained` or `rate_at_edge`, and has a positive loss and positive
    counts. Raises ChemscaleError for an unknown arm, missing columns or a cell that is there twice.
    """
    if arm not in ARMS:
        raise ChemscaleError(f"arm {arm!r}: choose one of {', '.join(ARMS)}")
    kind = ARMS[arm]
    counts = [PARAMETERS, kind.data]
    need_columns(table, ["cell", "arm", "family", "size", "data", "seed", "status", kind.loss, *counts], "a runs table")
    runs = table[table["arm"] == arm].reset_index(drop=True)
    if runs.empty:
        raise ChemscaleError(f"the runs table has no run of the arm {arm}; it has {', '.join(table['arm'].unique())}")
    if (twice := runs["cell"].duplicated()).any():
        raise ChemscaleError(f"cell {runs.loc[twice, 'cell'].iloc[0]} is in the runs table twice; collect it again")
    runs = runs.assign(**{name: numbers(runs, name) for name in [kind.loss, *counts]})

    rules = pd.Series([None] * len(runs), dtype=object)

    def leave_out(which: pd.Series, rule) -> None:
        which = which & rules.isna()
        rules[which] = rule[which] if isinstance(rule, pd.Series) else rule

    reason = runs["reason"].fillna("") if "reason" in runs else pd.Series([""] * len(runs))
    status = runs["status"].astype(str)
    leave_out(status != "finished", (status + ": " + reason).str.removesuffix(": "))
    if "undertrained" in runs:
        leave_out(runs["undertrained"].eq(True), "undertrained")
    if "rate_at_edge" in runs:
        leave_out(runs["rate_at_edge"].eq(True), "learning rate at the edge of its sweep")
    for name in [kind.loss, *counts]:
        usable = np.isfinite(runs[name]) & (runs[name] > 0)
        leave_out(~usable, f"{name} is no positive number")

    left_out = [
        {"cell": str(cell), "rule": str(rule)}
        for cell, rule in zip(runs["cell"], rules, strict=True)
        if rule is not None
    ]
    return runs[rules.isna()].reset_index(drop=True), left_out
