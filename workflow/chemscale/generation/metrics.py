"""Metrics of sets of molecules as MOSES defines them, each with an interval.

Polykovskiy et al., Front. Pharmacol. 11, 565644 (2020). All take canonical SMILES of valid molecules, repeated ones as
often as they occur. Intervals of shares are Wilson's; they are wider than need be for uniqueness, where molecules are
not independent. All others come from a jackknife over MAX_GROUPS groups of generated molecules, each left out once;
they do not include the uncertainty of the reference.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem import BRICS, rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold
from rdkit.rdBase import BlockLogs
from scipy import sparse, stats

CONFIDENCE = 0.9
MAX_GROUPS = 20
MAX_COMPARED = 30_000  # molecules, the first ones, whose pairs are compared; as many as MOSES generates
BITS = 1024  # length of fingerprints, as in MOSES
BLOCK = 1000  # molecules compared with all others at a time
MIN_RINGS = 2  # a scaffold with fewer does not count


class Estimate(NamedTuple):
    """A number with an interval; all None where there is nothing to estimate it from."""

    value: float | None
    low: float | None = None
    high: float | None = None


def share(count: int, of: int, confidence: float = CONFIDENCE) -> Estimate:
    """Return a share of independent trials with the interval of Wilson, J. Am. Stat. Assoc. 22, 209 (1927)."""
    if not of:
        return Estimate(None)
    interval = stats.binomtest(int(count), of).proportion_ci(confidence, "wilson")
    return Estimate(float(count / of), float(interval.low), float(interval.high))


def unique(smiles: list[str], first: int | None = None, confidence: float = CONFIDENCE) -> Estimate:
    """Return the share of distinct molecules among the `first` ones, or among all where there are not as many."""
    counted = smiles[:first]
    return share(len(set(counted)), len(counted), confidence)


def novel(smiles: Iterable[str], known: Collection[str], confidence: float = CONFIDENCE) -> Estimate:
    """Return the share of the distinct molecules that are not among the `known` ones."""
    distinct = set(smiles)
    return share(len(distinct - set(known)), len(distinct), confidence)


def jackknifed(
    statistic: Callable[[np.ndarray], float], n: int, confidence: float = CONFIDENCE, largest: float = np.inf
) -> Estimate:
    """Return `statistic` of all n molecules with an interval from 0 to `largest` at most.

    `statistic` takes which molecules count (n,) bool. Its standard error is that of the delete-a-group jackknife.
    """
    if not n:
        return Estimate(None)
    value = float(statistic(np.ones(n, bool)))
    group = _groups(n)
    groups = int(group[-1]) + 1
    without = np.array([statistic(group != number) for number in range(groups)]) if groups > 1 else np.array([np.nan])
    error = np.sqrt((groups - 1) / groups * ((without - without.mean()) ** 2).sum())
    if not np.isfinite([value, error]).all():
        return Estimate(value if np.isfinite(value) else None)
    half = stats.t.ppf((1 + confidence) / 2, groups - 1) * error
    return Estimate(value, float(max(0, value - half)), float(min(largest, value + half)))


def diversity(smiles: list[str], power: int = 1, confidence: float = CONFIDENCE) -> Estimate:
    """Return the internal diversity of the first MAX_COMPARED molecules: IntDiv of MOSES, or IntDiv2 with `power` 2.

    1 − the mean over molecules i of (mean over molecules j of T_ij^power)^(1/power), where T is the Tanimoto similarity
    by ECFP4 and j includes i. So computes the code of MOSES; its paper takes the root of the mean over all pairs.
    """
    prints = ecfp4(smiles[:MAX_COMPARED])
    group = _groups(len(prints))
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    blocks = [
        np.add.reduceat(tanimotos(prints[first : first + BLOCK], prints).astype(float) ** power, starts, axis=1)
        for first in range(0, len(prints), BLOCK)
    ]
    sums = np.concatenate(blocks) if blocks else np.zeros((0, 0))  # (M, groups) of each molecule over each group

    def statistic(kept: np.ndarray) -> float:
        means = sums[kept][:, kept[starts]].sum(1) / kept.sum()
        return 1 - (means ** (1 / power)).mean()

    return jackknifed(statistic, len(prints), confidence, 1)


def nearest_similarity(smiles: list[str], reference: list[str], confidence: float = CONFIDENCE) -> Estimate:
    """Return SNN: the mean Tanimoto similarity by ECFP4 of a molecule and its nearest one in the `reference`."""
    if not smiles or not reference:
        return Estimate(None)
    prints, others = ecfp4(smiles[:MAX_COMPARED]), ecfp4(reference)
    nearest = np.concatenate(
        [tanimotos(prints[first : first + BLOCK], others).max(1) for first in range(0, len(prints), BLOCK)]
    )
    return jackknifed(lambda kept: nearest[kept].mean(), len(nearest), confidence, 1)


def similarity_of_counts(
    parts: Callable[[str], list[str]], smiles: list[str], reference: list[str], confidence: float = CONFIDENCE
) -> Estimate:
    """Return the cosine of the counts of `parts` in the molecules and in the `reference`.

    With `fragments` it is Frag of MOSES, with `scaffolds` Scaf. None where either has no parts.
    """
    parts_of = {text: parts(text) for text in {*smiles, *reference}}
    expected = Counter(part for text in reference for part in parts_of[text])
    place = {part: n for n, part in enumerate(dict.fromkeys([*expected, *(p for t in smiles for p in parts_of[t])]))}
    columns = [place[part] for text in smiles for part in parts_of[text]]
    rows = np.repeat(np.arange(len(smiles)), [len(parts_of[text]) for text in smiles])
    counts = sparse.csr_array((np.ones(len(columns)), (rows, columns)), (len(smiles), len(place)))
    wanted = np.array([expected[part] for part in place], float)

    def statistic(kept: np.ndarray) -> float:
        found = kept.astype(float) @ counts
        length = np.sqrt((found @ found) * (wanted @ wanted))
        return found @ wanted / length if length else np.nan

    return jackknifed(statistic, len(smiles), confidence, 1)


def fragments(smiles: str) -> list[str]:
    """Return the BRICS fragments of a molecule (Degen et al., ChemMedChem 3, 1503 (2008))."""
    with BlockLogs():
        return Chem.MolToSmiles(BRICS.BreakBRICSBonds(Chem.MolFromSmiles(smiles))).split(".")


def scaffolds(smiles: str) -> list[str]:
    """Return the Murcko scaffold of a molecule (J. Med. Chem. 39, 2887 (1996)) if it has MIN_RINGS rings."""
    core = MurckoScaffold.GetScaffoldForMol(Chem.MolFromSmiles(smiles))
    return [Chem.MolToSmiles(core)] if core.GetRingInfo().NumRings() >= MIN_RINGS else []


def ecfp4(smiles: list[str], bits: int = BITS) -> np.ndarray:
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


def _groups(n: int) -> np.ndarray:
    """Return the group (n,) of each molecule, rising: MAX_GROUPS groups of about equal size."""
    return np.arange(n) * min(MAX_GROUPS, n) // max(n, 1)
