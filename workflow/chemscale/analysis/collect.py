"""From the records of many cells to the runs table, the training curves, and the list of what is missing."""

import logging
import math
from pathlib import Path

import pandas as pd

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, read_json
from chemscale.tuning.learning_rate_rule import lr_from_rule

LOG = logging.getLogger(__name__)

NESTED = ("versions", "probe")  # entries of a record that are no column
LINE = ("slope", "intercept", "residual", "spearman", "r2")  # of a sweep's map that are columns


def collect(results: Path, names: list[str], out: Path) -> pd.DataFrame:
    """Write the tables of the study in `results` to `out`; return the runs table, one row a cell.

    runs.parquet and runs.csv (one row a cell, with the quality of what it generated or simulated,
    and its errors on other datasets), histories.parquet
    (one row a point of a training curve) and sweeps.parquet (one row a trial of a learning rate, with what its family's
    rule says for that width). A cell of `names` without a record gets a row with status "missing"; failed cells keep
    theirs with the reason.
    """
    rows, histories = [], []
    for name in names:
        record = results / "runs" / name / "metrics.json"
        arm, family, size, data, seed = name.split("/")
        row = {"cell": name, "arm": arm, "family": family, "size": size, "data": int(data), "seed": int(seed[4:])}
        if not record.exists():
            LOG.warning(f"{name}: no record, listed as missing")
            rows.append(row | {"status": "missing", "reason": "no record"})
            continue
        metrics = read_json(record)
        row |= {key: value for key, value in metrics.items() if key not in NESTED}
        for what in ("quality", "dynamics", "errors"):
            row |= _use(record, what, metrics)
        rows.append(row)
        histories.append(pd.read_parquet(record.with_name("history.parquet")).assign(cell=name))
    table = pd.DataFrame(rows)
    if not histories:
        raise ChemscaleError(f"{results}: none of the {len(names)} cells has a record; train some first")
    curves = pd.concat(histories, ignore_index=True)
    trials = sweeps(results)
    table["rate_at_edge"] = at_edge(table, trials)
    for frame, file in ((table, "runs.parquet"), (curves, "histories.parquet"), (trials, "sweeps.parquet")):
        with atomic(out / file) as path:
            frame.to_parquet(path, index=False)
    with atomic(out / "runs.csv") as path:
        table.to_csv(path, index=False)
    counts = table["status"].value_counts()
    LOG.info(f"{out}: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    return table


def _use(record: Path, what: str, metrics: dict) -> dict:
    """How good a run's molecules ("quality") or simulations ("dynamics") are, or its "errors" on other datasets.

    Nothing if of another model.
    """
    path = record.with_name(f"{what}.json")
    if not path.exists():
        return {}
    content = read_json(path)
    return content[what] if content["fingerprint"] == metrics["fingerprint"] else {}


def at_edge(table: pd.DataFrame, trials: pd.DataFrame) -> list[bool]:
    """Whether better learning rates may lie where the sweep of a cell's family did not look.

    That is so where the sweep's best rate for the cell's own width and batch lies at its edge, and where the rule has
    carried the rate beyond all rates swept, by more than half a step of the sweep.
    """
    flags = []
    for cell in table.to_dict("records"):
        swept = trials[(trials["arm"] == cell["arm"]) & (trials["family"] == cell["family"])]
        rate = cell.get("learning_rate")
        if swept.empty or rate is None or math.isnan(rate):
            flags.append(False)
            continue
        logs = sorted({math.log(value) for value in swept["learning_rate"]})
        half = (logs[-1] - logs[0]) / (len(logs) - 1) / 2
        beyond = not logs[0] - half <= math.log(rate) <= logs[-1] + half
        own = (swept["width"] == cell.get("width")) & swept["own_batch"]
        flags.append(beyond or bool(swept.loc[own, "edge"].any()))
    return flags


def sweeps(results: Path) -> pd.DataFrame:
    """Trials of all sweeps of learning rates in `results`, one row each, with what their family's sweep says.

    `slope`, `intercept`, `spearman` and `r2` are those of the map from the chosen `estimate` to final losses.
    """
    rows = []
    for path in sorted(results.glob("tuning/*/*.json")):
        sweep = read_json(path)
        best = {(entry["width"], entry["batch_tokens"]): entry for entry in sweep["best"]}
        line = sweep["maps"].get(sweep["estimate"], {})
        for trial in sweep["trials"]:
            width, batch = trial["width"], trial["batch_tokens"]
            rows.append({
                "arm": path.parent.name,
                "family": sweep["family"],
                **trial,
                "own_batch": batch == sweep["batch_tokens"],
                "best_learning_rate": best[width, batch]["learning_rate"],
                "edge": best[width, batch]["edge"],
                "rule_learning_rate": lr_from_rule(sweep["rule"], width, batch),
                "estimate": sweep["estimate"],
                **{name: line.get(name) for name in LINE},
                "flops_share_saved": sweep["compute"]["flops_share_saved"],
            })  # fmt: skip
    columns = ["arm", "family", "width", "batch_tokens", "own_batch", "learning_rate", "status", "tse", "tse_e"]
    columns += ["validation_loss", "expected_loss", "predicted_loss", "predicted_low", "predicted_high"]
    columns += ["best_learning_rate", "edge", "rule_learning_rate", "estimate", *LINE, "flops_share_saved"]
    return pd.DataFrame(rows, columns=columns)
