"""Injure trainings and see what is lost: python tests/benchmarks/faults.py [kills]

Trains one small cell of each arm without a disturbance, and then again and again with one fault at a random moment:
kill -9, SIGTERM, Ctrl-C, a checkpoint cut off or with flipped bits, empty side files, another program's files in the
folder, a lock left behind. The command is called until it ends well. Prints, for each fault, how often it was injected,
how often the finished weights were those of the undisturbed training to the last bit, and how many steps were computed
twice at most.
"""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from rdkit import RDConfig

sys.path.insert(0, str(Path(__file__).parents[1]))
import conftest  # the data of the tests
from helpers.settings import small_cell

from chemscale.data.sources import fetch
from chemscale.geometries.labels import label
from chemscale.molecules.corpus import encode

STEPS = {"language": 3000, "potential": 2000}
SECONDS_BETWEEN_CHECKPOINTS = 0.5
MOST_CALLS = 10


def newest(checkpoints: Path) -> Path | None:
    """The newest checkpoint of a training, if it has one."""
    found = sorted(checkpoints.glob("step-*.ckpt"), key=lambda path: int(re.findall(r"\d+", path.name)[-1]))
    return found[-1] if found else None


def cut_off(checkpoints: Path, chance: random.Random) -> None:
    if path := newest(checkpoints):
        os.truncate(path, chance.randrange(path.stat().st_size))


def flip_bits(checkpoints: Path, chance: random.Random) -> None:
    if path := newest(checkpoints):
        content = bytearray(path.read_bytes())
        for _ in range(8):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)


def empty_side_files(checkpoints: Path, chance: random.Random) -> None:
    for path in checkpoints.glob("*.json"):
        path.write_bytes(b"")


def foreign_files(checkpoints: Path, chance: random.Random) -> None:
    (checkpoints / "step-999999.ckpt").write_bytes(b"not a checkpoint")
    (checkpoints / ".nfs0001").write_bytes(b"")


def lock_left_behind(checkpoints: Path, chance: random.Random) -> None:
    checkpoints.with_name(f"{checkpoints.name}.lock").write_text("process 1 on a node that is gone")


FAULTS: dict[str, tuple[int, Callable | None]] = {
    "kill -9": (signal.SIGKILL, None),
    "SIGTERM, as by a scheduler": (signal.SIGTERM, None),
    "Ctrl-C": (signal.SIGINT, None),
    "kill -9, newest checkpoint cut off": (signal.SIGKILL, cut_off),
    "kill -9, eight bits flipped in the newest checkpoint": (signal.SIGKILL, flip_bits),
    "kill -9, side files empty": (signal.SIGKILL, empty_side_files),
    "kill -9, files of others among the checkpoints": (signal.SIGKILL, foreign_files),
    "kill -9, lock left behind": (signal.SIGKILL, lock_left_behind),
}


def start(settings: Path, folder: Path) -> subprocess.Popen:
    """Call the command; its log goes to `folder`."""
    command = [
        sys.executable,
        "-m",
        "chemscale.cli",
        "train",
        str(settings),
        "--out",
        str(folder / "run"),
        "--gpus",
        "0",
    ]
    command += [
        "--checkpoints",
        str(folder / "state"),
        "--checkpoint-seconds",
        str(SECONDS_BETWEEN_CHECKPOINTS),
        "--gpus",
        "0",
    ]
    with open(folder / "log", "a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "run" / "model.safetensors").read_bytes()).hexdigest()


def undisturbed(settings: Path, folder: Path) -> tuple[str, float, float]:
    """Weights of a training without a fault, the seconds until its first checkpoint, and all its seconds."""
    begin = time.monotonic()
    process = start(settings, folder)
    first = 0.0
    while process.poll() is None:
        first = first or (time.monotonic() - begin if newest(folder / "state") else 0.0)
        time.sleep(0.02)
    assert process.returncode == 0, (folder / "log").read_text()
    return weights(folder), first, time.monotonic() - begin


def injured(settings: Path, folder: Path, fault: str, moment: float, chance: random.Random) -> tuple[str, int]:
    """Weights of a training with one fault, and how often the command was called."""
    number, damage = FAULTS[fault]
    process = start(settings, folder)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        process.wait(60)
        if damage and (folder / "state").is_dir():
            damage(folder / "state", chance)
    for call in range(1, MOST_CALLS):
        if process.returncode == 0:
            return weights(folder), call
        process = start(settings, folder)
        process.wait(300)
    raise SystemExit(f"{fault}: not finished after {MOST_CALLS} calls\n{(folder / 'log').read_text()}")


if __name__ == "__main__":
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 48
    chance = random.Random(0)
    counts: dict[str, list[bool]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        label("tiny", conftest.TINY_GEOMETRIES, root / "geometries", workers=1)
        smiles = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text().splitlines()[:400]
        (root / "own.smi").write_text("".join(line.split("\t")[0] + "\n" for line in smiles))
        (root / "corpus").mkdir()
        fetch("tiny", conftest.TINY_CORPUS | {"path": str(root / "own.smi")}, root / "corpus")
        encode(root / "corpus")
        cells = {}
        for arm, data in (("language", root / "corpus"), ("potential", root / "geometries")):
            settings = root / f"{arm}.json"
            settings.write_text(json.dumps(small_cell(arm, data, steps=STEPS[arm]).to_json()))
            (root / arm).mkdir()
            cells[arm] = (settings, *undisturbed(settings, root / arm))
            print(f"{arm}: {cells[arm][3]:.1f} s, first checkpoint after {cells[arm][2]:.1f} s", flush=True)
        for number in range(kills):
            arm, fault = ("language", "potential")[number % 2], [*FAULTS][number // 2 % len(FAULTS)]
            settings, expected, first, whole = cells[arm]
            folder = root / f"{number}"
            folder.mkdir()
            found, calls = injured(settings, folder, fault, chance.uniform(first, whole), chance)
            counts[fault].append(found == expected)
            print(
                f"{number + 1}: {arm}, {fault}: {calls} calls, {'same' if found == expected else 'OTHER'}", flush=True
            )
    print("\n| fault | injected | same weights to the last bit |\n|---|---|---|")
    for fault, same in counts.items():
        print(f"| {fault} | {len(same)} | {sum(same)} |")
    raise SystemExit(not all(same for found in counts.values() for same in found))
