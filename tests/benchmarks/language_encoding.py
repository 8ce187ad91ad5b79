"""What encoding molecules costs: python tests/benchmarks/language_encoding.py [file of SMILES] [molecules]

Without a file, RDKit's own molecules. One row a measure, peers in turn in one run (`ROUNDS` rounds): best and median of
the rates, in CPU time where one core is concerned (cores may be shared), in seconds of the clock for two processes.
`store` reads a file and writes the shard of it; `bare encoder` is `selfies.encoder` on the same canonical SMILES and
nothing else; `plain loop` is what a script does: RDKit there and back, the encoder, `split_selfies`, a dictionary.
"""

import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import selfies
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from chemscale.molecules.embedded import embedded_molecules
from chemscale.molecules.encoding import tokenise
from chemscale.molecules.reading import layout_of, read_lines
from chemscale.molecules.shards import translate_lines

ROUNDS = 5
MAX_TOKENS = 512


def measure(file: Path | None = None, molecules: int = 5_000) -> list[dict]:
    """Rows of measure, peer, unit, best, median and the ratio of its best to that of the first peer."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "some.smi"
        path.write_text("".join(f"{text}\n" for text in _texts(file, molecules)))
        texts = [line.text for line in read_lines(path, layout_of(path))]
        with BlockLogs():
            smiles = [Chem.MolToSmiles(molecule) for molecule in map(Chem.MolFromSmiles, texts) if molecule]
        strings = [string for string in map(_encoded, smiles) if string]
        assert np.array_equal(_split_loop(strings), tokenise(strings)[0])
        tokens, lines = sum(map(selfies.len_selfies, strings)), len(texts)

        def store(workers: int) -> None:
            with tempfile.TemporaryDirectory(dir=directory) as shards:
                layout = layout_of(path)
                translate_lines(Path(shards), read_lines(path, layout), lines, layout.form, MAX_TOKENS, {}, workers)

        loads = os.getloadavg()[0]
        rows = [
            *_compare(
                "tokenise",
                "symbols/s of CPU time",
                time.process_time,
                tokens,
                {"split_selfies loop": lambda: _split_loop(strings), "tokenise": lambda: tokenise(strings)},
            ),
            *_compare(
                "SMILES to store, one core",
                "molecules/s of CPU time",
                time.process_time,
                lines,
                {
                    "bare encoder": lambda: [_encoded(text) for text in smiles],
                    "plain loop": lambda: _plain_loop(texts),
                    "RDKit alone": lambda: _canonical(texts),
                    "store": lambda: store(1),
                },
            ),
        ]
    return [row | {"load": round(loads, 1)} for row in rows]


def measure_workers(file: Path | None = None, molecules: int = 40_000) -> list[dict]:
    """One process against two, in lines a second of the clock, the start of the processes included."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "some.smi"
        texts = list(_texts(file, molecules))
        path.write_text("".join(f"{text}\n" for text in texts))
        layout = layout_of(path)

        def store(workers: int) -> None:
            with tempfile.TemporaryDirectory(dir=directory) as shards:
                translate_lines(Path(shards), read_lines(path, layout), len(texts), "lines", MAX_TOKENS, {}, workers)

        peers = {"one process": lambda: store(1), "two processes": lambda: store(2)}
        load = round(os.getloadavg()[0], 1)
        rows = _compare("SMILES to store", "molecules/s of the clock", time.perf_counter, len(texts), peers)
    return [row | {"load": load} for row in rows]


def _compare(what: str, unit: str, clock: Callable, amount: int, peers: dict[str, Callable]) -> list[dict]:
    """Rates of peers that take turns."""
    rates = defaultdict(list)
    for _ in range(ROUNDS):
        for name, work in peers.items():
            start = clock()
            work()
            rates[name].append(amount / (clock() - start))
    first = max(rates[next(iter(peers))])
    return [
        {
            "measure": what,
            "peer": name,
            "unit": unit,
            "best": max(of_peer),
            "median": statistics.median(of_peer),
            "ratio": max(of_peer) / first,
        }
        for name, of_peer in rates.items()
    ]


def _texts(file: Path | None, molecules: int) -> list[str]:
    """The first SMILES of a file; RDKit's, over and over, without one."""
    if file:
        return [line.text for line in islice(read_lines(file, layout_of(file)), molecules)]
    known = [smiles for smiles, _ in embedded_molecules(["nci", "wehi"])]
    return [known[n % len(known)] for n in range(molecules)]


def _encoded(smiles: str) -> str:
    with suppress(Exception):
        return selfies.encoder(smiles)
    return ""


def _canonical(texts: list[str]) -> None:
    with BlockLogs():
        for text in texts:
            molecule = Chem.MolFromSmiles(text)
            if molecule is not None:
                Chem.MolToSmiles(molecule)


def _split_loop(strings: list[str]) -> np.ndarray:
    ids = defaultdict(lambda: len(ids))
    return np.array([ids[symbol] for string in strings for symbol in selfies.split_selfies(string)], np.uint16)


def _plain_loop(texts: list[str]) -> None:
    ids = defaultdict(lambda: len(ids))
    with BlockLogs():
        for text in texts:
            molecule = Chem.MolFromSmiles(text)
            if molecule is not None:
                np.array(
                    [ids[symbol] for symbol in selfies.split_selfies(_encoded(Chem.MolToSmiles(molecule)))], np.uint16
                )


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    molecules = int(sys.argv[2]) if len(sys.argv) > 2 else 5_000
    for row in [*measure(file, molecules), *measure_workers(file, 8 * molecules)]:
        print(
            f"{row['measure']:26s} {row['peer']:20s} best {row['best']:12,.0f} median {row['median']:12,.0f} "
            f"{row['unit']:24s} {row['ratio']:.2f}x of the first (load {row['load']})"
        )


if __name__ == "__main__":
    main()
