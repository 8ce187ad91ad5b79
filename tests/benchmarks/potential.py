"""The potential arm against schnetpack: python tests/benchmarks/potential.py [--rounds 5] [--only step] [--out FILE]

Every part interleaves its peers in one run, on one thread, between probes of the machine (`interleaved.py`), and
gives tables: Markdown to standard output, all numbers to a JSON file. Rates are amounts per second of CPU time unless a
column says `wall`; `best` and `median` are over rounds.
"""

import importlib

from parts import run

MODULES = {
    "batches": "potential_pipelines",
    "step": "potential_pipelines",
    "epoch": "potential_pipelines",
    "memory": "potential_memory",
    "labels": "potential_labels",
}


def measure(part: str, rounds: int) -> dict[str, list[dict]]:
    """Tables of a part by name, each a list of rows."""
    module = importlib.import_module(MODULES[part])
    return getattr(module, part)(rounds)


if __name__ == "__main__":
    run(__doc__, tuple(MODULES), measure, "potential")
