"""Sentences on what a study has found, made from its tables and fits: the first page of the report."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from chemscale.analysis.families import MATCHED
from chemscale.arms import ARMS, PARAMETERS, Arm
from chemscale.models.registry import FAMILIES

SHOWN_CELLS = 5  # of a list


def found(runs: pd.DataFrame, fits: list[dict]) -> list[str]:
    """Return what was found, arm by arm: loss with data and with size, families compared, forecasts."""
    sentences = []
    for of_arm in fits:
        arm = ARMS[of_arm["arm"]]
        own = runs[(runs["arm"] == of_arm["arm"]) & (runs["status"] == "finished")]
        for family in own["family"].drop_duplicates():
            of_family = own[own["family"] == family]
            sentences += [_with_data(family, of_family, of_arm, arm), *_with_size(family, of_family, of_arm)]
        sentences += [sentence for entry in of_arm["comparisons"] if (sentence := _compared(entry, arm))]
        sentences.append(_forecasts(of_arm, arm))
    return sentences


def went_wrong(runs: pd.DataFrame, fits: list[dict], sweeps: pd.DataFrame) -> list[str]:
    """Return what went wrong: runs that are not there, failed or are left out of fits, and sweeps with an edge."""
    sentences = []
    for status, said in (("failed", "failed"), ("missing", "not there")):
        cells = runs.loc[runs["status"] == status, "cell"]
        if len(cells):
            sentences.append(f"{_count(len(cells), 'training')} {said}: {_listed(cells)}.")
    unfinished = set(runs.loc[runs["status"] != "finished", "cell"])
    left_out = [entry for of_arm in fits for entry in of_arm["left_out"] if entry["cell"] not in unfinished]
    for rule, number in Counter(entry["rule"] for entry in left_out).items():
        cells = [entry["cell"] for entry in left_out if entry["rule"] == rule]
        sentences.append(f"The fits leave out {_count(number, 'training')} ({rule}): {_listed(cells)}.")
    if len(sweeps):
        at_edge = sweeps[sweeps["edge"].eq(True)].drop_duplicates(["family", "width"])
        for family, of_family in at_edge.groupby("family"):
            widths = ", ".join(f"{width:g}" for width in sorted(of_family["width"]))
            where = f"lies at an end of its sweep at width {widths}"
            sentences.append(f"The best learning rate of {_label(str(family))} {where}.")
    nothing = "Nothing: every training finished and enters the fits, and no best learning rate lies at an end."
    return sentences or [nothing]


def cost(runs: pd.DataFrame) -> list[str]:
    """Return what the trainings have cost: number, time, FLOPs and devices."""
    finished = runs[runs["status"] == "finished"]
    hours, flops = finished["device_seconds"].sum() / 3600, finished["flops"].sum()
    devices = " and ".join(sorted(finished["device_name"].dropna().unique())) or "unknown devices"
    time = f"{hours:,.1f} hours" if hours >= 1 else f"{60 * hours:,.1f} minutes"
    return [f"{_count(len(finished), 'training')} took {time} of device time ({devices}) and {flops:.2g} FLOPs."]


def exponents(fits: list[dict]) -> pd.DataFrame:
    """Return one row per exponent of a preferred law, with its interval and whether it is identified."""
    rows = []
    for law in [law for of_arm in fits for law in [*of_arm["curves"], *of_arm["joint"]] if law["preferred"]]:
        names = [name for name in ("exponent", "alpha", "beta") if name in law["parameters"]]
        against = {"both": "size and data", "parameters": "size"}.get(law["along"], law["along"])
        exponent_of = {"alpha": "size" if "beta" in names else "size and data", "beta": "data", "exponent": against}
        floor = next((law["parameters"][name] for name in ("floor", "E") if name in law["parameters"]), None)
        rows += [
            {
                "family": _label(law["family"]),
                "loss against": against,
                "at": law["at"].get("size") or (f"{law['at']['data']:,} examples" if law["at"] else "all"),
                "exponent of": exponent_of[name],
                "value": f"{law['parameters'][name]:.3f}",
                "interval": _ends(law["intervals"][name], 3),
                "floor": "" if floor is None else f"{floor:.3g}",
                "identified": "no" if name in law["unidentified"] else "yes",
            }
            for name in names
        ]
    return pd.DataFrame(rows)


def _with_data(family: str, runs: pd.DataFrame, of_arm: dict, arm: Arm) -> str:
    """Say how the loss of the largest model of a family falls with data."""
    laws = {
        law["at"]["size"]: law
        for law in of_arm["curves"]
        if law["family"] == family and law["along"] == "data" and law["preferred"]
    }
    sizes = runs.groupby("size")[PARAMETERS].first().sort_values()
    size = next((size for size in reversed(sizes.index) if size in laws), None)
    if size is None:
        return f"{_label(family)}: no law could be fitted along data."
    law, losses = laws[size], runs[runs["size"] == size].groupby("data")[arm.loss].mean()
    text = (
        f"Within {losses.index[0]:,} to {losses.index[-1]:,} {arm.data_label} the {arm.label} of {_label(family)} "
        f"{size}, with {sizes[size]:,.0f} parameters, falls from {losses.iloc[0]:.3g} to {losses.iloc[-1]:.3g} "
        f"{arm.unit}"
    )
    ends = _ends(law["intervals"]["exponent"])
    if "exponent" in law["unidentified"]:
        return f"{text}. The exponent of data is not identified: {ends} is possible."
    floor = f", above a floor of {law['parameters']['floor']:.3g}" if "floor" in law["parameters"] else ""
    return f"{text}, as D^−{law['parameters']['exponent']:.2f} ({ends}){floor}."


def _with_size(family: str, runs: pd.DataFrame, of_arm: dict) -> list[str]:
    """Say how the loss of a family falls with model size, by its surface L(N, D); nothing for a single size."""
    sizes = runs[PARAMETERS].agg(["min", "max"])
    if sizes["min"] == sizes["max"]:
        return []
    spanned = f"sizes span a factor of {sizes['max'] / sizes['min']:,.0f}"
    law = next((law for law in of_arm["joint"] if law["family"] == family and law["preferred"]), None)
    if law is None:
        return [f"{_label(family)}: no law of size could be fitted, though {spanned}."]
    alpha, ends = law["parameters"]["alpha"], _ends(law["intervals"]["alpha"])
    if "alpha" in law["unidentified"]:
        exponent = f"The exponent of model size of {_label(family)}"
        return [f"{exponent} is not identified: {ends} is possible, though {spanned}."]
    tied = "" if "beta" in law["parameters"] else ", with one exponent for size and data"
    return [f"With model size the loss of {_label(family)} falls as N^−{alpha:.2f} ({ends}){tied}; {spanned}."]


def _compared(entry: dict, arm: Arm) -> str | None:
    """Say how much more data one family needs than another, for the lowest loss that both reach."""
    lowest = (entry["factors"]["at"] or [None])[-1]
    if lowest is None or lowest["factor"] is None:
        return None
    first, second = map(_label, entry["names"])
    factor, (low, high) = lowest["factor"], lowest["interval"]
    if factor < 1:
        first, second, factor = second, first, 1 / factor
        low, high = (None if end is None else 1 / end for end in (high, low))
    ends = " to ".join("no limit" if end is None else f"{end:.2g}" for end in (low, high))
    return (
        f"At matched {MATCHED[entry['matched']]} {second} needs {factor:.2g} times ({ends}) as many "
        f"{arm.data_label} as {first} for a {arm.label} of {lowest['loss']:.3g} {arm.unit}."
    )


def _forecasts(of_arm: dict, arm: Arm) -> str:
    """Say how many forecasts of the largest amounts of data held."""
    made = [made for made in of_arm["forecasts"] if made["along"] == "data" and made["preferred"]]
    points = [point for forecast in made for point in forecast["points"]]
    if not points:
        return f"No forecast of the {arm.label} could be tested."
    held = sum(point["inside"] for point in points)
    error = float(np.median([abs(point["error_percent"]) for point in points]))
    return (
        f"Laws of the {arm.label} fitted without the most data forecast it: {held} of {len(points)} losses lay inside "
        f"the {of_arm['confidence']:.0%} interval, with a median error of {error:.1f} %."
    )


def _ends(interval: list[float | None], digits: int = 2) -> str:
    return " to ".join("no limit" if end is None else f"{end:.{digits}f}" for end in interval)


def _label(family: str) -> str:
    return FAMILIES[family].label


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("s" if number != 1 else "")


def _listed(cells: Iterable[str]) -> str:
    cells = list(cells)
    more = f" and {len(cells) - SHOWN_CELLS:,} more" if len(cells) > SHOWN_CELLS else ""
    return ", ".join(cells[:SHOWN_CELLS]) + more
