"""The ladder of symmetry: exponents of every family of potentials, and the data it saves, in one table.

The families stand in the order of what they know of rotations. Data are counted against the lowest one, at matched
parameters and at matched FLOPs.
"""

import pandas as pd

from chemscale.analysis.families import MATCHED
from chemscale.models.family import SYMMETRIES
from chemscale.models.registry import FAMILIES

EXPONENTS = {"data": "β", "parameters": "α", "compute": "γ"}  # of what the loss falls with, and its symbol


def ladder(of_arm: dict) -> list[dict]:
    """Return an entry per family of an arm's fits, the lowest of the ladder first.

    It has `family`, `exponents` (of data and of parameters by the preferred surface, of compute by the measured
    frontier: value, interval, identified; None without one) and `saved` (how many times as many examples the lowest
    family needs, by what is matched: factor, interval, loss; the loss is the lowest that both reach). Intervals have
    None for an end that the data do not bound.
    """
    surfaces = {law["family"]: law for law in of_arm["joint"] if law["preferred"]}
    frontiers = {found["family"]: found for found in of_arm["frontiers"] if "parameters" in found}
    compared = {name for entry in of_arm["comparisons"] for name in entry["names"]}
    names = sorted(compared | surfaces.keys() | frontiers.keys(), key=_place)
    if not names:
        return []
    return [
        {
            "family": family,
            "exponents": {
                "data": _exponent(surfaces.get(family), "beta"),
                "parameters": _exponent(surfaces.get(family), "alpha"),
                "compute": _exponent(frontiers.get(family), "exponent"),
            },
            "saved": {by: _saved(of_arm["comparisons"], names[0], family, by) for by in MATCHED},
        }
        for family in names
    ]


def ladder_table(fits: list[dict]) -> pd.DataFrame:
    """Return one row per family of an arm with two families or more: symmetry, exponents, and the data it saves."""
    rows = []
    for of_arm in fits:
        entries = ladder(of_arm)
        for entry in entries if len(entries) > 1 else []:
            row = {
                "family": FAMILIES[entry["family"]].label,
                "built in": SYMMETRIES[FAMILIES[entry["family"]].symmetry],
            }
            for along, symbol in EXPONENTS.items():
                row[f"exponent of {along}, {symbol}"] = exponent_shown(entry["exponents"][along])
            for by, label in MATCHED.items():
                row[f"data saved at matched {label}"] = _factor_shown(entry["saved"][by])
            rows.append(row)
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["family", "built in"])


def exponent_shown(exponent: dict | None) -> str:
    """Return an exponent with its interval as text."""
    if exponent is None:
        return "no fit"
    shown = f"{exponent['value']:.2f} ({_ends(exponent['interval'])})"
    return shown if exponent["identified"] else f"{shown}, not identified"


def _factor_shown(saved: dict | None) -> str:
    if saved is None:
        return ""
    return f"{saved['factor']:.2g} times ({_ends(saved['interval'])}) at {saved['loss']:.3g}"


def _ends(interval: list) -> str:
    low, high = ("no limit" if end is None else f"{end:.2g}" for end in interval)
    return f"{low} to {high}"


def _place(family: str) -> tuple[int, int]:
    return list(SYMMETRIES).index(FAMILIES[family].symmetry), list(FAMILIES).index(family)


def _exponent(law: dict | None, name: str) -> dict | None:
    """Return a parameter of a law; tied exponents are both α."""
    if law is None:
        return None
    name = name if name in law["parameters"] else "alpha"
    if name not in law["parameters"]:
        return None
    identified = name not in law.get("unidentified", [])
    return {"value": law["parameters"][name], "interval": law["intervals"][name], "identified": identified}


def _saved(comparisons: list[dict], lowest: str, family: str, by: str) -> dict | None:
    """Return how many times as many examples `lowest` needs as `family` for the lowest loss that both reach."""
    if family == lowest:
        return None
    for entry in comparisons:
        at = entry["factors"]["at"]
        if set(entry["names"]) == {lowest, family} and entry["matched"] == by and at and at[-1]["factor"] is not None:
            factor, interval = at[-1]["factor"], at[-1]["interval"]
            if entry["names"][0] == lowest:  # the factor is that of the second family
                factor, interval = 1 / factor, [None if end is None else 1 / end for end in reversed(interval)]
            return {"factor": factor, "interval": interval, "loss": at[-1]["loss"]}
    return None
