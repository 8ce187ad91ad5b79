"""The linear map from a training speed estimate to the final loss, fitted to the trials that ran to their end.

Final loss = slope · estimate + intercept with a positive slope (Frey et al. 2023). TSE and TSE-E compete for it. TSE
sums from the first step, where high learning rates lead whatever becomes of them later. TSE-E takes the last epoch
alone, where the noise of high rates hides what the fall of the rate will gain. Which is worse differs between families.
"""

import numpy as np
from scipy import stats

CANDIDATES = ("tse", "tse_e")  # estimates that may be chosen
CONFIDENCE = 0.9  # coverage of the interval of a predicted loss
MIN_POINTS = 3  # a line through fewer has no residual


def calibrate(trials: list[dict]) -> dict[str, dict]:
    """Return for each estimate the slope, intercept and residual (standard error) of its map, with Spearman's ρ and R².

    All of them are None, with the reason, where too few trials have finished or their estimates are equal.
    """
    done = [trial for trial in trials if trial["status"] == "finished"]
    return {name: _line(*_points(done, name)) for name in (*CANDIDATES, "tse_ema")}


def _points(done: list[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    return np.array([trial[name] for trial in done]), np.array([trial["validation_loss"] for trial in done])


def _line(x: np.ndarray, y: np.ndarray) -> dict:
    names = ("slope", "intercept", "residual", "spearman", "r2")
    if len(x) < MIN_POINTS or np.ptp(x) == 0 or np.ptp(y) == 0:
        reason = f"{len(x)} trials ran to the end; a line with its error needs {MIN_POINTS} that differ"
        return {"trials": len(x), **dict.fromkeys(names), "reason": reason}
    slope, intercept = np.polyfit(x, y, 1)
    residual = np.sqrt(np.sum((y - slope * x - intercept) ** 2) / (len(x) - 2))
    values = (slope, intercept, residual, stats.spearmanr(x, y).statistic, np.corrcoef(x, y)[0, 1] ** 2)
    return {"trials": len(x), **dict(zip(names, map(float, values), strict=True)), "reason": None}


def chosen_estimate(maps: dict[str, dict]) -> str | None:
    """Return the candidate whose map rises and has the smallest residual; None if no map rises."""
    rising = [name for name in CANDIDATES if maps[name]["slope"] is not None and maps[name]["slope"] > 0]
    return min(rising, key=lambda name: maps[name]["residual"], default=None)


def predict(trials: list[dict], maps: dict[str, dict], name: str | None) -> list[tuple[float, float, float] | None]:
    """Return each trial's final loss with its interval (value, low, high) by the map of estimate `name`.

    None for a trial without the estimate, and for all trials if `name` is None. The interval is that of a new point on
    a fitted line: Draper and Smith, Applied Regression Analysis, 3rd ed., eq. 3.1.9.
    """
    if name is None:
        return [None] * len(trials)
    x, _ = _points([trial for trial in trials if trial["status"] == "finished"], name)
    line = maps[name]
    spread = stats.t.ppf((1 + CONFIDENCE) / 2, len(x) - 2) * line["residual"]

    def one(value: float | None) -> tuple[float, float, float] | None:
        if value is None:
            return None
        loss = line["slope"] * value + line["intercept"]
        half = spread * np.sqrt(1 + 1 / len(x) + (value - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2))
        return float(loss), float(loss - half), float(loss + half)

    return [one(trial[name]) for trial in trials]
