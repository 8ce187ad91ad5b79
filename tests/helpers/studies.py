"""Small tables of runs and fits with known numbers, as a study leaves them, for the tests of figures and tables."""

import pandas as pd

DATA = (20, 60, 180)
SIZES = {"schnet": {"d2-w16": 2_000, "d2-w8": 500}, "painn": {"d2-w8": 900}, "chemgpt-slim": {"w8": 700, "w16": 3_000}}


def runs(arm: str) -> pd.DataFrame:
    """Return a table of an arm: every size of its families at three amounts of data, two seeds at the smallest.

    A failed run follows, which no figure shows.
    """
    loss = {"language": "test_loss", "potential": "test_force_mae"}[arm]
    rows = []
    for family, sizes in SIZES.items():
        if (family == "chemgpt-slim") != (arm == "language"):
            continue
        for size, parameters in sizes.items():
            for data in DATA:
                for seed in range(2 if data == DATA[0] else 1):
                    row = {"arm": arm, "family": family, "size": size, "data": data, "seed": seed}
                    row |= {"cell": f"{arm}/{family}/{size}/{data}/seed{seed}", "status": "finished"}
                    row |= {"parameters": parameters, "flops": 1e3 * parameters * data, "best_step": 20}
                    row |= {loss: (1 + 0.1 * seed) * (parameters * data) ** -0.25, "unigram_entropy": 2.5}
                    rows.append(row)
    return pd.DataFrame([*rows, rows[0] | {"cell": "failed", "status": "failed", "data": 999, loss: None}])


def law(family: str, along: str, at: dict, **changes) -> dict:
    """Return a fitted power law with an exponent of 0.25."""
    line = {"x": [20, 180], "loss": [0.4, 0.2], "low": [0.3, 0.1], "high": [0.5, 0.3]}
    return {
        "family": family,
        "along": along,
        "at": at,
        "form": "power",
        "preferred": True,
        "identified": True,
        "statement": "a power law",
        "parameters": {"exponent": 0.25, "coefficient": 1.0},
        "intervals": {"exponent": [0.2, 0.3]},
        "line": line,
    } | changes


def fits(arm: str, **changes) -> dict:
    """Return the fits of an arm of which nothing but `changes` could be fitted."""
    empty = ("forms", "curves", "judgements", "joint", "forecasts", "frontiers", "allocations", "next", "comparisons")
    return {"arm": arm} | {name: [] for name in empty} | changes


def judgement(family: str, size: str) -> dict:
    """Return the judgement on a curve along data: the exponent 0.25, moved by two analysis choices."""
    rows = [
        {"convention": "loss", "choice": "test_force_mae", "exponent": 0.25, "change": 0.0},
        {"convention": "loss", "choice": "last evaluation", "exponent": 0.35, "change": 0.1},
        {"convention": "data counted as", "choice": "train_atoms", "exponent": 0.22, "change": -0.03},
    ]
    found = {"exponent": 0.25, "interval": [0.2, 0.3], "rows": rows, "statement": "Choices move it."}
    selection = {"chosen": "power", "chosen_by": "extrapolation", "aicc_choice": "power_floor", "bic_choice": "power"}
    selection["rule_error"] = {"extrapolation": 2.264, "aicc": None}
    judged = {"family": family, "along": "data", "at": {"size": size}, "sensitivity": found, "selection": selection}
    return judged | {"regime": {"reason": "too few sizes"}}


def comparison(matched: str) -> dict:
    """Return the comparison of PaiNN with SchNet at matched parameters or FLOPs, without a common loss."""
    sides = [law(family, "data", {}, observed=[[20, 0.4], [180, 0.2]]) for family in ("painn", "schnet")]
    held = {"family": "schnet", "size": "d2-w16"}
    compared = {"names": ["painn", "schnet"], "matched": matched, "at": held, "sides": sides, "form": "power"}
    return compared | {"factors": {"at": []}, "statement": "no difference"}


def sweeps(batches: tuple = (None,), mapped: bool = True) -> pd.DataFrame:
    """Return the sweep of SchNet at two widths and four rates, of which the lowest was stopped.

    The first of `batches` is that of the study. The best rate of width 8 lies at the edge.
    """
    rows = []
    for width in (8, 32):
        for batch in batches:
            for rate in (0.01, 0.02, 0.04, 0.08):
                stopped = rate == 0.01
                row = {"arm": "potential", "family": "schnet", "width": width, "learning_rate": rate}
                row |= {"status": "stopped" if stopped else "finished", "expected_loss": 1 / (width * rate)}
                row |= {"predicted_loss": 1.0, "predicted_low": 0.5, "predicted_high": 2.0, "tse": 1 / rate}
                row |= {"tse_e": 2 / rate, "estimate": "tse_e" if mapped else None, "slope": 0.5, "intercept": 0.1}
                row |= {"spearman": 0.8, "flops_share_saved": 0.35, "batch_tokens": batch}
                row |= {"own_batch": batch == batches[0], "edge": width == 8, "best_learning_rate": 0.64 / width}
                rows.append(row | {"rule_learning_rate": 0.6 / width})
    return pd.DataFrame(rows)
