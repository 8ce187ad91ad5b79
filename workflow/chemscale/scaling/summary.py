"""All that is said about one fit, as plain content for JSON."""

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.criteria import aicc, bic
from chemscale.scaling.fit import Fit
from chemscale.scaling.identifiability import identify
from chemscale.scaling.uncertainty import bootstrap

LINE_POINTS = 40


def finite(value: float) -> float | None:
    """JSON has no infinity: None."""
    return float(value) if np.isfinite(value) else None


def summarise(fit: Fit, confidence: float, draws: int, seed: int, groups: np.ndarray | None = None) -> dict:
    """Parameters, intervals, identifiability, certificate, and for one variable the line to draw with its band.

    Raises ChemscaleError if the table has no run left to judge the noise by.
    """
    boot = bootstrap(fit, draws, seed, groups)
    judged = identify(fit, boot, confidence)
    content = fit.to_dict() | {
        "intervals": {name: list(boot.interval(name, confidence)) for name in fit.parameters},
        "aicc": finite(aicc(fit)),
        "bic": finite(bic(fit)),
        "bootstrap": {"method": boot.method, "draws": draws, "redrawn": boot.redrawn},
        **judged.to_dict(),
    }
    if {"alpha", "beta"} <= set(fit.parameters):
        total = fit.parameters["alpha"] + fit.parameters["beta"]
        content["a"] = fit.parameters["beta"] / total if total > 0 else None
        content["intervals"]["a"] = list(boot.interval("a", confidence))
    if len(fit.x) == 1:
        content["line"] = line(fit, boot, confidence)
        content["local_slopes"] = local_slopes(*fit.x.values(), fit.loss)
    return content


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
