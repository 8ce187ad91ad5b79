"""How surely and how fast the fitter finds the optimum: python tests/benchmarks/fitting.py [tables]

Simulated tables of every form of two variables and of curves, at losses of 0.01 to 10, N of 10³ to 10¹², D of 10² to
10¹³, 12 to 240 runs, noise of 0.2 to 5 %, with and without outliers, objectives from least squares to Huber with
δ = 0.001. Each is fitted as `fit_law` does and by 300 other starts; the share of tables is printed where `fit_law` is
not worse than the best of both by more than 1e-6. Then the time of one fit of 240 rows with its diagnostics, of
1,000 bootstraps of 40 runs with 6 checkpoints each, and of a law with intervals and limits of 10,000 rows.
"""

import sys
import time

import numpy as np
import pandas as pd

from chemscale.scaling import fit as fit_table
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.fitting.newton import minimise
from chemscale.scaling.fitting.starts import project, random_starts
from chemscale.scaling.forms.laws import FORMS
from chemscale.scaling.inference.bootstrap import bootstrap

REFERENCE_STARTS = 300


def simulated(form: str, rng: np.random.Generator) -> tuple[dict, np.ndarray]:
    """A table of a form: x and noisy losses."""
    variables = FORMS[form].variables
    points = int(rng.integers(12, 30)) if variables == ("x",) else int(rng.integers(20, 240))
    lowest = {"x": rng.uniform(2, 8), "N": rng.uniform(3, 9), "D": rng.uniform(2, 10)}
    span = rng.uniform(1.5, 3.5)
    x = {name: 10 ** (low + span * rng.uniform(size=points)) for name, low in lowest.items() if name in variables}
    if "U" in variables:
        x["U"] = x["D"] / np.exp(rng.uniform(0, 4, points) * rng.integers(0, 2, points))
    law = FORMS[form]
    scaling = law.scaling(x)
    scale = np.log(10 ** rng.uniform(-2, 1))
    theta = random_starts(law, scaling, x, np.array([[scale]]), 1, rng)
    noise = rng.choice([0.002, 0.01, 0.05]) * (
        rng.standard_t(3, points) if rng.integers(2) else rng.normal(size=points)
    )
    return x, np.exp(law.bind(scaling, x).log_loss(theta)[0] + noise)


def as_good_as_many_starts(form: str, rng: np.random.Generator) -> bool:
    x, loss = simulated(form, rng)
    objective, delta = (("huber", 1e-3), ("huber", 1e-2), ("huber", None), ("least_squares_log", None))[rng.integers(4)]
    fit = fit_law(form, x, loss, delta, objective)
    law, log_y = fit.form.bind(fit.scaling, x), np.log(loss)[None]
    starts = random_starts(fit.form, fit.scaling, x, log_y, REFERENCE_STARTS, rng)
    starts[::2] = project(fit.form, law, log_y, starts[::2])
    reached = minimise(law, log_y, starts, *fit.bounds, fit.objective)[1].min()
    return fit.diagnostics["objective"] <= reached * (1 + 1e-6) + 1e-18


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rng = np.random.default_rng(0)
    found = {form: [as_good_as_many_starts(form, rng) for _ in range(-(-tables // len(FORMS)))] for form in FORMS}
    for form, good in found.items():
        print(f"{form:15} {np.mean(good):6.1%} of {len(good)} tables reach the best of {REFERENCE_STARTS} starts")
    together = np.concatenate(list(found.values()))
    print(f"{'all':15} {together.mean():6.1%} of {len(together)}")

    runs = np.repeat(np.arange(40), 6)
    n, d = 10 ** rng.uniform(5, 9, 40)[runs], 10 ** rng.uniform(7, 11, 240)
    loss = (1.8 + 480 * n**-0.35 + 2000 * d**-0.37) * np.exp(0.01 * rng.normal(size=240))
    x = {"N": n, "D": d}
    print(f"one fit of 240 rows: {min(seconds(lambda: fit_law('joint', x, loss, 1e-3)) for _ in range(5)):.2f} s")
    fit = fit_law("joint", x, loss, 1e-3)
    print(f"1,000 bootstraps of 40 runs: {seconds(lambda: bootstrap(fit, 1000, groups=runs)):.0f} s")
    many = pd.DataFrame({"n": 10 ** rng.uniform(6, 9, 10_000), "d": 10 ** rng.uniform(8, 11, 10_000)})
    mean = 1.69 + 406.4 * many["n"] ** -0.34 + 410.7 * many["d"] ** -0.28
    many["loss"] = mean * np.exp(0.01 * rng.normal(size=10_000))
    for options in ({}, {"delta": 1e-3}, {"objective": "lad"}):
        start = time.process_time()
        fit_table(many, params="n", data="d", draws=1000, **options)
        print(f"10,000 rows, 1,000 draws {options or ''}: {time.process_time() - start:.0f} s of CPU time")
