"""Energies of free atoms, as least squares sees them: what a potential need not learn."""

import numpy as np
from ase.data import chemical_symbols

from chemscale.errors import ChemscaleError
from chemscale.geometries.store import Geometries


def fit_references(geometries: Geometries, rows: np.ndarray) -> np.ndarray:
    """Atomic energies (119,) in eV whose sums come closest to the energies of `rows`; NaN for elements not met there.

    To be fitted on training rows only: more of them would tell a model about what it is tested on. Where the
    compositions do not determine the energies (one molecule alone, say) these are the solution of least norm: right
    for those compositions, and for no others.
    """
    n_atoms = geometries.n_atoms(rows)  # (S,)
    z = geometries.z[geometries.atoms(rows)].astype(np.int64)  # (A,)
    elements = len(chemical_symbols)
    cells = np.repeat(np.arange(len(rows)), n_atoms) * elements + z  # (A,)
    counts = np.bincount(cells, minlength=len(rows) * elements).reshape(len(rows), elements)  # (S, 119)
    met = counts.any(0)
    references = np.full(elements, np.nan)
    references[met] = np.linalg.lstsq(counts[:, met].astype(float), geometries.energy[rows], rcond=None)[0]
    return references


def require_elements(references: np.ndarray, geometries: Geometries, rows: np.ndarray) -> None:
    """Raise ChemscaleError if `rows` hold an element without a reference energy, which no potential has seen either."""
    met = np.unique(geometries.z[geometries.atoms(rows)])
    missing = [chemical_symbols[z] for z in met if np.isnan(references[z])]
    if missing:
        known = [chemical_symbols[z] for z in np.flatnonzero(~np.isnan(references))]
        raise ChemscaleError(
            f"{geometries.directory}: structures to be tested hold {', '.join(missing)}, those to be trained on only "
            f"{', '.join(known)}; take a larger training size or another seed of the splits"
        )


def subtract(energy: np.ndarray, references: np.ndarray, z: np.ndarray, n_atoms: np.ndarray) -> np.ndarray:
    """Energies (M,) in eV less the references of their atoms; `z` (A,) holds molecules of `n_atoms` (M,) in a row."""
    return energy - np.add.reduceat(references[z], np.cumsum(n_atoms) - n_atoms)
