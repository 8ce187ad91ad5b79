"""How good generated molecules are: shares, diversity, and how far their properties lie from the training set's.

The shares and the diversity are those of MOSES (Polykovskiy et al., Front. Pharmacol. 11, 565644 (2020)) and GuacaMol
(Brown et al., J. Chem. Inf. Model. 59, 1096 (2019)), but for the validity: SELFIES always spell a molecule, so a
molecule counts as valid only if the model also ended it.
"""

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
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
COMPARED = 1000  # molecules whose pairs make the diversity; their half a million pairs settle its third digit


def shares(table: pd.DataFrame) -> dict[str, float | None]:
    """Shares of generated molecules, from their `table`: columns `smiles`, `valid`, `finished`, `novel` (or all null).

    * `generated_ended`: the model ended it with [EOS], of all.
    * `generated_valid`: ended, and it decodes to at least one atom that RDKit sanitizes, of all.
    * `generated_unique`: distinct canonical SMILES, of the valid ones.
    * `generated_novel`: not in the training subset the model saw, of the distinct valid ones.
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


def seen(corpus: Corpus, rows: np.ndarray, smiles: Iterable[str]) -> set[str]:
    """Those of the canonical `smiles` that are among the corpus's molecules `rows`, a run of consecutive ones."""
    asked, found = pa.array(sorted(set(smiles)), pa.string()), set()
    for part in _smiles(corpus, rows):
        found.update(part.filter(pc.is_in(part, asked)).to_pylist())
    return found


def _smiles(corpus: Corpus, rows: np.ndarray) -> Iterator[pa.Array]:
    """SMILES of the corpus's molecules `rows`, a run of consecutive ones, some thousands at a time."""
    first = 0
    for part in pq.ParquetFile(corpus.directory / "molecules.parquet").iter_batches(columns=["smiles"]):
        start, stop = (int(np.clip(row - first, 0, len(part))) for row in (rows[0], rows[-1] + 1))
        yield part.column(0).slice(start, stop - start).cast(pa.string())
        first += len(part)
        if first > rows[-1]:
            return


def internal_diversity(smiles: list[str]) -> float | None:
    """IntDiv1 of MOSES: 1 − the mean Tanimoto similarity over all ordered pairs, a molecule with itself included.

    On ECFP4 (Morgan fingerprints of radius 2, 1024 bits, as MOSES has them), of the first COMPARED molecules. None for
    no molecules.
    """
    if not smiles:
        return None
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    bits = np.stack([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(text)) for text in smiles[:COMPARED]])
    bits = bits.astype(np.float32)  # (M, 1024)
    common, count = bits @ bits.T, bits.sum(1)  # (M, M), (M,)
    return float(1 - (common / (count[:, None] + count - common)).mean(dtype=np.float64))


def properties(smiles: list[str]) -> pd.DataFrame:
    """Properties of canonical `smiles`, a row each: `smiles` and PROPERTIES.

    `logp`: Crippen's estimate (Wildman, Crippen, J. Chem. Inf. Comput. Sci. 39, 868 (1999)). `qed`: drug-likeness from
    0 to 1 (Bickerton et al., Nat. Chem. 4, 90 (2012)). `sa`: synthetic accessibility from 1, easy, to 10 (Ertl,
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
    """Write the properties of the first `molecules` training molecules to `out` (Parquet), what `reference` gives."""
    table = reference(corpus, molecules)
    with atomic(out) as path:
        table.to_parquet(path, index=False)
    return table


def reference(corpus: Corpus, molecules: int) -> pd.DataFrame:
    """Properties of the first `molecules` of the training split, or all: a random sample, since their order is."""
    rows = corpus.rows("train", min(molecules, corpus.header["molecules"]["train"]))
    return properties([smiles for part in _smiles(corpus, rows) for smiles in part.to_pylist()])


def distances(generated: pd.DataFrame, training: pd.DataFrame) -> dict[str, float | None]:
    """Wasserstein-1 distance of each property between generated and `training` molecules, in the property's unit.

    All valid molecules count, as in MOSES, repeated ones as often as they came. `…_floor` is what the training set gets
    itself with as many molecules: the mean over its disjoint parts of that size, at most half of it, of the distance
    between a part and all the others. A model that draws from the training distribution is there. None where there
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
    """Shares of the molecules `smiles` with `scaffold` as a substructure, and with it as their Murcko scaffold.

    Bemis, Murcko, J. Med. Chem. 39, 2887 (1996): all rings and what links them. Compared without stereochemistry.
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
    """The score of RDKit's `Contrib/SA_Score`, a script and no module of the package."""
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    if not path.is_file():
        raise ChemscaleError(f"{path}: not in this RDKit; the wheels of rdkit from PyPI have it")
    description = importlib.util.spec_from_file_location("sascorer", path)
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module.calculateScore
