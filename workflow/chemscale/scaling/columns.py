"""Columns of any table, checked before a law is fitted to them."""

import numpy as np
import pandas as pd

from chemscale.errors import ChemscaleError


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
