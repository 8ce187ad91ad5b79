"""Ratios of measured to known quantities of labelled geometries: each is about 1 where units and sign are right.

A wrong flag of the registry entry changes them by a known factor:

* `work`: energy differences of near geometries of one molecule over the work of the forces between them, −½(Fₐ+F_b)·Δr,
  which a harmonic surface obeys exactly. A wrong sign gives −1, hartree/bohr taken for hartree/Å 1.89;
* `stiffness`: of C–H bonds in the forces, over the 31 eV/Å² of their infrared spectra;
* `distance`: of every atom's nearest neighbour, over the sum of covalent radii;
* `total`, `valence`: energies over the sum of those of free atoms, all-electron, or of GFN2-xTB.
"""

import numpy as np
from ase.data import covalent_radii

from chemscale.geometries.charge_spin import ELECTRONS
from chemscale.geometries.measures import best_rotations, bond_limit
from chemscale.geometries.units import ENERGY
from chemscale.rows import flat_index

MAX_WINDOWS = 400  # places in the file that are looked at
WINDOW_STRUCTURES = 12  # consecutive structures of one molecule at each
MAX_PAIR_RMSD = 0.6  # Å, between near geometries after superposition
MIN_SAMPLES = 8  # pairs or bonds; fewer show nothing
MIN_CORRELATION = 0.8  # between energy differences and work; with less, geometries are too far apart for a slope
MIN_BOND_LENGTH_STD = 0.01  # Å; with less, anharmonicity hides the slope
CH_FORCE_CONSTANT = 31.0  # eV/Å²: 4.9 mdyn/Å
# hartree: free atoms near the basis-set limit, to the third digit of what density functionals and ab initio agree on
ATOM_ENERGIES = {1: -0.5, 2: -2.9, 3: -7.48, 4: -14.66, 5: -24.65, 6: -37.84, 7: -54.58, 8: -75.06, 9: -99.72}
ATOM_ENERGIES |= {10: -128.9, 11: -162.2, 12: -200.0, 13: -242.3, 14: -289.3, 15: -341.2, 16: -398.1, 17: -460.1}
ATOM_ENERGIES |= {18: -527.5, 35: -2574.0}
# hartree: free atoms in GFN2-xTB
ATOM_ENERGIES_GFN2 = {1: -0.393, 5: -0.952, 6: -1.793, 7: -2.606, 8: -3.768, 9: -4.619, 14: -1.569, 15: -2.374}
ATOM_ENERGIES_GFN2 |= {16: -3.146, 17: -4.483, 35: -4.048, 53: -3.780}


def unit_ratios(arrays: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, float | int | None]:
    """Return the ratios, None where the data do not suffice.

    `arrays` are those of `store.ARRAYS`, in the order of the file, of which the structures `rows` (S,) are looked at.
    `correlation` of energy differences and work is there, too, and the number of `pairs` and `bonds` looked at.
    """
    pairs, bonds, distances, sums = [], [], [], []
    for window in _windows(arrays, rows):
        z, x, f, energy = _structures(arrays, window)
        sums.append([energy.mean(), _sum_of(ATOM_ENERGIES, z), _sum_of(ATOM_ENERGIES_GFN2, z)])
        if len(z) > 1:
            apart = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1) + np.diag(np.full(len(z), np.inf))  # (K, A, A)
            distances.append((apart / (covalent_radii[z] + covalent_radii[z][:, None])).min(-1).ravel())
            bonds.append(_carbon_hydrogen(z, x, f, apart))
            pairs.append(_near_pairs(x, f, energy))
    change, work = _columns(pairs)
    length, pull = _columns(bonds)
    correlation = _correlation(change, work)
    correlated = correlation is not None and abs(correlation) >= MIN_CORRELATION
    strained = len(length) >= MIN_SAMPLES and length.std() >= MIN_BOND_LENGTH_STD
    energy, total, valence = np.array(sums).sum(0)
    return {
        # slope of the reduced major axis: both have noise
        "work": float(np.sign(correlation) * np.sqrt((change**2).sum() / (work**2).sum())) if correlated else None,
        "correlation": correlation,
        "pairs": len(work),
        "stiffness": float(-np.cov(length, pull)[0, 1] / length.var(ddof=1) / CH_FORCE_CONSTANT) if strained else None,
        "bonds": len(length),
        "distance": float(np.median(np.concatenate(distances))) if distances else None,
        "total": float(energy / total / ENERGY["hartree"]) if np.isfinite(total) else None,
        "valence": float(energy / valence / ENERGY["hartree"]) if np.isfinite(valence) else None,
    }


