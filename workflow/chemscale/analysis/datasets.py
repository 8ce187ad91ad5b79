"""Describe the datasets of a study: their examples, their splits, and what could not be verified of them."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from chemscale.geometries.unit_checks import describe_verdict

COLUMNS = ("dataset", "arm", "examples", "duplicates", "refused", "splits", "units")


def dataset_table(headers: Iterable[dict]) -> pd.DataFrame:
    """Return one row per dataset from the headers of their stores (`corpus.json`, `geometries.json`).

    * splits: the audit of held-out molecules and structures
    * units: which units and signs the data confirm; empty for molecules and for labels made here
    """
    return pd.DataFrame([_row(header) for header in headers], columns=list(COLUMNS))


def _row(header: dict) -> dict[str, Any]:
    what = "structures" if "structures" in header else "molecules"
    counts, failures, checks = header[what], header["failures"], header.get("unit_checks")
    splits = ", ".join(f"{name} {count:,}" for name, count in counts.items() if name != "total" and count)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in failures.get("reasons", {}).items())
    return {
        "dataset": header["name"],
        "arm": header["entry"]["arm"],
        "examples": f"{counts['total']:,} {what}: {splits}",
        "duplicates": header["duplicates"],
        "refused": reasons or failures.get("geometries", failures.get("total")),
        "splits": header.get("audit", {}).get("statement", "not audited: made by an earlier version"),
        "units": describe_verdict(checks) if checks else None,
    }
