"""Model the cost of a run as a function of its model size and data, C = k N^p D^q, from the runs of a table."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from chemscale.errors import NotFittable
from chemscale.scaling.fitting.validation import numbers, require_columns, require_positive
from chemscale.scaling.forms.terms import Variables

MAX_CORRELATION = 0.99  # of log N and log D, above which p and q cannot be separated


@dataclass(frozen=True)
class Cost:
    """C = k N^p D^q, in the unit of the column it was fitted to (FLOPs, device seconds)."""

    k: float
    p: float
    q: float
    source: str
    log_rmse: float | None = None  # of the runs around it; 0.1 is about 10 %
    largest_error_percent: float | None = None

    def of(self, n: np.ndarray, d: np.ndarray) -> np.ndarray:
        """Return the cost of runs with N parameters and D data."""
        return np.exp(np.log(self.k) + self.p * np.log(n) + self.q * np.log(d))

    def data(self, n: np.ndarray, compute: float) -> np.ndarray:
        """Return the D that N parameters can see for `compute`."""
        return np.exp((np.log(compute / self.k) - self.p * np.log(n)) / self.q)

    def to_dict(self) -> dict:
        """Return plain content for JSON."""
        return {"formula": "C = k N^p D^q"} | vars(self)

    @classmethod
    def from_dict(cls, content: dict) -> "Cost":
        """Return the cost law that `to_dict` gave."""
        return cls(**{name: value for name, value in content.items() if name != "formula"})


SIX_N_D = Cost(6.0, 1.0, 1.0, "6 N D (Kaplan et al. 2020, arXiv:2001.08361); D in tokens seen")


def cost_law(n: np.ndarray, d: np.ndarray, compute: np.ndarray | None = None) -> Cost:
    """Fit the cost law of runs with N, D and cost, each (points,), by least squares of log C; 6 N D without costs.

    At small sizes exact FLOPs are proportional neither to N (attention, the head) nor to D (epochs, fewest steps); a
    power of each absorbs that up to the residual that is returned with it. Raises ChemscaleError for values that are
    not positive numbers, NotFittable for costs that N and D do not determine or that do not rise with both.
    """
    if compute is None:
        return SIX_N_D
    require_positive({"N": n, "D": d, "compute": compute})
    logs = np.log(np.stack([n, d, compute]).astype(float))  # (3, points)
    spread = logs[:2].std(axis=1)
    if spread.min() == 0 or abs(np.corrcoef(logs[:2])[0, 1]) > MAX_CORRELATION:
        raise NotFittable("the runs lie on one line of log N and log D: the effects of N and D on cost are inseparable")
    design = np.stack([np.ones_like(logs[0]), *logs[:2]], axis=1)  # (points, 3)
    (log_k, p, q), *_ = np.linalg.lstsq(design, logs[2], rcond=None)
    if min(p, q) <= 0:
        raise NotFittable(f"the cost of these runs scales as N^{p:.2g} D^{q:.2g}; it must rise with both N and D")
    off = design @ (log_k, p, q) - logs[2]
    error = float(100 * np.abs(np.expm1(off)).max())
    return Cost(float(np.exp(log_k)), float(p), float(q), "fitted", float(np.sqrt(np.mean(off**2))), error)


def cost_of_table(table: pd.DataFrame, x: Variables, column: str | None) -> Cost:
    """Return the cost law of the runs at `x` {"N", "D"} of a table, by its `column` of costs; 6 N D without one."""
    if column is None:
        return SIX_N_D
    require_columns(table, [column], "a cost law")
    return cost_law(x["N"], x["D"], numbers(table, column))
