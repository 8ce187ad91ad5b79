"""What stopping trials early saves and costs: python tests/benchmarks/tpe.py [results/data] [seeds]

For each family of the default study, at its settings of `tune`: the full sweep, every trial in one piece to its end,
against the eliminating one. Printed: Spearman and R² between estimate and final loss over all trials; FLOPs and CPU
seconds saved; by how much the best trial of the eliminating sweep, and models trained at the rates its rule gives,
exceed the best final loss of the full sweep at the same width, beside the same for the full sweep's own rule.
"""

import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import pandas as pd
import yaml

from chemscale import study
from chemscale.config.cell_settings import SweepSettings
from chemscale.config.complete import complete
from chemscale.processes import one_thread
from chemscale.tuning.calibration import CANDIDATES, calibrate
from chemscale.tuning.elimination import with_predictions
from chemscale.tuning.learning_rate_rule import fit_lr_rule, lr_from_rule
from chemscale.tuning.sweep import run_trial, tune

ROOT = Path(__file__).parents[2]


def whole_trial(settings: SweepSettings, width: int, rate: float) -> dict:
    """A trial from its start to its end in one piece, and its CPU seconds."""
    start = time.process_time()
    trial = {"width": width, "batch_tokens": settings.training.batch_tokens, "learning_rate": rate, "status": "stopped"}
    with tempfile.TemporaryDirectory() as state:
        trial |= run_trial(settings, trial, Path(state))
    return trial | {"cpu": time.process_time() - start}


def compare(settings: SweepSettings) -> dict:
    """One row of the table: both sweeps of a family."""
    plan = settings.tune
    whole_trial(settings, plan.widths[0], plan.learning_rates[0])  # imports and first calls are nobody's
    full = [whole_trial(settings, *pair) for pair in product(plan.widths, plan.learning_rates)]
    start = time.process_time()
    with tempfile.TemporaryDirectory() as directory:
        sweep = tune(settings, Path(directory) / "rates.json")
    cpu = time.process_time() - start
    # the estimates of the eliminating sweep with the final losses of the full one
    known = [few | {"status": all_["status"], "validation_loss": all_["validation_loss"]}
             for few, all_ in zip(sweep["trials"], full, strict=True)]  # fmt: skip
    for few, all_ in zip(sweep["trials"], full, strict=True):
        assert few["status"] != "finished" or few["validation_loss"] == all_["validation_loss"], "bits differ"
    over_all = calibrate([trial for trial in known if trial["tse"] is not None])
    row = {"family": settings.family, "seed": settings.seed, "estimate": sweep["estimate"]}
    for name in CANDIDATES:
        row |= {f"rho {name}": over_all[name]["spearman"], f"R2 {name}": over_all[name]["r2"]}
    row |= {
        "finished": f"{sum(trial['status'] == 'finished' for trial in sweep['trials'])}/{len(full)}",
        "flops saved": 1 - sweep["compute"]["flops"] / sum(trial["flops"] for trial in full),
        "cpu saved": 1 - cpu / sum(trial["cpu"] for trial in full),
    }
    stopped = [(few, all_) for few, all_ in zip(sweep["trials"], full, strict=True) if few["status"] == "stopped"]
    inside = [few["predicted_low"] <= all_["validation_loss"] <= few["predicted_high"] for few, all_ in stopped]
    row["in interval"] = f"{sum(inside)}/{len(inside)}"
    rules = {"": sweep["rule"], " full": fit_lr_rule(with_predictions(known)[0])}
    for width in plan.widths:
        best = min(t["validation_loss"] for t in full if t["width"] == width and t["status"] == "finished")
        kept = [t["validation_loss"] for t in sweep["trials"] if t["width"] == width and t["status"] == "finished"]
        row[f"best w{width}"] = min(kept) / best - 1
        for name, rule in rules.items():
            row[f"rule{name} w{width}"] = (
                whole_trial(settings, width, lr_from_rule(rule, width, settings.training.batch_tokens))[
                    "validation_loss"
                ]
                / best
                - 1
            )
    return row


def main(data: str = "results/data", *seeds: str) -> None:
    one_thread()
    registry = yaml.safe_load((ROOT / "resources" / "datasets.yaml").read_text())
    config = complete(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()), registry)
    rows = []
    for seed, (arm, family) in product(map(int, seeds or ["0"]), study.tuned_families(config)):
        settings = study.tuning_settings(config, arm, family)
        rows.append(compare(settings.replace(seed=seed, dataset=f"{data}/{Path(settings.dataset).name}")))
        print(pd.DataFrame(rows).set_index(["family", "seed"]).T.to_string(float_format="{:.3f}".format), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
