"""The bill of a study before anything starts, and its estimates against what finished runs measured."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from chemscale.data.sources import SOURCES
from chemscale.files import read_json
from chemscale.study.estimates import Estimate, estimate, estimate_sweep, estimate_use, resources, seconds_of, uses
from chemscale.study.grid import Cell, cells, tuned_families
from chemscale.study.packs import packs
from chemscale.study.site import Site

HEADER = ("cell", "parameters", "FLOPs", "time", "limit", "memory", "GPUs")


def costs(config: dict, datasets: dict[str, dict], results: Path, site: Site | None = None) -> dict[str, Any]:
    """Return what a complete configuration costs, from the numbers that the rules ask a scheduler for.

    `cells` has one row per cell: parameters, flops, seconds (estimated, without margin), runtime (time limit in
    minutes), mem_mb, gpu. `jobs` counts the jobs of each rule that a cluster runs, a pack of cells as one, with
    cpu_hours and gpu_hours where they are estimated; `totals` sums them. `measured` compares finished records in
    `results` with the estimates, one row per family and device: `factor` is the median of measured over estimated
    seconds, before any calibration.
    """
    table = cells(config)
    found = {cell.name: estimate(cell, site) for cell in table}
    rows = [
        {"cell": cell.name, "parameters": cell.work.parameters, "flops": cell.work.flops}
        | {"seconds": found[cell.name].seconds}
        | resources(found[cell.name], site=site)
        for cell in table
    ]
    estimated: dict[str, list[Estimate]] = {}
    counted: Counter[str] = Counter()
    if config["results_source"] == "trained":
        counted = _jobs_without_estimate(config, datasets)
        estimated["tune"] = [estimate_sweep(config, *names, site) for names in tuned_families(config)]
        estimated["train"] = list(found.values())
        used: dict[str, list[Estimate]] = defaultdict(list)
        for cell in table:
            for use in uses(config, cell):
                used[use].append(estimate_use(config, use, cell, datasets, site))
        estimated |= used
    jobs: list[dict[str, Any]] = [{"rule": rule, "jobs": number} for rule, number in counted.items()]
    jobs += [{"rule": rule, "jobs": len(of)} | _hours(of) for rule, of in estimated.items() if of]
    packed = packs({cell.name: cell for cell in table}, found, site or Site())
    saved = sum(len(members) - 1 for members in packed.values()) if "train" in estimated else 0
    for row in jobs:
        row["jobs"] -= saved if row["rule"] == "train" else 0
    everything = [one for of in estimated.values() for one in of]
    return {
        "study": config["study"],
        "cells": rows,
        "jobs": jobs,
        "totals": {"cells": len(table), "jobs": counted.total() + len(everything) - saved}
        | {"flops": sum(cell.work.flops for cell in table)}
        | _hours(everything),
        "measured": list(_measured(table, results)),
    }


def as_text(bill: dict[str, Any]) -> str:
    """Return the bill as tables for people; finished runs end it with lines for the site file."""
    rows = []
    for row in bill["cells"]:
        time, limit = _time(row["seconds"]), _time(60 * row["runtime"])
        sizes = f"{row['parameters']:,}", f"{row['flops']:.2g}"
        rows.append((row["cell"], *sizes, time, limit, f"{row['mem_mb'] / 1000:.1f} GB", str(row["gpu"])))
    jobs = [(row["rule"], str(row["jobs"]), *_shown_hours(row)) for row in bill["jobs"]]
    totals = bill["totals"]
    jobs.append(("total", str(totals["jobs"]), *_shown_hours(totals)))
    parts = [
        f"study {bill['study']}: {totals['cells']} cells, {totals['flops']:.2g} FLOPs of training",
        _table([HEADER, *rows]),
        _table([("rule", "jobs", "CPU hours", "GPU hours"), *jobs]),
    ]
    if bill["measured"]:
        header = ("family", "device", "finished", "estimated", "measured", "factor")
        compared = []
        for row in bill["measured"]:
            times = _time(row["estimated_seconds"]), _time(row["measured_seconds"])
            compared.append((row["family"], row["device"], str(row["cells"]), *times, f"{row['factor']:.2f}"))
        parts += [_table([header, *compared]), _calibration_lines(bill["measured"])]
    return "\n\n".join(parts)


def _jobs_without_estimate(config: dict, datasets: dict[str, dict]) -> Counter[str]:
    jobs: Counter[str] = Counter()
    for arm in ("language", "potential"):
        options = config.get(arm)
        for name in [options["dataset"], *options.get("evaluate_on", [])] if options else []:
            made = SOURCES[datasets[name]["source"]].fetch is None
            jobs["encode" if arm == "language" else "label" if made else "ingest"] += 1
    jobs["properties"] += bool(config.get("language", {}).get("generate"))
    jobs["minima"] += bool(config.get("potential", {}).get("simulate"))
    return +jobs


def _hours(estimates: Iterable[Estimate]) -> dict[str, float]:
    """Return the hours of cores of jobs without a GPU, and of GPUs."""
    hours = {"cpu_hours": 0.0, "gpu_hours": 0.0}
    for one in estimates:
        hours["gpu_hours" if one.gpu else "cpu_hours"] += one.seconds * max(1, one.gpu) / 3600
    return hours


def _measured(table: list[Cell], results: Path) -> Iterator[dict[str, Any]]:
    pairs = defaultdict(list)
    for cell in table:
        path = results / "runs" / cell.name / "metrics.json"
        record = read_json(path) if path.exists() else {}
        if record.get("status") == "finished" and record.get("wall_seconds"):
            device = "cpu" if record["device"] == "cpu" else "gpu"
            gpus = record.get("processes", 1) if device == "gpu" else 0
            pairs[cell.arm, cell.family, device].append((seconds_of(cell.work, gpus), record["wall_seconds"]))
    for (arm, family, device), seconds in pairs.items():
        estimated, measured = (sum(values) for values in zip(*seconds, strict=True))
        row = {"arm": arm, "family": family, "device": device, "cells": len(seconds)}
        row |= {"estimated_seconds": estimated, "measured_seconds": measured}
        yield row | {"factor": median(after / before for before, after in seconds)}


def _calibration_lines(measured: list[dict[str, Any]]) -> str:
    factors: dict[str, list[str]] = defaultdict(list)
    for row in measured:
        factors[row["family"]].append(f"{row['device']}: {row['factor']:.3g}")
    lines = [f"  {family}: {{{', '.join(of)}}}" for family, of in factors.items()]
    return "\n".join(["For later estimates, in profiles/slurm/site.yaml:", "calibration:", *lines])


def _table(rows: list[tuple[str, ...]]) -> str:
    """Return aligned columns: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(value.rjust(width) for value, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _shown_hours(row: dict[str, Any]) -> list[str]:
    return [f"{row[name]:.2f}" if name in row else "-" for name in ("cpu_hours", "gpu_hours")]


def _time(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{math.ceil(seconds)} s"
