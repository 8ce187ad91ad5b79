"""Finished studies on disk whose losses follow known laws: a runs table, its fits, and the settings of some cells."""

from pathlib import Path

import numpy as np
import pandas as pd

from chemscale.analysis.fits import fit_runs
from chemscale.files import write_json
from helpers.settings import CELL, TRAINING

DATA = (100, 300, 1_000, 3_000, 10_000)
SIZES = {"w16": 6_000, "w32": 20_000, "w64": 70_000}


def language_runs(exponent: float, noise: float = 0.01, seed: int = 0, sizes: tuple[str, ...] = ("w16",)):
    """Return runs of ChemGPT-slim with a loss of 4 D^-exponent, and noise of its logarithm that `seed` decides."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "cell": f"language/chemgpt-slim/{size}/{data}/seed{run}",
            **{"arm": "language", "family": "chemgpt-slim", "size": size, "data": data, "seed": run},
            **{"status": "finished", "recipe": 2, "learning_rate": 0.004, "parameters": SIZES[size]},
            **{"train_molecules": data, "flops": 6.0 * SIZES[size] * data},
            "test_loss": 4 * data**-exponent * np.exp(noise * rng.standard_normal()),
        }
        for size in sizes
        for data in DATA
        for run in range(2)
    ]
    return pd.DataFrame(rows)


def write_study(folder: Path, runs: pd.DataFrame, confidence: float = 0.9, **settings) -> Path:
    """Write a study of the language arm: tables, fits and, with `settings` of their training, records of its cells."""
    (folder / "tables").mkdir(parents=True)
    runs.to_parquet(folder / "tables" / "runs.parquet", index=False)
    write_json(folder / "fits" / "language.json", fit_runs(runs, "language", confidence, draws=100))
    for row in runs.to_dict("records") if settings else ():
        own = {name: row[name] for name in ("arm", "family", "size", "data", "seed")} | {"width": int(row["size"][1:])}
        content = CELL | own | {"dataset": "results/data/small", "tuning": None}
        content["training"] = TRAINING | {"batch_tokens": 500} | settings
        write_json(folder / "runs" / row["cell"] / "settings.json", content)
    return folder
