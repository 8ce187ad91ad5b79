"""Memory that an epoch of our loader adds to a process, for stores of two sizes."""

import subprocess
import sys
import tempfile
from pathlib import Path

from potential_pipelines import ENTRY

from chemscale.geometries.labels import label

# of its own; pages of the memory map are the system's, which takes them back when it needs them
ADDED = """
import sys
from pathlib import Path
from potential_pipelines import our_batches
from chemscale.geometries.store import open_geometries

def own():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

geometries = open_geometries(sys.argv[1])
rows = geometries.rows("train")
before = most = own()
for batch in our_batches(geometries, rows):
    most = max(most, own())
print(most - before)
"""


def memory(rounds: int) -> dict[str, list[dict]]:
    """Structures, size of the store and the most memory of its own that an epoch adds, in MB."""
    table = []
    with tempfile.TemporaryDirectory() as name:
        for molecules in (15, 150):
            directory, entry = Path(name) / str(molecules), {"molecules": molecules, "geometries_per_molecule": 40}
            label("benchmark", ENTRY | entry | {"max_heavy_atoms": 7}, directory, workers=1)
            command = [sys.executable, "-c", ADDED, str(directory)]
            added = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
            stored = sum(file.stat().st_size for file in directory.glob("*.npy"))
            table.append({"structures": molecules * 40, "store": stored / 1e6, "added": int(added.stdout) / 1e3})
    return {"memory, MB": table}
