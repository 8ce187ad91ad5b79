"""The language arm against its peers: python tests/benchmarks/language.py [--rounds 5] [--only step,epoch] [--out FILE]

Every part interleaves its peers in one run, on one thread, between probes of the machine (`interleaved.py`), and
gives tables: Markdown to standard output, all numbers to a JSON file. Rates are amounts per second of CPU time unless a
column says `wall`; `best` and `median` are over rounds. `unsteady` counts windows whose probes before and after
differed by more than 10 % however often they were repeated. Shares of the ceiling count FLOPs in three ways: `exact`,
three times `forward_flops` with all T² pairs of attention, as PyTorch's counter has it; `causal`, with half of the
pairs; `6ND`, with the non-embedding parameters.
"""

import importlib

from parts import run

PARTS = ("encoding", "step", "epoch", "overhead")


def measure(part: str, rounds: int) -> dict[str, list[dict]]:
    """Tables of a part by name, each a list of rows."""
    module = importlib.import_module(f"language_{part}")
    if part == "encoding":  # it has rounds of its own
        return {"one process": module.measure(), "two processes": module.measure_workers()}
    return module.measure(rounds)


if __name__ == "__main__":
    run(__doc__, PARTS, measure, "language")
