"""Compare finished studies: what differs in their settings, and whether exponents, floors and losses agree."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from chemscale.analysis.agreement import agreement, difference, loss_ratio
from chemscale.analysis.runs_table import select_runs
from chemscale.analysis.studies import StudyResults
from chemscale.arms import ARMS
from chemscale.errors import ChemscaleError

EXPONENTS = ("exponent", "alpha", "beta")
FLOORS = ("floor", "E")
NO_LIMITS = [None, None]


def compare_studies(studies: Sequence[StudyResults]) -> dict:
    """Return how two or more studies compare, arm by arm, as content for JSON; the first is the reference.

    Every list of values has one per study, in their order, None where a study lacks it. Each arm has

    * `settings`: those whose values differ; `settings_unknown` names the studies of which tables alone were kept
    * `laws`: for every law that two studies fitted, in one form for a family, the exponents and the floor, each with
      `values`, `intervals`, `identified` and how they compare (`_judged`); for exponents along data also `factors`, of
      data for half the error above the floor
    * `forecasts`: how many of the preferred forecasts held
    * `losses`: later studies over the first on the cells that both have, by family

    Raises ChemscaleError for one study, for different levels of confidence, or if they share no arm.
    """
    if len(studies) < 2:
        raise ChemscaleError(f"{', '.join(study.name for study in studies)}: a comparison needs two studies; name two")
    levels = {study.name: fits["confidence"] for study in studies for fits in study.fits.values()}
    if len(set(levels.values())) > 1:
        shown = ", ".join(f"{level:g} in {name}" for name, level in levels.items())
        raise ChemscaleError(f"scaling.confidence = {shown}: intervals differ in level; fit all at the same one")
    shared = [arm for arm in ARMS if sum(arm in study.fits for study in studies) > 1]
    if not shared:
        shown = ", ".join(f"{study.name} has {' and '.join(study.fits)}" for study in studies)
        raise ChemscaleError(f"{shown}: no arm in common; name studies of the same arm")
    confidence = next(iter(levels.values()))
    content = {
        "studies": [_summary(study) for study in studies],
        "confidence": confidence,
        "arms": [_compare_arm(arm, studies, confidence) for arm in shared],
    }
    return content | {"statements": list(_statements(content))}


def _summary(study: StudyResults) -> dict:
    counts = study.runs["status"].value_counts()
    return {"name": study.name, "folder": str(study.folder), "cells": {str(key): int(n) for key, n in counts.items()}}


def _compare_arm(arm: str, studies: Sequence[StudyResults], confidence: float) -> dict:
    fits = [study.fits.get(arm) for study in studies]
    used = [
        select_runs(study.runs, arm)[0] if of_study else None for study, of_study in zip(studies, fits, strict=True)
    ]
    differing, unknown = _settings(arm, studies)
    return {
        "arm": arm,
        "settings": differing,
        "settings_unknown": unknown,
        "laws": list(_laws(fits, confidence)),
        "forecasts": [_held(of_study) for of_study in fits],
        "losses": list(_losses(arm, used, confidence)),
    }


def _settings(arm: str, studies: Sequence[StudyResults]) -> tuple[list[dict], list[str]]:
    """Return the settings that differ between the studies that know them, and the studies that know few."""
    having = [study if arm in study.fits else None for study in studies]
    known = [study.settings(arm) | _grid(study.runs, arm) if study else {} for study in having]
    unknown = [study.name for study in having if study and not (study.folder / "runs").is_dir()]
    rows = []
    for name in dict.fromkeys(name for of_study in known for name in of_study):
        values = [", ".join(sorted(of_study[name])) if name in of_study else None for of_study in known]
        if len({value for value in values if value is not None}) > 1:
            rows.append({"key": name, "values": values})
    return rows, unknown


def _grid(runs: pd.DataFrame, arm: str) -> dict[str, set[str]]:
    """Return what a study trained in an arm and on what machine, as `StudyResults.settings` returns settings."""
    runs = runs[runs["arm"] == arm]
    found = {f"families.{family}": set(of["size"]) for family, of in runs.groupby("family")}
    found["data"] = {", ".join(f"{value:,}" for value in sorted(runs["data"].unique()))}
    found["runs"] = {f"{len(runs):,}"}
    for family, of_family in runs.groupby("family") if "learning_rate" in runs else ():
        rates = of_family["learning_rate"].dropna()
        if len(rates):
            found[f"families.{family}.learning_rate"] = {f"{rates.min():.3g} to {rates.max():.3g}"}
    for name in ("device_name", "precision", "host"):
        if name in runs and runs[name].notna().any():
            found[name] = set(runs[name].dropna().astype(str))
    return found


def _laws(fits: Sequence[dict | None], confidence: float) -> Iterator[dict]:
    """Yield every law of two studies or more, in the form that most of the laws of its family and kind prefer."""
    groups: dict[tuple, dict[str, list[dict[str, dict]]]] = {}  # (family, along) → place → study → form → law
    for place, of_study in enumerate(fits):
        for law in _entries(of_study):
            at = ", ".join(f"{key} {value:,}" if key == "data" else str(value) for key, value in law["at"].items())
            of_place = groups.setdefault((law["family"], law["along"]), {}).setdefault(at, [{} for _ in fits])
            of_place[place][law["form"]] = law
    for (family, along), places in groups.items():
        shared = {at: laws for at, laws in places.items() if sum(map(bool, laws)) > 1}
        if not shared:
            continue
        form = _common_form([of_study for laws in shared.values() for of_study in laws if of_study])
        for at, laws in shared.items():
            found = [of_study.get(form) for of_study in laws]
            if sum(law is not None for law in found) > 1:
                yield {
                    "family": family,
                    "along": along,
                    "at": at,
                    "form": form,
                    **_quantities(found, along, confidence),
                }


def _entries(of_study: dict | None) -> Iterator[dict]:
    if of_study:
        yield from of_study["curves"]
        yield from of_study["joint"]
        for frontier in of_study["frontiers"]:
            if "parameters" in frontier:
                yield {**frontier, "along": "compute", "at": {}, "preferred": True}


def _common_form(laws: list[dict[str, dict]]) -> str:
    """Return the form that most of the laws prefer among those fitted for all of them; the simplest of several."""
    common = [form for form in laws[0] if all(form in of_law for of_law in laws)]
    common = common or list(dict.fromkeys(form for of_law in laws for form in of_law))
    votes = Counter(form for of_law in laws for form, law in of_law.items() if law["preferred"])
    return max(common, key=lambda form: votes[form])


def _quantities(laws: Sequence[dict | None], along: str, confidence: float) -> dict:
    names = dict.fromkeys(name for law in laws if law for name in law["parameters"])
    content: dict = {"exponents": [], "floor": None}
    for name in [name for name in EXPONENTS if name in names]:
        entry = _judged(name, laws, confidence)
        if along == "data" or name == "beta":
            entry["factors"] = [None if value is None or value <= 0 else 2 ** (1 / value) for value in entry["values"]]
            entry["factor_intervals"] = [_factor_interval(*ends) for ends in entry["intervals"]]
        content["exponents"].append(entry)
    for name in [name for name in FLOORS if name in names]:
        content["floor"] = _judged(name, laws, confidence)
    return content


def _factor_interval(low: float | None, high: float | None) -> list[float | None]:
    """Return the limits of 2^(1/exponent); the upper one is None where the exponent may be zero."""
    return [None if end is None or end <= 0 else 2 ** (1 / end) for end in (high, low)]


def _judged(name: str, laws: Sequence[dict | None], confidence: float) -> dict:
    """Return a parameter of each law and how they compare.

    Of two it is their `difference`, later less earlier; of more the `agreement`. `agree` is None, with a reason, where
    fewer than two intervals have limits.
    """
    intervals = [law["intervals"].get(name, NO_LIMITS) if law else NO_LIMITS for law in laws]
    entry: dict[str, Any] = {
        "name": name,
        "values": [law["parameters"].get(name) if law else None for law in laws],
        "intervals": intervals,
        "identified": [None if law is None else name not in law.get("unidentified", []) for law in laws],
    }
    usable = [
        (value, ends)
        for value, ends in zip(entry["values"], intervals, strict=True)
        if value is not None and _has_width(*ends)
    ]
    if len(usable) < 2:
        return entry | {"agree": None, "reason": "fewer than two intervals with limits"}
    if len(usable) == 2:
        found = difference(*usable)
        return entry | {"difference": found, "agree": not found["excludes_0"]}
    values, ends = zip(*usable, strict=True)
    found = agreement(values, ends, confidence)
    return entry | {"agreement": found, "agree": found["agree"]}


def _has_width(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low < high


def _held(of_study: dict | None) -> dict | None:
    """Return how many of the preferred forecasts of an arm held; None without the arm."""
    if of_study is None:
        return None
    points = [point for made in of_study["forecasts"] if made["preferred"] for point in made["points"]]
    return {"held": sum(bool(point["inside"]) for point in points), "made": len(points)}


def _losses(arm: str, used: Sequence[pd.DataFrame | None], confidence: float) -> Iterator[dict]:
    """Yield the ratio of losses to those of the first study, per family and later study with a cell in common."""
    first, loss = used[0], ARMS[arm].loss
    if first is None:
        return
    for family, of_family in first.groupby("family"):
        for place, other in enumerate(used[1:], 1):
            if other is None:
                continue
            pairs = of_family[["cell", loss]].merge(other[["cell", loss]], on="cell", suffixes=("_first", "_later"))
            if len(pairs):
                before, after = (pairs[f"{loss}_{which}"].to_numpy(float) for which in ("first", "later"))
                yield {"family": str(family), "study": place, **loss_ratio(before, after, confidence)}


def _statements(content: dict) -> Iterator[str]:
    """Yield the findings in sentences."""
    names, level = [study["name"] for study in content["studies"]], f"{content['confidence']:.0%}"
    for of_arm in content["arms"]:
        arm = of_arm["arm"]
        keys = [row["key"] for row in of_arm["settings"]]
        yield f"{arm}: {'settings that differ: ' + ', '.join(keys) if keys else 'no known setting differs'}."
        judged = [(law, entry) for law in of_arm["laws"] for entry in law["exponents"] if entry["agree"] is not None]
        apart = [law_name(law, entry["name"]) for law, entry in judged if not entry["agree"]]
        if judged:
            chance = (1 - content["confidence"]) * len(judged)
            yield (
                f"{arm}: {len(judged) - len(apart)} of {len(judged)} exponents agree at {level}"
                + (f"; not {', '.join(apart)}" if apart else "")
                + f" (were all equal, {chance:.2g} would be expected to differ)."
            )
        else:
            yield f"{arm}: no law that two studies fitted in one form; choose studies that share families and sizes."
        held = [
            f"{name} {row['held']} of {row['made']}"
            for name, row in zip(names, of_arm["forecasts"], strict=True)
            if row
        ]
        yield f"{arm}: forecasts that held: {', '.join(held)}."
        for row in of_arm["losses"]:
            yield (
                f"{arm}: losses of {row['family']} in {names[row['study']]} are {_times(row)} those in {names[0]} on "
                f"{row['cells']} matching cells, and differ by {row['rms_percent']:.2g} % rms."
            )


def law_name(law: dict, parameter: str) -> str:
    """Return the name of an exponent for people, such as `painn d2-w8 along data`."""
    greek = {"alpha": "α of L(N, D)", "beta": "β of L(N, D)"}
    what = greek.get(parameter, f"along {law['along']}")
    return " ".join(part for part in (law["family"], law["at"], what) if part)


def _times(row: dict) -> str:
    ratio, ends = row["ratio"], row["interval"]
    return f"{ratio:.3f} " + (f"({ends[0]:.3f} to {ends[1]:.3f}) " if ends else "") + "times"
