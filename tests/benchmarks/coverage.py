"""Coverage of bootstrap intervals on tables with a known law: `python tests/benchmarks/coverage.py [tables]`.

The design is that of the default study: 5 sizes over 1.7 decades, 2 seeds on the small three, log losses with normal
noise of 0.015. Prints, for each true law, how often the 90 % interval of the exponent, of the law at twice the largest
size and of a new run there held the truth.
"""

import sys

import numpy as np

from chemscale.scaling.fitting import fit_law
from chemscale.scaling.uncertainty import bootstrap

SIZES = np.repeat(np.logspace(3, 4.7, 5), [2, 2, 2, 1, 1])
NOISE = 0.015
LAWS = [("power", alpha, 0.0) for alpha in (0.1, 0.2, 0.3)] + [("power_floor", alpha, 0.5) for alpha in (0.3, 0.6)]


def law(x, alpha, floor):
    """Loss with the share `floor` of irreducible loss at the smallest size."""
    return floor + (1 - floor) * (x / SIZES[0]) ** -alpha


def coverage(form: str, alpha: float, floor: float, tables: int, draws: int = 300) -> tuple[float, float, float]:
    """Share of tables whose 90 % intervals hold the exponent, the law beyond the table, and a new run there."""
    rng = np.random.default_rng(int(1000 * alpha))
    beyond = 2 * SIZES[-1:]
    held = np.zeros(3)
    for table in range(tables):
        fit = fit_law(form, SIZES, law(SIZES, alpha, floor) * np.exp(NOISE * rng.normal(size=len(SIZES))), starts=16)
        boot = bootstrap(fit, draws, seed=table)
        truth = law(beyond, alpha, floor)[0]
        new_run = truth * np.exp(NOISE * rng.normal())
        low, high = boot.interval("exponent", 0.9)
        held[0] += low <= alpha <= high
        for i, (value, runs) in enumerate([(truth, None), (new_run, 1)], start=1):
            low, high = boot.band(beyond, 0.9, runs)
            held[i] += low[0] <= value <= high[0]
    return tuple(held / tables)


if __name__ == "__main__":
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print(f"{tables} tables each; the standard error of a share of 90 % is {100 * (0.09 / tables) ** 0.5:.1f} %")
    print("form          α    floor  exponent  law at 2×  new run at 2×")
    for form, alpha, floor in LAWS:
        shares = coverage(form, alpha, floor, tables)
        print(f"{form:12} {alpha:.1f}  {floor:5.1f}  " + "  ".join(f"{share:8.1%}" for share in shares), flush=True)
