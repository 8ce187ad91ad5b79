"""Compare the nearest neighbours by embedding with those by fingerprint."""

import numpy as np
from scipy import stats

from chemscale.errors import ChemscaleError
from chemscale.files import finite
from chemscale.generation.metrics import ecfp4, tanimotos

MAX_COMPARED = 2000  # molecules; all pairs of them are compared
BITS = 2048


def neighbour_agreement(embeddings: np.ndarray, smiles: list[str], k: int, seed: int = 0) -> dict:
    """Return how neighbours by the cosine of `embeddings` (N, W) agree with those by the Tanimoto similarity of ECFP4.

    Fingerprints have BITS bits. Repeated `smiles` count once; of more than MAX_COMPARED molecules a sample is drawn by
    `seed`. Neighbours are the k most similar other molecules. The result has

    tanimoto    mean over molecules and k neighbours: `embedding` neighbours, `ecfp4` neighbours (the upper limit), and
                `random` ones (all pairs)
    overlap     mean share of a molecule's k embedding neighbours that are among its k ECFP4 neighbours; by chance it is
                `overlap_by_chance`, k / (molecules - 1)
    spearman    rank correlation of cosine and Tanimoto over all pairs; null if one of them is constant

    Raises ChemscaleError unless 0 < k < molecules.
    """
    distinct = np.unique(smiles, return_index=True)[1]
    chosen = np.random.default_rng(seed).permutation(np.sort(distinct))[:MAX_COMPARED]  # (M,)
    M = len(chosen)
    if M < 2:
        raise ChemscaleError(f"neighbours = {k}: needs at least 2 different molecules; give more, or leave it out")
    if not 0 < k < M:
        raise ChemscaleError(f"neighbours = {k}: must be 1 to {M - 1:,} for {M:,} different molecules")
    fingerprints = ecfp4([smiles[row] for row in chosen], BITS)  # (M, BITS)
    cosine, tanimoto = cosines(embeddings[chosen]), tanimotos(fingerprints, fingerprints)  # (M, M) each
    by_embedding, by_ecfp4 = nearest(cosine, k), nearest(tanimoto, k)  # (M, k) each
    pairs = np.triu_indices(M, 1)
    return {
        "molecules": M,
        "sampled_from": len(distinct),
        "k": k,
        "fingerprint": f"ECFP4, {BITS} bits",
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
    """Return the cosine (M, M) of the angle between each two of `vectors` (M, W)."""
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return directions @ directions.T


def nearest(similarity: np.ndarray, k: int) -> np.ndarray:
    """Return the `k` most similar others (M, k) of each molecule by `similarity` (M, M); of equal ones the first."""
    others = similarity.copy()
    np.fill_diagonal(others, -np.inf)
    return np.argsort(-others, axis=1, kind="stable")[:, :k]
