"""Coverage of bootstrap intervals on tables with a known law: python tests/benchmarks/coverage.py [tables]

Designs: a curve as in the default study (5 sizes over 1.7 decades, 2 seeds on the small three), a surface (4 sizes × 5
amounts of data), checkpoints (24 runs of 4 rows that share most of their luck), and every objective on larger tables
(a curve of 30 points, a surface of 6 × 6), with noise that is equal at all sizes, or falls from 3 % to 0.5 % with the
weights known or not, with a floor and without. Else noise of log loss is normal, 1.5 % (checkpoints: 1.5 % per run,
0.3 % per row). Prints how often the 90 % interval held the truth.
"""

import sys

import numpy as np

from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.inference.bootstrap import bootstrap, wider_bootstrap

SIZES = np.repeat(np.logspace(3, 4.7, 5), [2, 2, 2, 1, 1])
NOISE = 0.015
LAWS = [("power", alpha, 0.0) for alpha in (0.1, 0.2, 0.3)] + [("power_floor", alpha, 0.5) for alpha in (0.3, 0.6)]
SURFACES = [(0.35, 0.25, 1.0), (0.6, 0.3, 0.5)]  # α, β, E, where the two other terms are 1 at the smallest size


def law(x, alpha, floor):
    """Loss with the share `floor` of irreducible loss at the smallest size."""
    return floor + (1 - floor) * (x / SIZES[0]) ** -alpha


def curve(form: str, alpha: float, floor: float, tables: int, draws: int = 300) -> np.ndarray:
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
    return held / tables


def surface(alpha: float, beta: float, floor: float, tables: int, draws: int = 300) -> dict[str, float]:
    """Share of tables whose 90 % intervals hold α, β, E and a."""
    n, d = (grid.ravel() for grid in np.meshgrid(np.logspace(4, 6, 4), np.logspace(3, 5, 5)))
    truth = {"alpha": alpha, "beta": beta, "E": floor, "a": beta / (alpha + beta)}
    loss = floor + (n / 1e4) ** -alpha + (d / 1e3) ** -beta
    rng = np.random.default_rng(0)
    held = dict.fromkeys(truth, 0)
    for table in range(tables):
        fit = fit_law("joint", {"N": n, "D": d}, loss * np.exp(NOISE * rng.normal(size=20)), starts=16)
        boot = bootstrap(fit, draws, seed=table)
        for name, value in truth.items():
            low, high = boot.interval(name, 0.9)
            held[name] += (low <= value <= high) / tables
    return held


def checkpoints(tables: int, draws: int = 300) -> dict[str, float]:
    """Share of tables whose 90 % intervals of an exponent of 0.2 hold it, by rows and by whole runs."""
    runs = np.repeat(np.arange(24), 4)
    x = np.logspace(3, 5, 24)[runs] * np.tile([0.97, 0.99, 1.01, 1.03], 24)
    rng = np.random.default_rng(0)
    held = {"by row": 0.0, "by run": 0.0}
    for table in range(tables):
        noise = NOISE * rng.normal(size=24)[runs] + 0.003 * rng.normal(size=96)
        fit = fit_law("power", x, x**-0.2 * np.exp(noise), starts=8)
        for way, groups in (("by row", None), ("by run", runs)):
            low, high = bootstrap(fit, draws, table, groups).interval("exponent", 0.9)
            held[way] += (low <= 0.2 <= high) / tables
    return held


OBJECTIVES = {
    "huber": {},
    "huber δ 0.001": {"delta": 1e-3},
    "lad": {"objective": "lad"},
    "least_squares_log": {"objective": "least_squares_log"},
    "least_squares": {"objective": "least_squares"},
}
NOISES = ("equal", "falling", "falling, weighted")


def objectives(form: str, options: dict, noise: str, floor: float, tables: int, draws: int = 200) -> dict[str, float]:
    """Share of tables whose quoted 90 % intervals hold each parameter of a curve or a surface."""
    if form == "joint":
        n, d = (grid.ravel() for grid in np.meshgrid(np.logspace(4, 6, 6), np.logspace(3, 5, 6)))
        x, truth = {"N": n, "D": d}, {"alpha": 0.35, "beta": 0.3, "E": floor}
        mean, size = floor + (n / 1e4) ** -0.35 + (d / 1e3) ** -0.3, d
    else:
        size = np.logspace(3, 6, 30)
        x, truth = {"x": size}, {"exponent": 0.3, "floor": floor}
        mean = floor + (size / 1e3) ** -0.3
    share = np.log(size / size.min()) / np.log(size.max() / size.min())
    spread = NOISE * np.ones_like(size) if noise == "equal" else 0.03 * (0.005 / 0.03) ** share
    weights = spread**-2 if noise.endswith("weighted") else None
    rng = np.random.default_rng(0)
    held = dict.fromkeys(truth, 0.0)
    for table in range(tables):
        fit = fit_law(
            form, x, mean * np.exp(spread * rng.normal(size=len(size))), weights=weights, starts=16, **options
        )
        boot, _ = wider_bootstrap(fit, draws, table)
        for name, value in truth.items():
            low, high = boot.interval(name, 0.9)
            held[name] += (low <= value <= high) / tables
    return held


def shown(shares: dict[str, float]) -> str:
    return "  ".join(f"{name} {share:.1%}" for name, share in shares.items())


if __name__ == "__main__":
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print(f"{tables} tables each; the standard error of a share of 90 % is {100 * (0.09 / tables) ** 0.5:.1f} %")
    print("form          α    floor  exponent  law at 2×  new run at 2×")
    for form, alpha, floor in LAWS:
        shares = curve(form, alpha, floor, tables)
        print(f"{form:12} {alpha:.1f}  {floor:5.1f}  " + "  ".join(f"{share:8.1%}" for share in shares), flush=True)
    for alpha, beta, floor in SURFACES:
        print(f"joint α {alpha} β {beta} E {floor}: {shown(surface(alpha, beta, floor, tables))}", flush=True)
    print(f"checkpoints: {shown(checkpoints(tables))}")
    for form in ("power_floor", "joint"):
        for floor in (0.5, 0.0):
            for noise in NOISES:
                for name, options in OBJECTIVES.items():
                    held = objectives(form, options, noise, floor, tables)
                    print(f"{form:12} floor {floor:3}  {noise:17}  {name:17}  {shown(held)}", flush=True)
