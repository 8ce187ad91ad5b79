"""The linear map from a training speed estimate to the final loss, calibrated on the trials that ran to their end.

Final loss = slope·estimate + intercept with a positive slope (Frey et al. 2023). TSE and TSE-E compete for it: TSE
sums from the first step, where high rates lead whatever becomes of them later; TSE-E takes the last epoch alone, where
the noise of high rates hides what a falling rate will make of them. Which is worse differs between families.
"""

import numpy as np
from scipy import stats

CANDIDATES = ("tse", "tse_e")
CONFIDENCE = 0.9  # of the interval of a predicted loss
FEWEST = 3  # points of a line with a residual


def calibrate(trials: list[dict]) -> dict[str, dict]:
    """For each estimate: slope, intercept, residual (standard error) of its map, and Spearman and R² over `trials`.

    All of them are None, with the reason, where the finished trials are too few or their estimates equal.
    """
    done = [trial for trial in trials if trial["status"] == "finished"]
    return {name: _line(*_points(done, name)) for name in (*CANDIDATES, "tse_ema")}


def _points(done: list[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    return np.array([trial[name] for trial in done]), np.array([trial["validation_loss"] for trial in done])


def _line(x: np.ndarray, y: np.ndarray) -> dict:
    names = ("slope", "intercept", "residual", "spearman", "r2")
    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        reason = f"{len(x)} trials ran to the end; a line with its error needs {FEWEST} that differ"
        return {"trials": len(x), **dict.fromkeys(names), "reason": reason}
    slope, intercept = np.polyfit(x, y, 1)
    residual = np.sqrt(np.sum((y - slope * x - intercept) ** 2) / (len(x) - 2))
    numbers = (slope, intercept, residual, stats.spearmanr(x, y).statistic, np.corrcoef(x, y)[0, 1] ** 2)
    return {"trials": len(x), **dict(zip(names, map(float, numbers), strict=True)), "reason": None}


def chosen_estimate(maps: dict[str, dict]) -> str | None:
    """The candidate whose map has the smallest residual among those that rise; None if none does."""
    rising = [name for name in CANDIDATES if maps[name]["slope"] is not None and maps[name]["slope"] > 0]
    return min(rising, key=lambda name: maps[name]["residual"], default=None)


def predict(trials: list[dict], maps: dict[str, dict], name: str | None) -> list[tuple | None]:
    """Final loss with its interval (value, low, high) of each trial by the map of estimate `name`; None without one."""
    if name is None:
        return [None] * len(trials)
    x, _ = _points([trial for trial in trials if trial["status"] == "finished"], name)
    line = maps[name]
    spread = stats.t.ppf((1 + CONFIDENCE) / 2, len(x) - 2) * line["residual"]

    def one(value: float | None) -> tuple | None:
        if value is None:
            return None
        loss = line["slope"] * value + line["intercept"]
        # of a new point on a fitted line: Draper and Smith, Applied Regression Analysis, 3rd ed., eq. 3.1.9
        half = spread * np.sqrt(1 + 1 / len(x) + (value - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2))
        return float(loss), float(loss - half), float(loss + half)

    return [one(trial[name]) for trial in trials]
