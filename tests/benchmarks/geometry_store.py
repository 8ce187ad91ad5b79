"""Time and memory of an ingest against the size of the file: the same geometries once and many times over.

    python tests/benchmarks/geometry_store.py ../shared/data/forces/ani1x_layout_gfn2xtb_shared.h5 10

Copies are moved by 1e-4 Å each, so that they are no duplicates. Prints a line a file; each is ingested by a process of
its own. Anonymous memory is what the process needs; pages of mapped files count to the peak but can be dropped.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ENTRY = {
    "format": "ani1x",
    "method": "GFN2-xTB",
    "energy": "gfn2_xtb.energy",
    "forces": "gfn2_xtb.forces",
    "energy_unit": "hartree",
    "forces_unit": "hartree/angstrom",
    "unseen_molecules": 200,
    "validation": 1500,
    "test": 4000,
    "seed": 0,
    "max_failure_share": 0.0,
}
INGEST = """
import json, resource, sys, threading, time
from chemscale.geometries.ingest import ingest
peak = 0
def watch():
    global peak
    while True:
        with open("/proc/self/status") as file:
            peak = max(peak, *(int(line.split()[1]) for line in file if line.startswith("RssAnon")))
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()
time.sleep(0.1)
before, start = peak, time.process_time()
header = ingest("big", json.loads(sys.argv[1]), sys.argv[2], sys.argv[3])
print(json.dumps({
    "structures": header["structures"]["total"],
    "processor_s": round(time.process_time() - start, 1),
    "anonymous_before_MB": before // 1024,
    "anonymous_peak_MB": peak // 1024,
    "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
}))
"""


def repeated(source: Path, target: Path, times: int) -> None:
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        for name, group in old.items():
            made = new.create_group(name)
            for key, values in group.items():
                values = values[:]
                if key != "atomic_numbers":
                    shifts = 1e-4 * np.arange(times).repeat(len(values))
                    values = np.concatenate([values] * times)
                    if key == "coordinates":
                        values = values + shifts[:, None, None].astype(values.dtype)
                made[key] = values


def main(source: str, times: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for count in (1, int(times)):
            path = Path(directory) / "file.h5"
            repeated(Path(source), path, count)
            command = [sys.executable, "-c", INGEST, json.dumps(ENTRY), str(path), directory + "/store"]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            print(f"× {count}: {path.stat().st_size / 1e6:.0f} MB file", output.strip(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
