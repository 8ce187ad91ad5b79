"""Properties of molecules, and how far their distributions lie apart."""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from rdkit import Chem, RDConfig
from rdkit.Chem import QED, Crippen, Descriptors
from rdkit.rdBase import BlockLogs
from scipy.stats import wasserstein_distance

from chemscale.errors import ChemscaleError
from chemscale.files import atomic
from chemscale.molecules.store import Corpus
from chemscale.progress import progress

PROPERTIES = ("logp", "qed", "sa", "weight")


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
            logp, weight = Crippen.MolLogP(molecule), Descriptors.MolWt(molecule)  # type: ignore[attr-defined]
            rows[text] = (logp, QED.qed(molecule), score(molecule), weight)
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


@cache
def _synthetic_accessibility() -> Callable[[Chem.Mol], float]:
    """Load the score from RDKit's `Contrib/SA_Score`, which is a script and not a module of the package."""
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    if not path.is_file():
        raise ChemscaleError(f"{path}: missing from this RDKit; install rdkit from PyPI, whose wheels contain it")
    description = importlib.util.spec_from_file_location("sascorer", path)
    assert description and description.loader
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module.calculateScore
