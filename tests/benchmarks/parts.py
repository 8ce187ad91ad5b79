"""A benchmark of several parts: its command line, its tables as Markdown and its numbers as JSON."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from chemscale.processes import one_thread


def run(about: str, parts: tuple[str, ...], measure: Callable[[str, int], dict], name: str) -> None:
    """Measure the parts asked for by `measure(part, rounds)`, which gives tables by name, each a list of rows."""
    options = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", default=",".join(parts), help="parts, by commas")
    options.add_argument("--out", type=Path, default=Path(f"results/benchmarks/{name}.json"))
    options = options.parse_args()
    one_thread()
    results = {}
    for part in options.only.split(","):
        print(f"\n## {part}\n", flush=True)
        found = measure(part, options.rounds)
        for table, rows in found.items():
            print(f"### {table}\n\n{markdown(rows)}\n", flush=True)
        results[part] = found
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1))
    print(f"{options.out} holds all numbers", file=sys.stderr)


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
