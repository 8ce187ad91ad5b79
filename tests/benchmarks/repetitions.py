"""How far repetitions of a study agree: python tests/benchmarks/repetitions.py results/S results/S-repetition1 …

Repetitions have other training subsets, initial weights and orders of batches. For every law that is preferred in one
of them the table has its exponents in each, in the same form, and the p-value of a χ² test that they are equal, with
the intervals as errors; then come factors of data between families, and forecasts of the largest amounts of data.
Intervals that are right give p-values that are uniform: about one in ten below 0.1.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from parts import markdown
from scipy import stats

from chemscale.analysis.families import MATCHED


def agreement(values: list[float], intervals: list[list[float | None]], confidence: float) -> float | None:
    """p-value of a χ² test that `values` are equal; errors are half the intervals over the normal quantile."""
    if any(end is None for interval in intervals for end in interval) or len(values) < 2:
        return None
    widths = np.array([(high - low) / 2 for low, high in intervals])
    if widths.min() <= 0:
        return None
    errors = widths / stats.norm.ppf((1 + confidence) / 2)
    mean = np.average(values, weights=errors**-2)
    return float(stats.chi2.sf((((np.array(values) - mean) / errors) ** 2).sum(), len(values) - 1))


def laws_of(fits: dict) -> dict[tuple, dict]:
    """All fitted laws by family, direction, place and form."""
    return {
        (law["family"], law["along"], str(law["at"]), law["form"]): law for law in [*fits["curves"], *fits["joint"]]
    }


def exponents(repetitions: list[dict]) -> list[dict]:
    """Rows of exponents."""
    found = [laws_of(fits) for fits in repetitions]
    preferred = {key: law for of_one in found for key, law in of_one.items() if law["preferred"]}
    rows = []
    for key, example in sorted(preferred.items()):
        family, along, at, form = key
        laws = [of_one[key] for of_one in found if key in of_one]
        for name in [name for name in ("exponent", "alpha", "beta") if name in example["parameters"]]:
            values = [law["parameters"][name] for law in laws]
            intervals = [law["intervals"][name] for law in laws]
            shown = [f"{value:.2f} [{_ends(ends)}]" for value, ends in zip(values, intervals, strict=True)]
            row = {"family": family, "along": along, "at": at.strip("{}").replace("'", ""), "form": form}
            row |= {
                "parameter": name,
                "values": ", ".join(shown),
                "preferred in": sum(law["preferred"] for law in laws),
            }
            rows.append(row | {"p": agreement(values, intervals, example["confidence"])})
    return rows


def factors(repetitions: list[dict]) -> list[dict]:
    """Rows of the ratio of data that two families need for the lowest loss that both reach."""
    rows: dict[tuple, list[str]] = {}
    for fits in repetitions:
        for entry in fits["comparisons"]:
            if entry["factors"]["at"]:
                lowest = entry["factors"]["at"][-1]
                shown = f"{lowest['factor']:.2g} [{_ends(lowest['interval'])}] at {lowest['loss']:.3g}"
                rows.setdefault((" against ".join(entry["names"]), MATCHED[entry["matched"]]), []).append(shown)
    return [
        {"families": pair, "matched": by, "data of second / first": "; ".join(of)} for (pair, by), of in rows.items()
    ]


def forecasts(repetitions: list[dict]) -> list[dict]:
    """Rows of forecasts along data by the form chosen before: how many held, and their median error."""
    made = pd.DataFrame(
        [
            {"family": forecast["family"], "inside": point["inside"], "error": abs(point["error_percent"])}
            for fits in repetitions
            for forecast in fits["forecasts"]
            if forecast["along"] == "data" and forecast["preferred"]
            for point in forecast["points"]
        ]
    )
    return [
        {
            "family": family,
            "forecasts": len(of),
            "inside": int(of["inside"].sum()),
            "median error, %": of["error"].median(),
        }
        for family, of in [*made.groupby("family"), ("all", made)]
    ]


def losses(studies: list[Path]) -> list[dict]:
    """Rows of the scatter of equal cells between repetitions, in % of their mean."""
    tables = [pd.read_parquet(study / "tables" / "runs.parquet") for study in studies]
    rows = []
    for arm, loss in (("language", "test_loss"), ("potential", "test_force_mae")):
        cells = pd.concat(
            [table[table["arm"] == arm].assign(log=lambda t, loss=loss: np.log(t[loss])) for table in tables]
        )
        for (family, data), of in cells.groupby(["family", "data"]):
            spread = of.groupby("cell")["log"].std()
            rows.append({"family": family, "data": data, "scatter, %": 100 * float(np.sqrt((spread**2).mean()))})
    return rows


def _ends(interval: list[float | None]) -> str:
    return ", ".join("no limit" if end is None else f"{end:.2g}" for end in interval)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("studies", type=Path, nargs="+")
    studies = options.parse_args().studies
    ps = []
    for arm in ("language", "potential"):
        repetitions = [json.loads((study / "fits" / f"{arm}.json").read_text()) for study in studies]
        print(f"\n## {arm}\n")
        rows = exponents(repetitions)
        ps += [row["p"] for row in rows if row["p"] is not None]
        for table in (rows, factors(repetitions), forecasts(repetitions)):
            print((markdown(table) if table else "nothing") + "\n")
    print(f"{sum(p < 0.1 for p in ps)} of {len(ps)} exponents differ between repetitions at p < 0.1\n")
    print(markdown(losses(studies)))
