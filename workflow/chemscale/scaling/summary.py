"""The content of the JSON file of one fit."""

import numpy as np

from chemscale.files import finite
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.inference.bootstrap import Bootstrap, width_ratios
from chemscale.scaling.inference.identifiability import Identification

LINE_POINTS = 40


def summarise(
    fit: Fit,
    boot: Bootstrap,
    narrower: Bootstrap | None,
    identification: Identification,
    confidence: float,
) -> dict:
    """Return parameters, intervals, identifiability, diagnostics, and for a curve its line with a band.

    All intervals come from the draws `boot`; `second_bootstrap` says how those of the `narrower` draws compare.
    """
    names = fit.form.quantities
    content = fit.to_dict() | {
        "intervals": {name: list(boot.interval(name, confidence)) for name in names},
        "aicc": finite(fit.aicc()),
        "bic": finite(fit.bic()),
        "criteria": {"objective": fit.objective.kind, "delta": finite(fit.delta)},
        "confidence": confidence,
        "bootstrap": {"method": boot.method, "draws": len(boot.theta), "redrawn": boot.redrawn},
        **identification.to_dict(),
    }
    if narrower:
        content["second_bootstrap"] = {
            "method": narrower.method,
            "redrawn": narrower.redrawn,
            "width_over_quoted": width_ratios(narrower, boot, confidence),
        }
    if "a" in names:
        content["a"] = float(fit.quantity("a", fit.theta))
    if len(fit.x) == 1:
        content["line"] = line(fit, boot, confidence)
    return content


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
