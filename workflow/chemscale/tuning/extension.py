"""Rates beyond the ends of a sweep: a best rate at the edge says only that a better one may lie beyond."""

import math

from chemscale.tuning.elimination import groups_of
from chemscale.tuning.learning_rate_rule import best_learning_rate

MAX_BEYOND = 3  # rates of a trial group that are not in the list
MIN_RATIO = 1.2  # between neighbouring rates, below which a finer one tells nothing


def beyond_the_edges(trials: list[dict], rates: list[float]) -> list[dict]:
    """Return a waiting trial for every trial group whose best rate is the lowest or the highest that did not diverge.

    Its rate continues the list `rates` (rising) by the ratio of the last two; where that one has diverged, it halves
    the step in the logarithm. There are at most `MAX_BEYOND` per group. `trials` hold their expected losses.
    """
    added = []
    for group in groups_of(trials):
        if all(trial["expected_loss"] is None for trial in group) or not best_learning_rate(group)["edge"]:
            continue
        finite = [trial for trial in group if trial["expected_loss"] is not None]
        best = min(finite, key=lambda trial: trial["expected_loss"])["learning_rate"]
        upwards = best == max(trial["learning_rate"] for trial in finite)
        ratio = rates[-1] / rates[-2] if upwards else rates[0] / rates[1]
        rate = best * ratio
        known = [trial["learning_rate"] for trial in group]
        beyond = [known_rate for known_rate in known if (known_rate > best) == upwards and known_rate != best]
        if beyond:  # they have diverged
            rate = math.sqrt(best * (min(beyond) if upwards else max(beyond)))
        tried = sum(known_rate not in rates for known_rate in known)
        if tried < MAX_BEYOND and max(rate / best, best / rate) >= MIN_RATIO:
            names = {name: group[0][name] for name in ("width", "batch_tokens")}
            added.append({**names, "learning_rate": rate, "status": "waiting"})
    return added
