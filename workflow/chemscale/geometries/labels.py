"""Thermal geometries of small molecules with GFN2-xTB labels: made here, in parallel, restartable."""

import json
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import rdkit
from rdkit.rdBase import BlockLogs
from tblite.interface import TBLiteRuntimeError

from chemscale.files import atomic, fingerprint, resumable_folder
from chemscale.geometries import keys
from chemscale.geometries.langevin import langevin_geometries
from chemscale.geometries.molecule_names import read_name
from chemscale.geometries.normal_modes import GeometryError, thermal_geometries
from chemscale.geometries.raw_arrays import Block
from chemscale.geometries.writing import write_store
from chemscale.geometries.xtb import METHOD, single_point
from chemscale.molecules.embedded import molecules_of
from chemscale.processes import one_thread, spawn_map
from chemscale.progress import progress

DISPLACEMENTS = {"normal_modes": thermal_geometries, "langevin": langevin_geometries}
# keys of the entry that decide the labels; the others decide how they are split and checked
DECISIVE = ("conformers", "geometries_per_molecule", "temperature", "displacement", "seed")


def label(name: str, entry: dict, directory: Path | str, workers: int) -> dict:
    """Make the dataset of a registry entry with `source: thermal`; return the header of its store.

    Molecules come from `molecules_of`, geometries from the entry's `displacement`, labels from GFN2-xTB.
    The result is a function of the entry alone, whatever the number of `workers`, and whether the call was killed and
    repeated: finished molecules stay in `shards` until the store is complete. Failures are kept in `failures.parquet`;
    a share above `max_failure_share` raises ChemscaleError.
    """
    molecules, source = molecules_of(name, entry)
    displacement = entry.get("displacement", "normal_modes")
    versions = {"rdkit": rdkit.__version__, "tblite": version("tblite")}
    decisive = {key: entry.get(key) for key in DECISIVE} | {"displacement": displacement}
    decisive |= {key: entry[key] for key in ("charge",) if key in entry}
    identity = decisive | versions | {"method": METHOD, "molecules": fingerprint(molecules)}
    shards = resumable_folder(Path(directory) / "shards", identity)
    _label_all(shards, entry, molecules, workers)
    failures: list[dict] = []
    facts = {"source": f"{source}, {displacement.replace('_', ' ')}", "method": METHOD, "versions": versions}
    header = write_store(directory, name, entry, _finished(shards, molecules, failures), molecules, failures, facts)
    shutil.rmtree(shards)
    return header


def label_molecule(task: tuple[dict, int, str]) -> tuple[Block, list[dict]]:
    """Return labelled geometries of one molecule and its failures; the task is registry entry, number, SMILES."""
    entry, number, smiles = task
    wanted = entry["geometries_per_molecule"]
    failure = {"molecule": number, "smiles": smiles}
    named = read_name(smiles)
    electrons = {keys.CHARGE: named.charge, keys.UNPAIRED: named.unpaired} if "charge" in entry else None
    generator = np.random.default_rng((entry["seed"], number))
    displaced = DISPLACEMENTS[entry.get("displacement", "normal_modes")]
    with BlockLogs():
        try:
            z, geometries = displaced(smiles, entry["conformers"], wanted, entry["temperature"], generator, electrons)
        except GeometryError as error:
            empty = Block(np.zeros(0), np.zeros((0, 0, 3)), np.zeros(0), np.zeros((0, 0, 3)), np.zeros(0))
            return empty, [{**failure, "geometry": None, "geometries": wanted, "reason": str(error)}]
    kept, energies, forces, failures = [], [], [], []
    for k, positions in enumerate(geometries):
        try:
            energy, force = single_point(z, positions, **(electrons or {}))
        except TBLiteRuntimeError as error:
            failures.append({**failure, "geometry": k, "geometries": 1, "reason": f"{METHOD}: {error}"})
            continue
        kept.append(positions)
        energies.append(energy)
        forces.append(force)
    shape = (-1, len(z), 3)
    group = np.full(len(kept), number)
    own = {key: np.full(len(kept), count) for key, count in (electrons or {}).items()}
    return Block(z, np.reshape(kept, shape), np.array(energies), np.reshape(forces, shape), group, **own), failures


def _label_all(shards: Path, entry: dict, molecules: list[str], workers: int) -> None:
    """Label the molecules that have no shard yet."""
    tasks = [(_shard(shards, number), entry, number, smiles) for number, smiles in enumerate(molecules)]
    missing = [task for task in tasks if not task[0].exists()]
    # spawned workers inherit this; with more than a thread each they would wait for one another
    one_thread()
    with progress(len(molecules) * entry["geometries_per_molecule"], "labels", "geometries") as tick:
        if len(missing) < len(molecules):
            tick((len(molecules) - len(missing)) * entry["geometries_per_molecule"])
        for _ in spawn_map(_label_shard, missing, min(workers, len(missing))):
            tick(entry["geometries_per_molecule"])


def _label_shard(path: Path, entry: dict, number: int, smiles: str) -> None:
    """Label a molecule and write its shard."""
    block, failures = label_molecule((entry, number, smiles))
    with atomic(path) as temporary:
        arrays = {key: array for key, array in block._asdict().items() if array is not None}
        np.savez(temporary, **arrays, failures=json.dumps(failures))


def _shard(shards: Path, number: int) -> Path:
    return shards / f"{number:06d}.npz"


def _finished(shards: Path, molecules: list[str], failures: list[dict]) -> Iterator[Block]:
    """Yield the blocks of all molecules, in their order; append their failures to `failures`."""
    for number in range(len(molecules)):
        with np.load(_shard(shards, number)) as shard:
            failures += json.loads(shard["failures"].item())
            yield Block(**{key: shard[key] for key in Block._fields if key in shard})
