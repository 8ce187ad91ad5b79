"""Which rule forecasts best on a mixture of laws? `python tests/benchmarks/selection.py [tables a law and noise]`.

Simulated curves with a known law: power, with floor, shifted with floor, broken; log losses with normal noise of 0.003,
0.01 and 0.02. Two designs: that of the default study (5 sizes over 1.7 to 2 decades, 2 seeds on the small three) and a
longer one (8 sizes over 3 decades, 2 seeds on the small four). Prints the median of |log error| of the law at four
times the largest size: of every form for itself, and of the forms that AICc, BIC and held-out extrapolation choose.
"""

import sys

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.fitting.objectives import SMOOTH_DELTA
from chemscale.scaling.selection.selection import select

FORMS = ("power", "power_floor", "shifted_floor", "broken")
NOISES = (0.003, 0.01, 0.02)
RULES = {"AICc": "aicc_choice", "BIC": "bic_choice", "extrapolation": "chosen"}
DESIGNS = {"5 sizes": (5, (1.7, 2.0), [2, 2, 2, 1, 1]), "8 sizes": (8, (3.0, 3.0), [2, 2, 2, 2, 1, 1, 1, 1])}


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


def errors(design: str, kind: str, noise: float, seed: int) -> dict[str, float]:
    """|log error| at four times the largest size, of every form that can be fitted, of every rule, and of the best."""
    rng = np.random.default_rng([seed, *(ord(letter) for letter in design + kind)])
    count, decades, seeds = DESIGNS[design]
    sizes = np.logspace(4, 4 + rng.uniform(*decades), count)
    law = true_law(kind, rng, sizes[0], sizes[-1])
    x = np.repeat(sizes, seeds)
    loss = law(x) * np.exp(noise * rng.standard_normal(len(x)))
    chosen = select(FORMS, {"x": x}, loss, delta=SMOOTH_DELTA)  # least squares, as the noise is normal
    beyond = 4 * sizes[-1:]
    found = {}
    for form in FORMS:
        try:
            fit = fit_law(form, x, loss, delta=SMOOTH_DELTA, starts=8)
        except ChemscaleError:
            continue
        found[form] = float(abs(np.log(fit.predict(beyond) / law(beyond)))[0])
    best = min(found.values())
    return found | {rule: found[chosen[key]] for rule, key in RULES.items()} | {"best in hindsight": best}


def report(title: str, rows: list[dict[str, float]]) -> None:
    """Median and 90 % quantile in %, of the forms that could be fitted to all of these tables."""
    print(f"\n{title}, {len(rows)} tables: |log error| in %, median and 90 % quantile")
    for name in (*FORMS, *RULES, "best in hindsight"):
        values = [row[name] for row in rows if name in row]
        if len(values) == len(rows):
            middle, far = 100 * np.quantile(values, [0.5, 0.9])
            print(f"  {name:18} {middle:6.2f} {far:6.2f}")


if __name__ == "__main__":
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    rows = {}
    for design in DESIGNS:
        for noise in NOISES:
            rows[design, noise] = [errors(design, kind, noise, seed) for kind in FORMS for seed in range(tables)]
            report(f"{design}, noise {noise}", rows[design, noise])
        report(design, [row for (of, _), found in rows.items() if of == design for row in found])
    report("all", [row for found in rows.values() for row in found])
