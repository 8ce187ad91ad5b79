"""Reference energies of the elements, fitted by least squares and subtracted before training."""

import numpy as np
from ase.data import chemical_symbols

from chemscale.errors import ChemscaleError
from chemscale.geometries.measures import segment_sum
from chemscale.geometries.store import Geometries


def fit_references(geometries: Geometries, rows: np.ndarray) -> np.ndarray:
    """Return the atomic energies (119,) in eV whose sums best fit the energies of `rows`; NaN for other elements.

    Fit them on training rows only: more rows would tell a model about what it is tested on. Where the compositions do
    not determine the energies (one molecule alone, say) these are the solution of least norm: right for those
    compositions, and for no others.
    """
    counts = compositions(geometries.z[geometries.atoms(rows)], geometries.n_atoms(rows))
    present = counts.any(0)
    references = np.full(len(chemical_symbols), np.nan)
    references[present] = np.linalg.lstsq(counts[:, present].astype(float), geometries.energy[rows], rcond=None)[0]
    return references


def compositions(z: np.ndarray, n_atoms: np.ndarray) -> np.ndarray:
    """Return the atoms of each element (S, 119) in structures of `n_atoms` (S,) atoms `z` (A,)."""
    elements = len(chemical_symbols)
    cells = np.repeat(np.arange(len(n_atoms)), n_atoms) * elements + z.astype(np.int64)  # (A,)
    return np.bincount(cells, minlength=len(n_atoms) * elements).reshape(len(n_atoms), elements)


def undetermined(geometries: Geometries, rows: np.ndarray) -> np.ndarray:
    """Return the directions (D, 119) in which the compositions of `rows` leave the references undetermined.

    They are orthonormal; energies of a composition with a part along one of them mean nothing. Molecules of enough
    different compositions have none.
    """
    counts = compositions(geometries.z[geometries.atoms(rows)], geometries.n_atoms(rows))
    present = np.flatnonzero(counts.any(0))
    _, values, directions = np.linalg.svd(np.unique(counts[:, present], axis=0).astype(float))
    rank = int((values > 1e-9 * values[0]).sum())
    found = np.zeros((len(present) - rank, counts.shape[1]))
    found[:, present] = directions[rank:]
    return found


def require_elements(references: np.ndarray, geometries: Geometries, rows: np.ndarray) -> None:
    """Raise ChemscaleError if `rows` hold an element without a reference energy: it was not in the training rows."""
    present = np.unique(geometries.z[geometries.atoms(rows)])
    missing = [chemical_symbols[z] for z in present if np.isnan(references[z])]
    if missing:
        known = [chemical_symbols[z] for z in np.flatnonzero(~np.isnan(references))]
        raise ChemscaleError(
            f"{geometries.directory}: the test structures contain {', '.join(missing)}, the training structures only "
            f"{', '.join(known)}; use more training structures or another seed"
        )


def subtract(energy: np.ndarray, references: np.ndarray, z: np.ndarray, n_atoms: np.ndarray) -> np.ndarray:
    """Return energies (M,) in eV minus the references of their atoms; `z` (A,) holds molecules of `n_atoms` (M,)."""
    return energy - segment_sum(references[z], n_atoms)
