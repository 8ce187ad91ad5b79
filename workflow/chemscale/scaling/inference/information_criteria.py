"""Criteria of information: how well a form fits, less what its freedom alone would explain."""

import numpy as np

from chemscale.scaling.fitting.fit import Fit


def aicc(fit: Fit) -> float:
    """Corrected Akaike criterion, n log(S/n) + 2k + 2k(k+1)/(n−k−1), infinite where n ≤ k + 1.

    S is twice the Huber objective (the sum of squares where no residual is clipped), k counts the parameters and the
    noise. Compare fits of the same points with the same δ only. Hurvich & Tsai 1989, Biometrika 76, 297.
    """
    n, k = len(fit.loss), len(fit.theta) + 1
    if n <= k + 1:
        return np.inf
    total = max(2 * fit.certificate["objective"], n * 1e-20)
    return n * np.log(total / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def bic(fit: Fit) -> float:
    """Bayesian criterion, n log(S/n) + k log n, with S and k as in `aicc`. Schwarz 1978, Ann. Stat. 6, 461."""
    n, k = len(fit.loss), len(fit.theta) + 1
    total = max(2 * fit.certificate["objective"], n * 1e-20)
    return n * np.log(total / n) + k * np.log(n)
