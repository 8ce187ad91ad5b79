"""A study of many cells: python tests/benchmarks/study_size.py [cells] [plan collect fit draw]

Plans a study of so many cells (10,000 by default) that all remain to be trained, beside a bare Snakemake grid of as
many jobs, interleaved; then writes made-up records for them, and collects, fits and draws what depends on their number.
Prints CPU seconds and peak memory of each command. Losses are those of a joint law with 1 % noise.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers.clones import make_clone

CHECKOUT = Path(__file__).parents[2]
WIDTHS, SEEDS = [2**k for k in range(3, 11)], 25
ROUNDS = 3
NOTEBOOKS = {
    "language": ("runs", "fits"),
    "training": ("runs", "histories", "sweeps", "datasets"),
    "scaling": ("runs", "fits"),
}  # and what they read
BARE = """
rule all:
    input:
        expand(
            "out/{{width}}/{{data}}/{{seed}}.json", width=range({widths}), data=range({data}), seed=range({seeds})
        )

rule train:
    output: "out/{{width}}/{{data}}/{{seed}}.json"
    params: settings=lambda wildcards: str(dict(wildcards))
    resources: mem_mb=2000, runtime=60
    shell: "echo {{params.settings:q}} >{{output:q}}"
"""


def measured(command: list[str], directory: Path) -> tuple[float, float]:
    """CPU seconds and peak memory (MB) of a command in `directory`."""
    code = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000]))\n"
        "print(done.stdout[-2000:] + done.stderr[-3000:], file=sys.stderr)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT / "workflow")}
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=directory, env=environment, capture_output=True, text=True
    )
    status, seconds, memory = json.loads(done.stdout)
    assert status == 0, done.stderr
    return seconds, memory


def study(cells: int) -> dict:
    """A configuration of so many cells of one language family."""
    amounts = np.unique(np.geomspace(100, 4000, cells // (len(WIDTHS) * SEEDS)).round().astype(int)).tolist()
    return {
        "study": "large",
        "language": {
            "dataset": "nci-small",
            "families": {"chemgpt-slim": {"widths": WIDTHS, "learning_rate": 0.01}},
            "data": amounts,
            "seeds": {"small_half": SEEDS, "large_half": SEEDS},
        },
    }


def names_of(config: dict) -> list[tuple[int, int, int]]:
    arm = config["language"]
    return [(width, data, seed) for width in WIDTHS for data in arm["data"] for seed in range(SEEDS)]


def plan(directory: Path, config: dict) -> None:
    """`snakemake -n` of the study and of a bare grid, interleaved."""
    amounts = len(config["language"]["data"])
    bare = directory / "bare"
    bare.mkdir()
    (bare / "Snakefile").write_text(BARE.format(widths=len(WIDTHS), data=amounts, seeds=SEEDS))
    clone = directory / "clone"
    clone.mkdir()
    make_clone(CHECKOUT, clone)
    (clone / "large.yaml").write_text(yaml.safe_dump(config))
    snakemake = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet"]
    times: dict[str, list[tuple[float, float]]] = {"bare grid": [], "the study": []}
    for _ in range(ROUNDS):
        times["bare grid"].append(measured(snakemake, bare))
        times["the study"].append(measured([*snakemake, "--configfile", "large.yaml"], clone))
    best = {name: min(found) for name, found in times.items()}
    for name, (seconds, memory) in best.items():
        print(f"snakemake -n, {name}: {seconds:.1f} s, {memory:.0f} MB", flush=True)
    print(f"ratio {best['the study'][0] / best['bare grid'][0]:.2f}", flush=True)


def write_records(directory: Path, config: dict) -> None:
    """A finished record for every cell."""
    random = np.random.default_rng(0)
    for width, data, seed in names_of(config):
        parameters = 12 * width**2
        loss = 0.5 + (parameters / 1e3) ** -0.3 + (data / 100) ** -0.3
        loss *= np.exp(0.01 * random.normal())
        steps, tokens = 1000, 2e5
        record = {
            "study": "large", "arm": "language", "family": "chemgpt-slim", "size": f"w{width}", "width": width,
            "data": data, "seed": seed, "learning_rate": 0.01, "status": "finished", "reason": None,
            "fingerprint": f"{width}-{data}-{seed}", "test_loss": loss, "validation_loss": loss,
            "validation_loss_best": loss, "undertrained": False, "collapsed": False, "parameters": parameters,
            "parameters_total": 2 * parameters, "parameters_embedding": 90 * width, "train_molecules": data,
            "train_tokens": 40 * data, "steps": steps, "best_step": steps, "units_seen": tokens,
            "flops": 6.0 * parameters * tokens, "flops_6nd": 6.0 * parameters * tokens,
            "device_seconds": 10.0, "wall_seconds": 10.0, "cpu_seconds": 12.0,
            "train_loss": loss, "unigram_entropy": 2.3, "untrained_loss": 4.5,
        }  # fmt: skip
        folder = directory / "results" / "large" / "runs" / "language" / "chemgpt-slim" / f"w{width}" / str(data)
        folder = folder / f"seed{seed}"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps(record))
        step = np.arange(1, 21) * steps // 20
        curve = {"step": step, "train_loss": loss * (1 + 50 / step), "validation_loss": loss * (1 + 40 / step)}
        pd.DataFrame(curve).to_parquet(folder / "history.parquet", index=False)


def command(name: str, arguments: list[str], directory: Path) -> None:
    seconds, memory = measured([sys.executable, "-m", "chemscale.cli", *arguments], directory)
    print(f"{name}: {seconds:.1f} s, {memory:.0f} MB", flush=True)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    parts = [argument for argument in sys.argv[1:] if not argument.isdigit()] or ["plan", "collect", "fit", "draw"]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        config = study(numbers[0] if numbers else 10_000)
        cells = names_of(config)
        print(f"{len(cells):,} cells", flush=True)
        if "plan" in parts:
            plan(directory, config)
        if {"collect", "fit", "draw"} & set(parts):
            write_records(directory, config)
            (directory / "cells").write_text(
                "\n".join(f"language/chemgpt-slim/w{width}/{data}/seed{seed}" for width, data, seed in cells)
            )
            where = ["results/large", "--cells", "cells", "--out", "results/large/tables"]
            command("collect", ["collect", *where], directory)
        if {"fit", "draw"} & set(parts):
            table = "results/large/tables/runs.parquet"
            command("fit", ["fit", table, "--arm", "language", "--out", "results/large/fits/language.json"], directory)
        if "draw" in parts:
            tables = {
                name: f"results/large/tables/{file}"
                for name, file in (
                    ("runs", "runs.parquet"),
                    ("histories", "histories.parquet"),
                    ("sweeps", "sweeps.parquet"),
                    ("datasets", "datasets.csv"),
                )
            } | {"fits": "results/large/fits/language.json", "figures": "results/large/figures"}
            (directory / "results/large/figures").mkdir(exist_ok=True)
            for notebook, inputs in NOTEBOOKS.items():
                source = str(CHECKOUT / "workflow" / "notebooks" / f"{notebook}.ipynb")
                parameters = [part for name in (*inputs, "figures") for part in ("-p", name, tables[name])]
                made = [sys.executable, "-m", "papermill", source, f"results/large/figures/{notebook}.ipynb"]
                seconds, memory = measured([*made, "--no-progress-bar", *parameters], directory)
                print(f"draw {notebook}: {seconds:.1f} s, {memory:.0f} MB", flush=True)
