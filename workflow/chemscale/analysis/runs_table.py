"""Select the runs that enter the fits of a study, and name the rule that excludes each other run."""

import numpy as np
import pandas as pd

from chemscale.arms import ARMS, PARAMETERS
from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.validation import numbers, require_columns


def select_runs(table: pd.DataFrame, arm: str) -> tuple[pd.DataFrame, list[dict]]:
    """Return the runs of an arm that enter its fits, and those left out as [{"cell", "rule"}].

    A run enters if it finished, is not flagged `undertrained`, `collapsed` or `rate_at_edge`, and has a positive loss
    and positive counts. Raises ChemscaleError for an unknown arm, missing columns or a repeated cell.
    """
    if arm not in ARMS:
        raise ChemscaleError(f"arm = {arm!r}: choose one of {', '.join(ARMS)}")
    loss, counts = ARMS[arm].loss, [PARAMETERS, ARMS[arm].data]
    columns = ["cell", "arm", "family", "size", "data", "seed", "status", loss, *counts]
    require_columns(table, columns, "a runs table")
    runs = table[table["arm"] == arm].reset_index(drop=True)
    if runs.empty:
        found = ", ".join(table["arm"].unique())
        raise ChemscaleError(f"arm = {arm!r}: the runs table has no run of this arm; it has {found}")
    if (twice := runs["cell"].duplicated()).any():
        raise ChemscaleError(f"{runs.loc[twice, 'cell'].iloc[0]}: repeated in the runs table; collect it again")
    runs = runs.assign(**{name: numbers(runs, name) for name in [loss, *counts]})

    rules = pd.Series([None] * len(runs), dtype=object)

    def leave_out(which: pd.Series, rule: str | pd.Series) -> None:
        which = which & rules.isna()
        rules[which] = rule[which] if isinstance(rule, pd.Series) else rule

    reason = runs["reason"].fillna("") if "reason" in runs else pd.Series([""] * len(runs))
    status = runs["status"].astype(str)
    leave_out(status != "finished", (status + ": " + reason).str.removesuffix(": "))
    if "undertrained" in runs:
        leave_out(runs["undertrained"].eq(True), "undertrained")
    if "collapsed" in runs:  # not in tables of earlier versions
        leave_out(runs["collapsed"].eq(True), "collapsed")
    if "rate_at_edge" in runs:
        leave_out(runs["rate_at_edge"].eq(True), "learning rate at the edge of its sweep")
    for name in [loss, *counts]:
        usable = np.isfinite(runs[name]) & (runs[name] > 0)
        leave_out(~usable, f"{name} is not a positive number")

    left_out = [
        {"cell": str(cell), "rule": str(rule)}
        for cell, rule in zip(runs["cell"], rules, strict=True)
        if rule is not None
    ]
    return runs[rules.isna()].reset_index(drop=True), left_out
