"""Do planned cells narrow an interval more than other runs of equal cost? python tests/benchmarks/planner.py [tables]

Tables of 3 sizes × 5 amounts of data (one run each, a small study) are drawn from a known law with normal noise of log
loss. To each come the runs of the planner, or one run at the compute optimum, or seeds of the cells there are, at the
cost of the whole table or of 0.3 of it; then the law is fitted anew. Prints for each number and way: the median width
of the 90 % interval over that before, the ratio the planner expected, the root mean square error against the truth,
how often the interval held the truth, and the mean number of runs.
"""

import sys

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.allocation.cost import SIX_N_D
from chemscale.scaling.allocation.planner import candidate_grid, plan
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.inference.bootstrap import Bootstrap, bootstrap

N, D = (grid.ravel() for grid in np.meshgrid(np.logspace(4, 5.5, 3), np.logspace(2.5, 4.5, 5)))
TARGET = {"N": 1e6, "D": 1e5}
LAWS = [  # α, β, floor, the other two terms being 1 at the smallest size; noise; budget over the table's cost
    (0.35, 0.30, 1.0, 0.015, 1.0),
    (0.35, 0.30, 1.0, 0.015, 0.3),
    (0.60, 0.40, 0.5, 0.015, 1.0),
]
WAYS = ("plan", "run at the optimum", "repeat what is there")
DRAWS = 200


def law(n, d, alpha, beta, floor):
    return floor + (n / N.min()) ** -alpha + (d / D.min()) ** -beta


def refit(n, d, loss, seed: int) -> Bootstrap:
    return bootstrap(fit_law("joint", {"N": n, "D": d}, loss, starts=16), DRAWS, seed)


def ends(boot: Bootstrap, of) -> tuple[float, float, float]:
    """Interval and value of the number."""
    if isinstance(of, dict):
        low, high = (float(end[0]) for end in boot.band(of, 0.9))
        return low, high, float(boot.fit.predict(of)[0])
    values = boot.fit.parameters
    value = values["beta"] / (values["alpha"] + values["beta"]) if of == "a" else values[of]
    return *boot.interval(of, 0.9), value


def measure(truth: tuple, of, tables: int) -> dict[str, np.ndarray]:
    """For each way (tables, 5): width over that before, expected ratio, error, whether the truth is held, runs."""
    *shape, noise, share = truth
    true = (
        law(TARGET["N"], TARGET["D"], *shape) if isinstance(of, dict) else {"a": shape[1] / (shape[0] + shape[1])}[of]
    )
    budget = share * SIX_N_D.of(N, D).sum()
    rows: dict[str, list] = {way: [] for way in ("nothing", *WAYS)}
    for table in range(tables):
        rng = np.random.default_rng([table, 7])
        loss = law(N, D, *shape) * np.exp(noise * rng.normal(size=len(N)))
        before = refit(N, D, loss, table)
        low, high, value = ends(before, of)
        width = high - low
        rows["nothing"].append((1.0, 1.0, value - true, low <= true <= high, 0))
        planned = plan(before, candidate_grid(N, D), SIX_N_D, budget, of=of)
        for way, entry in {"plan": planned, **planned["alternatives"]}.items():
            if "refused" in entry:
                continue
            cells = [(cell["N"], cell["D"]) for cell in entry["cells"] for _ in range(cell["repeats"])]
            n, d = np.array(cells).T
            more = law(n, d, *shape) * np.exp(noise * rng.normal(size=len(n)))
            try:
                after = refit(np.append(N, n), np.append(D, d), np.append(loss, more), table)
            except ChemscaleError as error:
                print(f"table {table}, {way}: {error}")
                continue
            low, high, value = ends(after, of)
            rows[way].append(((high - low) / width, entry["width_ratio"], value - true, low <= true <= high, len(n)))
    return {way: np.array(values, dtype=float) for way, values in rows.items()}


if __name__ == "__main__":
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    print(f"{tables} tables each, {DRAWS} draws")
    for truth in LAWS:
        for of in ("a", TARGET):
            print("\nα {} β {} floor {}, noise {}, budget {} × the table, ".format(*truth) + f"number: {of}")
            print("way                    tables  width  expected  rms error  held  runs")
            for way, values in measure(truth, of, tables).items():
                width, expected = np.median(values[:, :2], axis=0)
                error = np.sqrt(np.mean(values[:, 2] ** 2))
                held, runs = values[:, 3:].mean(axis=0)
                print(
                    f"{way:22} {len(values):6} {width:6.2f} {expected:9.2f} {error:10.4f} {held:5.0%} {runs:5.1f}",
                    flush=True,
                )
