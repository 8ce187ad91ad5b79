"""Molecules shaken by heat, labelled with energies and forces by GFN2-xTB: made here, in parallel, restartable."""

import json
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import rdkit
from rdkit import Chem, RDConfig
from rdkit.rdBase import BlockLogs
from tblite.interface import TBLiteRuntimeError

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, fingerprint, resumable_folder
from chemscale.geometries.langevin import langevin_geometries
from chemscale.geometries.normal_modes import GeometryError, thermal_geometries
from chemscale.geometries.writing import Block, write_store
from chemscale.geometries.xtb import METHOD, single_point
from chemscale.molecules.reading import layout_of, read_lines
from chemscale.processes import one_thread, spawn_map
from chemscale.progress import progress

NCI = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
ORGANIC = {1, 6, 7, 8}
DISPLACEMENTS = {"normal_modes": thermal_geometries, "langevin": langevin_geometries}
# keys of the entry that decide the labels; what else is in it decides how they are split and judged
DECISIVE = ("conformers", "geometries_per_molecule", "temperature", "displacement", "seed")


def label(name: str, entry: dict, directory: Path | str, workers: int) -> dict:
    """Make the dataset of a registry entry with `source: thermal`; return the header of its store.

    Molecules: `molecules_of`; geometries: by the entry's `displacement`, see `DISPLACEMENTS`; labels: GFN2-xTB. A
    function of the entry alone, whatever the number of `workers`, and whether it was killed and called again: finished
    molecules lie in `shards` until the store is whole. What fails is kept in `failures.parquet`; more than
    `max_failure_share` of it raises ChemscaleError.
    """
    molecules, source = molecules_of(name, entry)
    displacement = entry.get("displacement", "normal_modes")
    versions = {"rdkit": rdkit.__version__, "tblite": version("tblite")}
    decisive = {key: entry.get(key) for key in DECISIVE} | {"displacement": displacement}
    identity = decisive | versions | {"method": METHOD, "molecules": fingerprint(molecules)}
    shards = resumable_folder(Path(directory) / "shards", identity)
    _label_all(shards, entry, molecules, workers)
    failures = []
    facts = {"source": f"{source}, {displacement.replace('_', ' ')}", "method": METHOD, "versions": versions}
    header = write_store(directory, name, entry, _finished(shards, molecules, failures), molecules, failures, facts)
    shutil.rmtree(shards)
    return header


def molecules_of(name: str, entry: dict) -> tuple[list[str], str]:
    """SMILES of the entry's molecules, and where they are from.

    They are those of `smiles`, a list, or of the file at `path`, of lines, csv or parquet; without
    either, `small_molecules`. Each counts once. Raises ChemscaleError where there are none, or not as many as asked.
    """
    if "smiles" in entry:
        given, source = entry["smiles"], "the entry's smiles"
    elif "path" in entry:
        path = Path(entry["path"]).expanduser()
        if not path.is_file():
            raise ChemscaleError(f"{name}.path: {entry['path']}: no such file (looked for {path.absolute()})")
        layout = layout_of(path, entry.get("format"), entry.get("column"))
        if layout.form == "sdf":
            raise ChemscaleError(f"{name}.path: {path}: SDF; right would be a file of SMILES, lines, csv or parquet")
        given = [line.text for line in read_lines(path, layout) if line.text]
        source = path.name
    else:
        least, most = entry.get("min_heavy_atoms", 1), entry["max_heavy_atoms"]
        molecules = small_molecules(most, entry["molecules"], least)
        if len(molecules) < entry["molecules"]:
            raise ChemscaleError(
                f"{name}: {entry['molecules']} molecules asked for, but {NCI.name} has {len(molecules)} of "
                f"{least} to {most} heavy atoms; ask for fewer or raise max_heavy_atoms"
            )
        return molecules, f"RDKit's {NCI.name}"
    with BlockLogs():
        readable = [(smiles, Chem.MolFromSmiles(smiles)) for smiles in given]
    molecules = list(dict.fromkeys(Chem.MolToSmiles(found) if found else smiles for smiles, found in readable))
    if not molecules:
        raise ChemscaleError(f"{name}: no molecules in {source}")
    return molecules[: entry.get("molecules")], source


def small_molecules(max_heavy_atoms: int, count: int, min_heavy_atoms: int = 1) -> list[str]:
    """The first `count` SMILES of neutral closed-shell CHNO molecules of these sizes in RDKit's NCI file.

    Parts of mixtures count as molecules of their own.
    """
    found = {}  # a dict for its order
    with BlockLogs():
        for line in NCI.read_text().splitlines():
            whole = Chem.MolFromSmiles(line.split()[0])
            for molecule in Chem.GetMolFrags(whole, asMols=True) if whole else ():
                fits = min_heavy_atoms <= molecule.GetNumHeavyAtoms() <= max_heavy_atoms
                if fits and all(map(_is_plain, molecule.GetAtoms())):
                    found[Chem.MolToSmiles(molecule)] = None
    return list(found)[:count]


def label_molecule(task: tuple[dict, int, str]) -> tuple[Block, list[dict]]:
    """Geometries of one molecule with their labels, and its failures. The task: registry entry, number, SMILES."""
    entry, number, smiles = task
    wanted = entry["geometries_per_molecule"]
    failure = {"molecule": number, "smiles": smiles}
    generator = np.random.default_rng((entry["seed"], number))
    displaced = DISPLACEMENTS[entry.get("displacement", "normal_modes")]
    with BlockLogs():
        try:
            z, geometries = displaced(smiles, entry["conformers"], wanted, entry["temperature"], generator)
        except GeometryError as error:
            empty = Block(np.zeros(0), np.zeros((0, 0, 3)), np.zeros(0), np.zeros((0, 0, 3)), np.zeros(0))
            return empty, [{**failure, "geometry": None, "geometries": wanted, "reason": str(error)}]
    kept, energies, forces, failures = [], [], [], []
    for k, positions in enumerate(geometries):
        try:
            energy, force = single_point(z, positions)
        except TBLiteRuntimeError as error:
            failures.append({**failure, "geometry": k, "geometries": 1, "reason": f"{METHOD}: {error}"})
            continue
        kept.append(positions)
        energies.append(energy)
        forces.append(force)
    shape = (-1, len(z), 3)
    group = np.full(len(kept), number)
    return Block(z, np.reshape(kept, shape), np.array(energies), np.reshape(forces, shape), group), failures


def _label_all(shards: Path, entry: dict, molecules: list[str], workers: int) -> None:
    """Label the molecules that are not among the shards."""
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
    """Label a molecule and keep it."""
    block, failures = label_molecule((entry, number, smiles))
    with atomic(path) as temporary:
        arrays = {key: array for key, array in block._asdict().items() if array is not None}
        np.savez(temporary, **arrays, failures=json.dumps(failures))


def _shard(shards: Path, number: int) -> Path:
    return shards / f"{number:06d}.npz"


def _finished(shards: Path, molecules: list[str], failures: list[dict]) -> Iterator[Block]:
    """Blocks of all molecules, in their order; their failures join `failures`."""
    for number in range(len(molecules)):
        with np.load(_shard(shards, number)) as shard:
            failures += json.loads(shard["failures"].item())
            yield Block(**{key: shard[key] for key in Block._fields if key in shard})


def _is_plain(atom: Chem.Atom) -> bool:
    odd = atom.GetFormalCharge() or atom.GetNumRadicalElectrons() or atom.GetIsotope()
    return atom.GetAtomicNum() in ORGANIC and not odd
