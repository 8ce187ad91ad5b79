"""The language arm against its peers: python tests/benchmarks/language.py [--rounds 5] [--only step,epoch] [--out FILE]

Every part interleaves its peers in one run, on one thread, between probes of the machine (`interleaved.py`), and
gives tables: Markdown to standard output, all numbers to a JSON file. Rates are amounts per second of CPU time unless a
column says `wall`; `best` and `median` are over rounds. `unsteady` counts windows whose probes before and after
differed by more than 10 % however often they were repeated. Shares of the ceiling count FLOPs in three ways: `exact`,
three times `forward_flops` with all T² pairs of attention, as PyTorch's counter has it; `causal`, with half of the
pairs; `6ND`, with the non-embedding parameters.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

from chemscale.training.throughput import one_thread

PARTS = ("encoding", "step", "epoch", "overhead", "gpu")


def measure(part: str, rounds: int) -> dict[str, list[dict]]:
    """Tables of a part by name, each a list of rows."""
    module = importlib.import_module(f"language_{part}")
    if part == "encoding":  # it has rounds of its own
        return {"one process": module.measure(), "two processes": module.measure_workers()}
    return module.measure(rounds)


def markdown(rows: list[dict]) -> str:
    """A table of rows with the same keys."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([shown(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value) -> str:
    """Numbers with three digits or more."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", default=",".join(PARTS), help="parts, by commas")
    options.add_argument("--out", type=Path, default=Path("results/benchmarks/language.json"))
    options = options.parse_args()
    one_thread()
    results = {}
    for part in options.only.split(","):
        print(f"\n## {part}\n", flush=True)
        found = measure(part, options.rounds)
        for name, rows in found.items():
            print(f"### {name}\n\n{markdown(rows)}\n", flush=True)
        results[part] = found
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1))
    print(f"{options.out} holds all numbers", file=sys.stderr)


if __name__ == "__main__":
    main()
