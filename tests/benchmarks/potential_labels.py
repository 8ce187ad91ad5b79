"""Labelling with GFN2-xTB by one and by two processes, start-up of the processes included."""

import statistics
import tempfile
import time
from pathlib import Path

from chemscale.geometries.labels import label

ENTRY = {
    "arm": "potential",
    "source": "thermal",
    "method": "GFN2-xTB",
    "max_heavy_atoms": 6,
    "molecules": 90,
    "conformers": 10,
    "geometries_per_molecule": 120,
    "temperature": [50, 1000],
    "unseen_molecules": 15,
    "validation": 400,
    "test": 1500,
    "seed": 0,
    "max_failure_share": 0.05,
}  # the dataset of the default study


def labels(rounds: int) -> dict[str, list[dict]]:
    """Wall seconds of the default dataset; both numbers of processes in turn."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, taken in seconds.items():
            with tempfile.TemporaryDirectory() as directory:
                start = time.perf_counter()
                label("benchmark", ENTRY, Path(directory), workers)
                taken.append(time.perf_counter() - start)
    gain = statistics.median(one / two for one, two in zip(*seconds.values(), strict=True))
    rows = [
        {
            "processes": workers,
            "seconds, best": min(taken),
            "seconds, median": statistics.median(taken),
            "geometries/s": ENTRY["molecules"] * ENTRY["geometries_per_molecule"] / min(taken),
            "of one process": gain if workers == 2 else 1.0,
        }
        for workers, taken in seconds.items()
    ]
    return {"labels": rows}