def _windows(arrays: dict[str, np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
    """Return up to MAX_WINDOWS runs of consecutive structures of one molecule each, evenly over `rows` (S,).

    An ion is another molecule than the neutral one.
    """
    n_atoms = np.diff(arrays["offsets"])[rows]
    kind = np.stack([n_atoms, *(arrays[key][rows] for key in ("group", *ELECTRONS) if key in arrays)], 1).astype(int)
    first = np.flatnonzero(np.append(True, (np.diff(kind, axis=0) != 0).any(1)))  # of each run
    place = np.arange(len(rows)) - np.repeat(first, np.diff(np.append(first, len(rows))))  # within its run
    starts = np.flatnonzero(place % WINDOW_STRUCTURES == 0)
    ends = np.append(starts[1:], len(rows))
    chosen = np.unique(np.linspace(0, len(starts) - 1, MAX_WINDOWS).astype(int))
    windows = []
    for start, end in zip(starts[chosen], ends[chosen], strict=True):
        window = rows[start:end]
        z = arrays["z"][flat_index(arrays["offsets"][window], np.full(len(window), n_atoms[start]))]
        z = z.reshape(len(window), -1)
        windows.append(window[(z == z[0]).all(1)])
    return windows


def _structures(arrays: dict[str, np.ndarray], rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return z (A,), positions (K, A, 3), forces (K, A, 3) and energies (K,) of structures of the same atoms."""
    count = int(arrays["offsets"][rows[0] + 1] - arrays["offsets"][rows[0]])
    atoms = flat_index(arrays["offsets"][rows], np.full(len(rows), count))
    x, f = (arrays[key][atoms].astype(float).reshape(len(rows), count, 3) for key in ("positions", "forces"))
    return arrays["z"][atoms[:count]].astype(int), x, f, arrays["energy"][rows]


def _near_pairs(x: np.ndarray, f: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Return the energy difference and work (P, 2) between each of K geometries and its nearest, if that is near."""
    a, b = np.triu_indices(len(x), 1)
    if not len(a):
        return np.zeros((0, 2))
    centred = x - x.mean(1, keepdims=True)
    rotation = best_rotations(centred[a], centred[b])  # (P, 3, 3)
    step = centred[b] @ rotation - centred[a]
    apart = np.sqrt((step**2).sum(-1).mean(-1))  # (P,)
    table = np.full((len(x), len(x)), np.inf)
    table[a, b] = table[b, a] = apart
    place = np.zeros((len(x), len(x)), int)
    place[a, b] = place[b, a] = np.arange(len(a))
    nearest = np.unique(place[np.arange(len(x)), table.argmin(1)])
    nearest = nearest[apart[nearest] < MAX_PAIR_RMSD]
    work = -0.5 * ((f[a] + f[b] @ rotation) * step).sum((1, 2))
    return np.stack([energy[b] - energy[a], work], 1)[nearest]


def _carbon_hydrogen(z: np.ndarray, x: np.ndarray, f: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Return the length and the outward force on H (N, 2) of every C–H bond of K geometries."""
    hydrogen = np.flatnonzero(z == 1)
    partner = apart[:, hydrogen].argmin(-1)  # (K, H)
    k, h = np.nonzero((z[partner] == 6) & (apart[:, hydrogen].min(-1) < bond_limit(1, 6)))
    bond = x[k, hydrogen[h]] - x[k, partner[k, h]]
    length = np.linalg.norm(bond, axis=-1)
    return np.stack([length, (f[k, hydrogen[h]] * bond).sum(-1) / length], 1)


def _sum_of(energies: dict[int, float], z: np.ndarray) -> float:
    return sum(energies.get(int(number), np.nan) for number in z)


def _columns(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, 2)), *parts]).T


def _correlation(change: np.ndarray, work: np.ndarray) -> float | None:
    """Return the cosine of the two: both are differences, so zero is their mean for every order of the pairs."""
    size = np.sqrt((change**2).sum() * (work**2).sum())
    return float((change * work).sum() / size) if len(work) >= MIN_SAMPLES and size > 0 else None
