"""Do embeddings know which molecules are alike? Their nearest neighbours against those by fingerprint."""

import numpy as np
from rdkit import Chem
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from scipy import stats

from chemscale.errors import ChemscaleError
from chemscale.files import finite

MOST = 2000  # molecules compared; all pairs of them


def neighbour_agreement(embeddings: np.ndarray, smiles: list[str], k: int, seed: int = 0) -> dict:
    """Agreement of neighbours by the cosine of `embeddings` (N, W) with those by the Tanimoto similarity of ECFP4.

    ECFP4: Morgan fingerprints of radius 2 (Rogers & Hahn, J. Chem. Inf. Model. 50, 742 (2010)), here without
    chirality, folded to 2048 bits; Tanimoto of two: bits in both / bits in either. Repeated `smiles` count once; more
    than MOST molecules are sampled by `seed`. With neighbours the k most similar other molecules:

    tanimoto    mean over molecules and k neighbours: of `embedding` neighbours, of `ecfp4` neighbours (the most there
                can be), and of `random` ones (all pairs)
    overlap     mean share of a molecule's k embedding neighbours that are among its k ECFP4 neighbours, and what
                `overlap_by_chance` would be, k / (molecules - 1)
    spearman    rank correlation of cosine and Tanimoto over all pairs; null if one of them is constant

    Raises ChemscaleError unless 0 < k < molecules.
    """
    distinct = np.unique(smiles, return_index=True)[1]
    chosen = np.random.default_rng(seed).permutation(np.sort(distinct))[:MOST]  # (M,)
    M = len(chosen)
    if not 0 < k < M:
        raise ChemscaleError(f"{k} neighbours of each of {M:,} different molecules: right would be 1 to {M - 1:,}")
    cosine, tanimoto = cosines(embeddings[chosen]), tanimotos([smiles[row] for row in chosen])  # (M, M) each
    by_embedding, by_ecfp4 = nearest(cosine, k), nearest(tanimoto, k)  # (M, k) each
    pairs = np.triu_indices(M, 1)
    return {
        "molecules": M,
        "sampled_from": len(distinct),
        "k": k,
        "fingerprint": "ECFP4, 2048 bits",
        "tanimoto": {
            "embedding": float(np.take_along_axis(tanimoto, by_embedding, 1).mean()),
            "random": float(tanimoto[pairs].mean()),
            "ecfp4": float(np.take_along_axis(tanimoto, by_ecfp4, 1).mean()),
        },
        "overlap": float((by_embedding[:, :, None] == by_ecfp4[:, None, :]).sum() / (M * k)),
        "overlap_by_chance": k / (M - 1),
        "spearman": finite(stats.spearmanr(cosine[pairs], tanimoto[pairs]).statistic),
    }


def cosines(vectors: np.ndarray) -> np.ndarray:
    """Cosine (M, M) of the angle between each two of `vectors` (M, W)."""
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return directions @ directions.T


def tanimotos(smiles: list[str]) -> np.ndarray:
    """Tanimoto similarity (M, M) of each two molecules by ECFP4 of 2048 bits."""
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    bits = np.array([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(molecule)) for molecule in smiles], np.float32)
    both, counts = bits @ bits.T, bits.sum(1)  # (M, M), (M,)
    return both / np.maximum(counts[:, None] + counts - both, 1)


def nearest(similarity: np.ndarray, k: int) -> np.ndarray:
    """The `k` most similar others (M, k) of each molecule by `similarity` (M, M); of equal ones the first."""
    others = similarity.copy()
    np.fill_diagonal(others, -np.inf)
    return np.argsort(-others, axis=1, kind="stable")[:, :k]
