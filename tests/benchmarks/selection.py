"""Which rule forecasts best on a mixture of laws? `python tests/benchmarks/selection.py [curves per law and design]`.

Simulated curves with a known law: power, with floor, shifted with floor, broken. The noise of log loss is real: the
differences between seeds of equal cells in the reference study, of the language arm (1.3 %) or of the potential arm
(4.2 %). Two designs: that of the default study (5 sizes over 1.7 to 2 decades, 2 seeds on the small three) and a longer
one (8 sizes over 3 decades, 2 seeds on the small four). Prints the median of |log error| of the law at four times the
largest size: of every form, of the forms that AICc, BIC and held-out extrapolation choose, and of a least-squares line
through log loss against log x.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from chemscale.arms import ARMS
from chemscale.errors import NotFittable
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.selection.selection import select

RUNS = Path(__file__).parents[2] / "results" / "reference" / "tables" / "runs.parquet"
FORMS = ("power", "power_floor", "shifted_floor", "broken")
RULES = {"AICc": "aicc_choice", "BIC": "bic_choice", "extrapolation": "chosen"}
LINE = "log-log line"
DESIGNS = {"5 sizes": (5, (1.7, 2.0), [2, 2, 2, 1, 1]), "8 sizes": (8, (3.0, 3.0), [2, 2, 2, 2, 1, 1, 1, 1])}


def seed_differences(arm: str) -> np.ndarray:
    """Return the noise of log loss of one run, from pairs of seeds of the reference study: (2 pairs,)."""
    runs = pd.read_parquet(RUNS).query("arm == @arm and status == 'finished'")
    cells = [np.log(runs[ARMS[arm].loss]), runs["family"], runs["size"], runs["data"]]
    grouped = cells[0].groupby(cells[1:])
    noise = (cells[0] - grouped.transform("mean")) * np.sqrt(2)  # two seeds share one degree of freedom
    return noise[grouped.transform("count") == 2].to_numpy()


def true_law(kind: str, rng: np.random.Generator, least: float, most: float):
    """A random law of one kind, 1 at the smallest size."""
    floor = rng.uniform(0.1, 0.7)
    if kind == "power":
        alpha = rng.uniform(0.05, 0.4)
        return lambda x: (x / least) ** -alpha
    if kind == "power_floor":
        alpha = rng.uniform(0.1, 0.5)
        return lambda x: floor + (1 - floor) * (x / least) ** -alpha
    if kind == "shifted_floor":
        alpha, shift = rng.uniform(0.2, 0.8), least * 10 ** rng.uniform(-0.5, 1)
        return lambda x: floor + (1 - floor) * ((x + shift) / (least + shift)) ** -alpha
    exponent, width, floor = rng.uniform(0.05, 0.3), rng.uniform(0.1, 0.5), rng.choice([0, 0.2])
    change = max(rng.uniform(0.1, 0.4) * rng.choice([1, -0.5]), -0.8 * exponent)
    place = least * (most / least) ** rng.uniform(0.3, 0.7)

    def bent(x):
        return x**-exponent * (1 + (x / place) ** (1 / width)) ** (-change * width)

    return lambda x: floor + (1 - floor) * bent(x) / bent(least)


def errors(design: str, kind: str, noise: np.ndarray, seed: int) -> dict[str, float]:
    """|log error| at four times the largest size, of every form that can be fitted, of every rule, and of the best."""
    rng = np.random.default_rng([7, seed, len(noise), *(ord(letter) for letter in design + kind)])
    count, decades, seeds = DESIGNS[design]
    sizes = np.logspace(4, 4 + rng.uniform(*decades), count)
    law = true_law(kind, rng, sizes[0], sizes[-1])
    x = np.repeat(sizes, seeds)
    loss = law(x) * np.exp(rng.choice(noise, len(x)) * rng.uniform(0.99, 1.01, len(x)))  # no two runs are equal
    beyond = 4 * sizes[-1:]
    found = {LINE: float(np.exp(np.polyval(np.polyfit(np.log(x), np.log(loss), 1), np.log(beyond)))[0])}
    for form in FORMS:
        try:
            found[form] = float(fit_law(form, x, loss, starts=8).predict(beyond)[0])
        except NotFittable:
            continue
    found = {name: float(abs(np.log(loss / law(beyond)[0]))) for name, loss in found.items()}
    chosen = select(FORMS, {"x": x}, loss)
    best = min(found[form] for form in FORMS if form in found)
    return found | {rule: found[chosen[key]] for rule, key in RULES.items()} | {"best in hindsight": best}


def report(title: str, rows: list[dict[str, float]]) -> None:
    """Median and 90 % quantile in %, of the forms that could be fitted to all of these tables."""
    print(f"\n{title}, {len(rows)} curves: |log error| in %, median, mean and 90 % quantile", flush=True)
    for name in (*FORMS, LINE, *RULES, "best in hindsight"):
        values = [row[name] for row in rows if name in row]
        if len(values) == len(rows):
            middle, far = 100 * np.quantile(values, [0.5, 0.9])
            print(f"  {name:18} {middle:6.2f} {100 * np.mean(values):6.2f} {far:6.2f}")


if __name__ == "__main__":
    curves = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    rows = {}
    for design in DESIGNS:
        for arm in ARMS:
            noise = seed_differences(arm)
            rows[design, arm] = [errors(design, kind, noise, seed) for kind in FORMS for seed in range(curves)]
            report(f"{design}, noise of the {arm} arm", rows[design, arm])
    report("all", [row for found in rows.values() for row in found])
