"""The Python interface: fit a law to a DataFrame; `ScalingLaw` (law.py) is what comes back."""

from collections.abc import Mapping

import pandas as pd

from chemscale.scaling.defaults import DEFAULT_CONFIDENCE, DEFAULT_DRAWS, require_level
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.forms.constraints import Range, constrain
from chemscale.scaling.forms.laws import Form
from chemscale.scaling.inference.bootstrap import wider_bootstrap
from chemscale.scaling.inference.identifiability import identify
from chemscale.scaling.law import ScalingLaw
from chemscale.scaling.table import default_form, read_points


def fit(
    table: pd.DataFrame,
    loss: str = "loss",
    params: str | None = None,
    data: str | None = None,
    compute: str | None = None,
    distinct: str | None = None,
    group: str | None = None,
    weights: str | None = None,
    form: str | Form | None = None,
    objective: str = "huber",
    delta: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    draws: int = DEFAULT_DRAWS,
    seed: int = 0,
    where: str | None = None,
    drop_missing: bool = False,
    fix: Mapping[str, float] | None = None,
    tie: Mapping[str, str] | None = None,
    bounds: Mapping[str, Range] | None = None,
) -> ScalingLaw:
    """Fit a law to a table, given the names of its columns.

    One of `params`, `data` and `compute` gives a curve, two of them a surface (C = 6 N D gives the third), `params` and
    `data` with `distinct` (distinct examples among those seen) one with repeats. `form` is one of laws.FORMS, or a
    formula of x, or of N and D, such as "E + A*x**-alpha" (see formula.py); the default is power_floor for a curve, and
    joint or repeated for a surface. `fix`, `tie` and `bounds` hold parameters at a value, equal to another, or within
    limits (see `constrain`). `where` and `drop_missing` choose rows as in `read_points`.
    Tables are drawn by row, and in a second way where `group` names rows that belong together (runs with several
    checkpoints, sizes, seeds) or where there are rows enough; the wider draws count. `objective`, `delta` and the
    column `weights` are those of `fit_law`; `confidence` is the coverage of the intervals, from `draws` draws with the
    random `seed`.
    Raises ChemscaleError for wrong columns, values or names, and NotFittable for a table that cannot support the law.
    """
    of = constrain(form or default_form(params, data, compute, distinct), fix, tie, bounds)
    require_level(confidence, draws)
    points = read_points(table, of, loss, params, data, compute, distinct, group, weights, where, drop_missing)
    fitted = fit_law(of, points.x, points.loss, delta, objective, points.weights)
    boot, narrower = wider_bootstrap(fitted, draws, seed, points.groups)
    identification = identify(fitted, boot, narrower, confidence)
    return ScalingLaw(fitted, boot, narrower, identification, confidence, points.columns)
