"""Metrics of generated molecules: validity, uniqueness, novelty, diversity, and distances of properties.

The shares and the diversity are those of MOSES (Polykovskiy et al., Front. Pharmacol. 11, 565644 (2020)) and GuacaMol
(Brown et al., J. Chem. Inf. Model. 59, 1096 (2019)), except for validity: SELFIES always spell a molecule, so a
molecule counts as valid only if the model also ended it.
"""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from rdkit import Chem, RDConfig
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold
from rdkit.rdBase import BlockLogs
from scipy.stats import wasserstein_distance

from chemscale.errors import ChemscaleError
from chemscale.files import atomic
from chemscale.molecules.store import Corpus
from chemscale.progress import progress

PROPERTIES = ("logp", "qed", "sa", "weight")
MAX_COMPARED = 1000  # molecules whose pairs make the diversity
DIVERSITY_BITS = 1024  # of fingerprints, as in MOSES


def shares(table: pd.DataFrame) -> dict[str, float | None]:
    """Return the shares of generated molecules in a `table` with columns `smiles`, `valid`, `finished` and `novel`.

    * `generated_ended`: ended by the model with [EOS], of all.
    * `generated_valid`: ended, and decoded to at least one atom that RDKit sanitizes, of all.
    * `generated_unique`: distinct canonical SMILES, of the valid ones.
    * `generated_novel`: not in the training subset of the model, of the distinct valid ones; None if that is unknown.
    """
    valid = table[table["valid"]]
    distinct = valid.drop_duplicates("smiles")
    novel = None if distinct["novel"].isna().any() else _share(distinct["novel"].sum(), len(distinct))
    return {
        "generated_molecules": len(table),
        "generated_ended": _share(table["finished"].sum(), len(table)),
        "generated_valid": _share(len(valid), len(table)),
        "generated_unique": _share(len(distinct), len(valid)),
        "generated_novel": novel,
    }


def internal_diversity(smiles: list[str]) -> float | None:
    """Return IntDiv of MOSES: 1 − the mean Tanimoto similarity over all ordered pairs, including each with itself.

    Of the first MAX_COMPARED molecules by ECFP4; None for no molecules.
    """
    if not smiles:
        return None
    fingerprints = ecfp4(smiles[:MAX_COMPARED], DIVERSITY_BITS)
    return float(1 - tanimotos(fingerprints, fingerprints).mean(dtype=np.float64))


def ecfp4(smiles: list[str], bits: int) -> np.ndarray:
    """Return the fingerprints (M, bits) float32 of molecules, 0 or 1.

    ECFP4: Morgan fingerprints of radius 2 without chirality (Rogers, Hahn, J. Chem. Inf. Model. 50, 742 (2010)).
    """
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=bits)
    prints = [generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(molecule)) for molecule in smiles]
    return np.array(prints, np.float32).reshape(-1, bits)


def tanimotos(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the Tanimoto similarity (M, N) of fingerprints (M, B) and (N, B): bits in both / bits in either."""
    both = one @ other.T  # (M, N)
    return both / np.maximum(one.sum(1)[:, None] + other.sum(1) - both, 1)


def properties(smiles: list[str]) -> pd.DataFrame:
    """Return the properties of canonical `smiles`, one row each: `smiles` and PROPERTIES.

    `logp`: Crippen's estimate (Wildman, Crippen, J. Chem. Inf. Comput. Sci. 39, 868 (1999)). `qed`: drug-likeness from
    0 to 1 (Bickerton et al., Nat. Chem. 4, 90 (2012)). `sa`: synthetic accessibility from 1 (easy) to 10 (Ertl,
    Schuffenhauer, J. Cheminf. 1, 8 (2009)), by RDKit's contributed script. `weight`: in Da.
    """
    score = _synthetic_accessibility()
    rows = {}
    with BlockLogs(), progress(len(set(smiles)), "properties", "molecules") as tick:
        for text in dict.fromkeys(smiles):
            molecule = Chem.MolFromSmiles(text)
            rows[text] = (Crippen.MolLogP(molecule), QED.qed(molecule), score(molecule), Descriptors.MolWt(molecule))
            tick()
    values = np.array([rows[text] for text in smiles]).reshape(-1, len(PROPERTIES))  # (M, 4)
    return pd.DataFrame({"smiles": smiles, **dict(zip(PROPERTIES, values.T, strict=True))})


def write_properties(corpus: Corpus, molecules: int, out: Path) -> pd.DataFrame:
    """Write the properties of the first `molecules` training molecules to `out` (Parquet); return them."""
    table = reference(corpus, molecules)
    with atomic(out) as path:
        table.to_parquet(path, index=False)
    return table


def reference(corpus: Corpus, molecules: int) -> pd.DataFrame:
    """Return the properties of the first `molecules` of the training split, or all; their order is random."""
    rows = corpus.rows("train", min(molecules, corpus.header["molecules"]["train"]))
    return properties([smiles for part in corpus.smiles(rows) for smiles in part.to_pylist()])


def distances(generated: pd.DataFrame, training: pd.DataFrame) -> dict[str, float | None]:
    """Return the Wasserstein-1 distance of each property from `training` molecules, in the property's unit.

    All valid molecules count, as in MOSES, repeated ones as often as they occur. `…_floor` is the same distance for
    samples of as many training molecules: the mean over disjoint parts of that size, at most half of the set, of the
    distance between a part and all others. A model that draws from the training distribution reaches it. None if there
    are no molecules to compare.
    """
    size = min(len(generated), len(training) // 2)
    parts = [slice(first, first + size) for first in range(0, len(training) - size + 1, size)] if size else []
    result = {}
    for name in PROPERTIES:
        values = training[name].to_numpy()
        floors = [wasserstein_distance(values[part], np.delete(values, part)) for part in parts]
        result[f"wasserstein_{name}"] = float(wasserstein_distance(generated[name], values)) if parts else None
        result[f"wasserstein_{name}_floor"] = float(np.mean(floors)) if parts else None
    return result


def scaffold_kept(smiles: list[str], scaffold: str) -> dict[str, float | None]:
    """Return the shares of `smiles` with `scaffold` as a substructure, and with it as their Murcko scaffold.

    Bemis, Murcko, J. Med. Chem. 39, 2887 (1996): all rings and their linkers. Compared without stereochemistry.
    """
    wanted = Chem.MolFromSmiles(scaffold)
    flat = Chem.MolToSmiles(wanted, isomericSmiles=False)
    molecules = [Chem.MolFromSmiles(text) for text in smiles]
    cores = [MurckoScaffold.GetScaffoldForMol(molecule) for molecule in molecules]
    equal = [Chem.MolToSmiles(core, isomericSmiles=False) == flat for core in cores]
    return {
        "scaffold_kept": _share(sum(molecule.HasSubstructMatch(wanted) for molecule in molecules), len(molecules)),
        "scaffold_equal": _share(sum(equal), len(molecules)),
    }


def _share(count: int, of: int) -> float | None:
    return float(count / of) if of else None


@cache
def _synthetic_accessibility() -> Callable[[Chem.Mol], float]:
    """Load the score from RDKit's `Contrib/SA_Score`, which is a script and not a module of the package."""
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    if not path.is_file():
        raise ChemscaleError(f"{path}: missing from this RDKit; install rdkit from PyPI, whose wheels contain it")
    description = importlib.util.spec_from_file_location("sascorer", path)
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module.calculateScore
