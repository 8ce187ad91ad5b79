"""The table of a comparison of studies: one row per setting or quantity, one column per study."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from chemscale.analysis.compare_studies import law_name
from chemscale.arms import ARMS

SECTIONS = (
    "settings that differ",
    "exponents",
    "data for half the error above the floor",
    "floors",
    "forecasts that held",
    "losses of matching cells",
)


def compared_table(content: dict) -> pd.DataFrame:
    """Return the table of `compare_studies`: section, arm, quantity, law, a column per study, comparison, verdict."""
    names = [study["name"] for study in content["studies"]]
    rows = [row for of_arm in content["arms"] for row in _rows(of_arm, content["confidence"], names[0])]
    table = pd.DataFrame(
        [
            {"section": section, "arm": arm, "quantity": quantity, "law": law}
            | dict(zip(names, values, strict=True))
            | {"comparison": comparison, "verdict": verdict}
            for section, arm, quantity, law, values, comparison, verdict in rows
        ],
        columns=["section", "arm", "quantity", "law", *names, "comparison", "verdict"],
    )
    return table.sort_values("section", key=lambda of: of.map(SECTIONS.index), kind="stable", ignore_index=True)


def _rows(of_arm: dict, confidence: float, first: str) -> Iterator[tuple]:
    arm, empty = of_arm["arm"], "—"
    for row in of_arm["settings"]:
        values = ["not kept" if value is None else value for value in row["values"]]
        yield SECTIONS[0], arm, row["key"], "", values, "", "differs"
    for law in of_arm["laws"]:
        for entry in law["exponents"]:
            name = law_name(law, entry["name"])
            yield SECTIONS[1], arm, name, law["form"], _values(entry), *_judgement(entry, confidence)
            if "factors" in entry:
                pairs = zip(entry["factors"], entry["factor_intervals"], strict=True)
                yield SECTIONS[2], arm, name, law["form"], [_within(*pair) for pair in pairs], "", ""
        if law["floor"]:
            place = " ".join(part for part in (law["family"], law["at"]) if part)
            quantity = f"{place} ({ARMS[arm].unit})"
            yield SECTIONS[3], arm, quantity, law["form"], _values(law["floor"]), *_judgement(law["floor"], confidence)
    counts = [empty if held is None else f"{held['held']} of {held['made']}" for held in of_arm["forecasts"]]
    yield SECTIONS[4], arm, "largest cells, by the preferred form", "", counts, "", ""
    for row in of_arm["losses"]:
        values = [empty] * len(of_arm["forecasts"])
        ends = row["interval"]
        values[0], values[row["study"]] = "1", f"{row['ratio']:.3f}"
        values[row["study"]] += f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else ""
        verdict = "" if ends is None else "agree" if ends[0] <= 1 <= ends[1] else "differ"
        comparison = f"{row['cells']} cells, {row['rms_percent']:.2g} % rms"
        yield SECTIONS[5], arm, f"{row['family']}, over {first}", "", values, comparison, verdict


def _values(entry: dict) -> list[str]:
    shown = []
    for value, ends, identified in zip(entry["values"], entry["intervals"], entry["identified"], strict=True):
        shown.append(_within(value, ends) + (", not identified" if identified is False and value is not None else ""))
    return shown


def _within(value: float | None, ends: list) -> str:
    """Return a value with its interval, as far as that has limits."""
    if value is None:
        return "—"
    if ends == [None, None]:
        return f"{value:.3g}"
    low, high = ("no limit" if end is None else f"{end:.3g}" for end in ends)
    return f"{value:.3g} ({low} to {high})"


def _judgement(entry: dict, confidence: float) -> tuple[str, str]:
    if entry["agree"] is None:
        return entry["reason"], "not tested"
    verdict = "agree" if entry["agree"] else "differ"
    if "difference" in entry:
        found: dict[str, Any] = entry["difference"]
        return f"difference {_within(found['difference'], found['interval'])}", verdict
    found = entry["agreement"]
    spread = f"spread {found['spread']:.2g} where intervals let expect {found['expected_spread']:.2g}"
    test = f"χ² = {found['chi_square']:.2g} for {found['degrees']} degrees of freedom, p = {found['p']:.2g}"
    mean = f"mean {_within(found['mean'], found['interval'])} at {confidence:.0%}"
    return f"{test}; {spread}; {mean}", verdict
