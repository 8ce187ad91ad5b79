"""All that is said about one fit, as plain content for JSON."""

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.criteria import aicc, bic
from chemscale.scaling.fitting import Fit
from chemscale.scaling.identifiability import Identification, wider_interval
from chemscale.scaling.uncertainty import Bootstrap

LINE_POINTS = 40


def finite(value: float) -> float | None:
    """JSON has no infinity: None."""
    return float(value) if np.isfinite(value) else None


def summarise(
    fit: Fit,
    boot: Bootstrap,
    by_group: Bootstrap | None,
    identification: Identification,
    confidence: float,
) -> dict:
    """Parameters, intervals by row and by group, identifiability, certificate, and for a curve its line with a band.

    `intervals` are those that count, the wider of both ways; the ratio of their widths is beside them.
    """
    names = [*fit.parameters, *(["a"] if {"alpha", "beta"} <= set(fit.parameters) else [])]
    content = fit.to_dict() | {
        "intervals": {name: list(wider_interval(name, boot, by_group, confidence)) for name in names},
        "aicc": finite(aicc(fit)),
        "bic": finite(bic(fit)),
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
        total = fit.parameters["alpha"] + fit.parameters["beta"]
        content["a"] = fit.parameters["beta"] / total if total > 0 else None
    if len(fit.x) == 1:
        content["line"] = line(fit, boot, confidence)
        content["local_slopes"] = local_slopes(*fit.x.values(), fit.loss)
    return content


def _ratio(wide: tuple[float, float], narrow: tuple[float, float]) -> float | None:
    return float(np.ptp(wide) / np.ptp(narrow)) if np.ptp(narrow) > 0 else None


def line(fit: Fit, boot, confidence: float) -> dict:
    """The law over the range of its points, with the band that holds the law (not single runs)."""
    ((name, values),) = fit.x.items()
    grid = np.geomspace(values.min(), values.max(), LINE_POINTS)
    low, high = boot.band({name: grid}, confidence)
    return {
        "x": grid.tolist(),
        "loss": fit.predict({name: grid}).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
    }


def local_slopes(x: np.ndarray, loss: np.ndarray) -> list[dict]:
    """−Δ log(mean loss) / Δ log x between neighbouring sizes: the exponent, were there only these two."""
    sizes = np.unique(x)
    means = np.array([np.exp(np.log(loss[x == size]).mean()) for size in sizes])
    slopes = -np.diff(np.log(means)) / np.diff(np.log(sizes))
    return [
        {"from": float(a), "to": float(b), "slope": float(slope)}
        for a, b, slope in zip(sizes[:-1], sizes[1:], slopes, strict=True)
    ]


def prefer(entries: list[dict]) -> None:
    """Mark the form with the lowest AICc as `preferred`; the simpler one on a tie, or where no criterion is finite."""
    if not entries:
        raise ChemscaleError("there is no fit to choose from")
    best = min(range(len(entries)), key=lambda i: (np.inf if entries[i]["aicc"] is None else entries[i]["aicc"], i))
    for i, entry in enumerate(entries):
        entry["preferred"] = i == best
