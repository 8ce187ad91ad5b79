"""The content of the JSON file of one fit."""

import numpy as np

from chemscale.files import finite
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.inference.bootstrap import Bootstrap
from chemscale.scaling.inference.identifiability import Identification, wider_interval

LINE_POINTS = 40


def summarise(
    fit: Fit,
    boot: Bootstrap,
    by_group: Bootstrap | None,
    identification: Identification,
    confidence: float,
) -> dict:
    """Return parameters, intervals, identifiability, diagnostics, and for a curve its line with a band.

    `intervals` are the wider ones of those by row and by group; the ratio of their widths is given as well.
    """
    names = fit.form.quantities
    content = fit.to_dict() | {
        "intervals": {name: list(wider_interval(name, boot, by_group, confidence)) for name in names},
        "aicc": finite(fit.aicc()),
        "bic": finite(fit.bic()),
        "bootstrap": {"method": boot.method, "draws": len(boot.theta), "redrawn": boot.redrawn},
        **identification.to_dict(),
    }
    if by_group:
        ratios = {name: _ratio(by_group.interval(name, confidence), boot.interval(name, confidence)) for name in names}
        content["by_group"] = {
            "method": by_group.method,
            "redrawn": by_group.redrawn,
            "width_over_that_by_row": ratios,
        }
    if "a" in names:
        content["a"] = float(fit.quantity("a", fit.theta))
    if len(fit.x) == 1:
        content["line"] = line(fit, boot, confidence)
    return content


def _ratio(wide: tuple[float, float], narrow: tuple[float, float]) -> float | None:
    return float(np.ptp(wide) / np.ptp(narrow)) if np.ptp(narrow) > 0 else None


def line(fit: Fit, boot: Bootstrap, confidence: float) -> dict:
    """Return the law over the range of its points, with the band of the law (not of single runs)."""
    ((name, values),) = fit.x.items()
    grid = np.geomspace(values.min(), values.max(), LINE_POINTS)
    low, high = boot.band({name: grid}, confidence)
    return {
        "x": grid.tolist(),
        "loss": fit.predict({name: grid}).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
    }


def mark_preferred(entries: list[dict], form: str) -> None:
    """Mark the entry of this form as `preferred`, or the first entry if none has this form."""
    forms = [entry["form"] for entry in entries]
    for entry in entries:
        entry["preferred"] = entry["form"] == (form if form in forms else forms[0])
