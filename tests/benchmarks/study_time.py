"""Where the time of a finished study goes: python tests/benchmarks/study_time.py [default]

Seconds of a core: from the benchmark files Snakemake keeps for every rule (wall time, as their CPU time misses the ends
of short jobs), and from the cells' own records, which know how much of a job was Python and imports. Run it after the
study, on the machine that ran it.
"""

import json
import sys
from pathlib import Path

import pandas as pd


def benchmark(pattern: str) -> pd.DataFrame:
    """Rows of all benchmark files below logs/ that match."""
    frames = [pd.read_csv(path, sep="\t").assign(job=str(path)) for path in sorted(Path("logs").glob(pattern))]
    return pd.concat(frames) if frames else pd.DataFrame({"s": [], "max_rss": []})


def main(study: str = "default") -> None:
    records = [json.loads(path.read_text()) for path in Path(f"results/{study}/runs").rglob("metrics.json")]
    train = pd.DataFrame(records)
    stages = {
        "molecules": benchmark("data/*/encode.tsv"),
        "labels": benchmark("data/*/label.tsv"),
        "learning rates": benchmark(f"{study}/tune/*/*.tsv"),
        "collect and fit": pd.concat([benchmark(f"{study}/collect.tsv"), benchmark(f"{study}/fit/*.tsv")]),
        "figures": benchmark(f"{study}/draw/*.tsv"),
        "report": benchmark(f"{study}/report.tsv"),
    }
    startup = train["startup_cpu_seconds"]
    rows = [(name, frame["s"].sum(), frame["max_rss"].max()) for name, frame in stages.items()]
    training = train["cpu_seconds"].sum() - startup.sum()
    for arm, cells in train.groupby("arm"):
        seconds = cells["cpu_seconds"].sum() - cells["startup_cpu_seconds"].sum()
        rows.append((f"training, {arm} ({len(cells)} cells)", seconds, cells["peak_memory_host_mb"].max()))
    rows.append((f"start-up of {len(train)} trainings", startup.sum(), None))
    table = pd.DataFrame(rows, columns=["stage", "core_s", "peak_mb"])
    table["share"] = table["core_s"] / table["core_s"].sum()
    print(table.to_string(index=False, float_format=lambda x: f"{x:.2f}" if x < 1 else f"{x:.0f}"))
    total = table["core_s"].sum()
    print(f"all {total:.0f} s of a core, training {training:.0f} s, start-up a job {startup.median():.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
