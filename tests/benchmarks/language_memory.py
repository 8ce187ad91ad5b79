"""Peak memory and time of encoding many molecules: python tests/benchmarks/language_memory.py [lines]

The chemistry is a stub, since it works on one shard at a time and adds nothing to the peak: molecules of 41 symbols and
45 characters on average, all different. What remains is the part of `encode` whose memory grows with the file.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from chemscale.data.sources import fetch
from chemscale.molecules import corpus, shards
from chemscale.molecules.encoding import Translated

SYMBOLS = np.array(["[C]", "[=C]", "[N]", "[O]", "[=O]", "[Branch1]", "[Ring1]", "[C@@H1]", "[S]", "[F]"])
ENTRY = {
    "arm": "language",
    "source": "file",
    "validation": 1000,
    "test": 1000,
    "seed": 0,
    "max_tokens": 512,
    "max_failure_share": 0.1,
}


def measure(lines: int) -> dict:
    """Peak resident memory in MB and CPU seconds of encoding `lines` molecules, and the SHA-256 of the tokens."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.normal(41, 15, shards.SHARD_LINES), 3, 200).astype(int)
    encoded = ["".join(SYMBOLS[random.integers(len(SYMBOLS), size=length)]) for length in lengths]
    shards.translate = lambda texts, *_, **__: [
        Translated(text, selfies, None) for text, selfies in zip(texts, encoded, strict=False)
    ]
    corpus.readable = lambda *_, **__: True
    with tempfile.TemporaryDirectory() as directory:
        raw = Path(directory) / "many.smi"
        with open(raw, "w") as file:
            for number in range(lines):
                file.write(f"{'C' * (lengths[number % len(lengths)] - 3)}{number:07d}\n")
        fetch("many", ENTRY | {"path": str(raw)}, directory)
        start = time.process_time()
        header = corpus.encode(directory)
        seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "lines": lines,
        "peak_mb": round(peak),
        "cpu_seconds": round(seconds),
        "tokens": header["sha256"]["tokens.npy"],
    }


if __name__ == "__main__":
    print(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000))
