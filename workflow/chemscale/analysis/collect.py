"""Collect the records of many cells in the runs table, the training curves, and the trials of the sweeps."""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from chemscale.analysis.datasets import dataset_table
from chemscale.errors import ChemscaleError
from chemscale.files import atomic, read_json
from chemscale.tuning.learning_rate_rule import lr_from_rule

LOG = logging.getLogger(__name__)

NESTED = ("versions", "probe")  # entries of a record that are not columns
LINE = ("slope", "intercept", "residual", "spearman", "r2")  # columns from the map of a sweep
USES = ("quality", "dynamics", "errors")  # files beside a record that add columns


def collect(
    results: Path, names: list[str], out: Path, sweeps: Iterable[Path] = (), datasets: Iterable[Path] = ()
) -> pd.DataFrame:
    """Write the tables of the study in `results` to `out`; return the runs table, one row per cell.

    * runs.parquet, runs.csv: one row per cell, with the quality of what it generated or simulated and its errors on
      other datasets (docs/reference/runs-table.md describes the columns)
    * histories.parquet: one row per point of a training curve
    * sweeps.parquet: one row per trial of a learning rate of `sweeps`, the files that `tune` wrote (see `trials_of`)
    * datasets.csv: one row per dataset, from the headers `datasets` of their stores

    A cell of `names` without a record gets a row with status "missing"; failed cells keep theirs with the reason.
    Raises ChemscaleError if no cell has a record.
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
        for what in USES:
            row |= _use(record, what, metrics)
        rows.append(row)
        history = pq.read_table(record.with_name("history.parquet"), use_threads=False)
        histories.append(history.append_column("cell", pa.repeat(name, len(history))))
    table = pd.DataFrame(rows)
    if not histories:
        raise ChemscaleError(f"{results}: none of the {len(names)} cells has a record; train some cells first")
    curves = pa.concat_tables(histories, promote_options="permissive").to_pandas(ignore_metadata=True)
    trials = trials_of(sweeps)
    table["rate_at_edge"] = at_edge(table, trials)
    for frame, file in ((table, "runs.parquet"), (curves, "histories.parquet"), (trials, "sweeps.parquet")):
        with atomic(out / file) as path:
            frame.to_parquet(path, index=False)
    described = dataset_table(read_json(header) for header in datasets)
    for frame, file in ((table, "runs.csv"), (described, "datasets.csv")):
        with atomic(out / file) as path:
            frame.to_csv(path, index=False)
    counts = table["status"].value_counts()
    LOG.info(f"{out}: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    return table


def _use(record: Path, what: str, metrics: dict) -> dict:
    """Return the columns of `what`, one of USES; none if the file is missing or belongs to another model."""
    path = record.with_name(f"{what}.json")
    if not path.exists():
        return {}
    content = read_json(path)
    return content[what] if content["fingerprint"] == metrics["fingerprint"] else {}


def at_edge(table: pd.DataFrame, trials: pd.DataFrame) -> pd.Series:
    """Return whether better learning rates may lie beyond the sweep of a cell's family, (cells,) bool.

    So they may where the sweep's best rate for the cell's own width and batch lies at its edge, and where the rule has
    extrapolated the rate beyond all rates swept, by more than half a step of the sweep.
    """
    flags = pd.Series(False, index=table.index)
    if not {"learning_rate", "width"} <= set(table):
        return flags
    for (arm, family), swept in trials.groupby(["arm", "family"]):
        cells = table[(table["arm"] == arm) & (table["family"] == family) & table["learning_rate"].notna()]
        swept_rates = np.unique(np.log(swept["learning_rate"]))
        half_step = np.ptp(swept_rates) / max(len(swept_rates) - 1, 1) / 2
        inside = np.log(cells["learning_rate"]).between(swept_rates[0] - half_step, swept_rates[-1] + half_step)
        edge_widths = swept.loc[swept["own_batch"] & swept["edge"], "width"]
        flags[cells.index] = ~inside | cells["width"].isin(edge_widths)
    return flags


def trials_of(sweeps: Iterable[Path]) -> pd.DataFrame:
    """Return the trials of all learning-rate `sweeps`, one row each, with the findings of their sweep.

    `slope`, `intercept`, `spearman` and `r2` belong to the map from the chosen `estimate` to final losses.
    """
    rows = []
    for path in sorted(sweeps):
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
