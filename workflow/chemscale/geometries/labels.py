"""Small molecules out of RDKit's distribution, shaken by heat and labelled with energies and forces by GFN2-xTB."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import rdkit
from rdkit import Chem, RDConfig
from rdkit.rdBase import BlockLogs
from tblite.interface import TBLiteRuntimeError

from chemscale.errors import ChemscaleError
from chemscale.geometries.thermal import GeometryError, thermal_geometries
from chemscale.geometries.writing import Block, write_store
from chemscale.geometries.xtb import METHOD, single_point
from chemscale.progress import progress
from chemscale.training.throughput import one_thread

NCI = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
ORGANIC = {1, 6, 7, 8}


def label(name: str, entry: dict, directory: Path | str, workers: int) -> dict:
    """Make the dataset of a registry entry with `source: thermal`; return the header of its store.

    Molecules: `small_molecules`; geometries: `thermal`; labels: GFN2-xTB (Bannwarth, Ehlert, Grimme, J. Chem. Theory
    Comput. 15, 1652 (2019)) by tblite. A function of the entry alone, whatever the number of `workers`. What fails
    is kept in `failures.parquet`; more than `max_failure_share` of it raises ChemscaleError.
    """
    molecules = small_molecules(entry["max_heavy_atoms"], entry["molecules"])
    if len(molecules) < entry["molecules"]:
        raise ChemscaleError(
            f"{name}: {entry['molecules']} molecules asked for, but {NCI.name} has {len(molecules)} of at most "
            f"{entry['max_heavy_atoms']} heavy atoms; ask for fewer or raise max_heavy_atoms"
        )
    # the spawned workers inherit this; with more than a thread each they would wait for one another
    one_thread()
    tasks = [(entry, number, smiles) for number, smiles in enumerate(molecules)]
    blocks, failures = [], []
    with (
        ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool,
        progress(len(molecules) * entry["geometries_per_molecule"], "labels", "geometries") as tick,
    ):
        for block, failed in pool.map(label_molecule, tasks):
            blocks.append(block)
            failures += failed
            tick(entry["geometries_per_molecule"])
    facts = {
        "source": f"RDKit's {NCI.name}, thermal normal modes of MMFF94",
        "method": METHOD,
        "versions": {"rdkit": rdkit.__version__, "tblite": version("tblite")},
    }
    return write_store(directory, name, entry, blocks, molecules, failures, facts)


def small_molecules(max_heavy_atoms: int, count: int) -> list[str]:
    """The first `count` SMILES of neutral closed-shell CHNO molecules in RDKit's NCI file.

    Parts of mixtures count as molecules of their own.
    """
    found = {}  # a dict for its order
    with BlockLogs():
        for line in NCI.read_text().splitlines():
            whole = Chem.MolFromSmiles(line.split()[0])
            for molecule in Chem.GetMolFrags(whole, asMols=True) if whole else ():
                if molecule.GetNumHeavyAtoms() <= max_heavy_atoms and all(map(_is_plain, molecule.GetAtoms())):
                    found[Chem.MolToSmiles(molecule)] = None
    return list(found)[:count]


def label_molecule(task: tuple[dict, int, str]) -> tuple[Block, list[dict]]:
    """Geometries of one molecule with their labels, and its failures. The task: registry entry, number, SMILES."""
    entry, number, smiles = task
    wanted = entry["geometries_per_molecule"]
    failure = {"molecule": number, "smiles": smiles}
    generator = np.random.default_rng((entry["seed"], number))
    with BlockLogs():
        try:
            z, geometries = thermal_geometries(smiles, entry["conformers"], wanted, entry["temperature"], generator)
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


def _is_plain(atom: Chem.Atom) -> bool:
    odd = atom.GetFormalCharge() or atom.GetNumRadicalElectrons() or atom.GetIsotope()
    return atom.GetAtomicNum() in ORGANIC and not odd
