"""Whether the units and the sign declared for a file can be right: nature's own scales tell.

Numbers that are each about 1 where all is right, and that a wrong flag moves by a known factor:

* `work`: energy differences of near geometries of one molecule over the work of the forces between them, −½(Fₐ+F_b)·Δr,
  which a harmonic surface obeys exactly. A wrong sign gives −1, hartree/bohr taken for hartree/Å 1.89;
* `stiffness`: of bonds C–H in the forces, over the 31 eV/Å² that infrared spectra have for them everywhere;
* `distance`: of every atom's nearest neighbour, over the sum of covalent radii;
* `total`, `valence`: energies over the sum of those of free atoms, all-electron, or of GFN2-xTB.
"""

from itertools import product

import numpy as np
from ase.data import covalent_radii

from chemscale.errors import ChemscaleError
from chemscale.geometries.charge_spin import ELECTRONS
from chemscale.geometries.store import flat_index
from chemscale.geometries.units import DEFAULTS, FLAGS

WINDOWS = 400  # places in the file that are looked at
WINDOW = 12  # consecutive structures of one molecule at each
NEAR = 0.6  # Å, root mean square distance of near geometries, turned upon one another
FEWEST = 8  # pairs or bonds, fewer of which tell nothing
LEAST_CORRELATION = 0.8  # of energy differences and work; less of it, and geometries are not near enough for a slope
LEAST_STRAIN = 0.01  # Å, standard deviation of bond lengths; with less of it, what is not harmonic hides the slope
CARBON_HYDROGEN = 31.0  # eV/Å²: 4.9 mdyn/Å
BONDED = 1.25  # of the sum of covalent radii
# the nearest two of a judged number and the next one by a wrong flag are 1.89 apart; of energies, 4.18
RANGES = {
    "work": (0.73, 1.37),
    "stiffness": (0.65, 1.45),
    "distance": (0.73, 1.37),
    "total": (0.95, 1.05),
    "valence": (0.95, 1.5),
}
EV_PER_HARTREE = FLAGS["energy_unit"]["hartree"]
# hartree: free atoms near the basis-set limit, to the third digit of what density functionals and ab initio agree on
TOTAL = {1: -0.5, 2: -2.9, 3: -7.48, 4: -14.66, 5: -24.65, 6: -37.84, 7: -54.58, 8: -75.06, 9: -99.72, 10: -128.9}
TOTAL |= {11: -162.2, 12: -200.0, 13: -242.3, 14: -289.3, 15: -341.2, 16: -398.1, 17: -460.1, 18: -527.5, 35: -2574.0}
# hartree: free atoms in GFN2-xTB
VALENCE = {1: -0.393, 5: -0.952, 6: -1.793, 7: -2.606, 8: -3.768, 9: -4.619, 14: -1.569, 15: -2.374, 16: -3.146}
VALENCE |= {17: -4.483, 35: -4.048, 53: -3.780}


def consistency(arrays: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, float | int | None]:
    """The numbers above, None where the structures do not tell.

    `arrays` are those of `store.ARRAYS`, in the order of the file; of its structures those in `rows` are looked at.
    Also there: `correlation` of energy differences and work, and how many `pairs` and `bonds` were looked at.
    """
    pairs, bonds, distances, sums = [], [], [], []
    for window in _windows(arrays, rows):
        z, x, f, energy = _structures(arrays, window)
        sums.append([energy.mean(), _sum_of(TOTAL, z), _sum_of(VALENCE, z)])
        if len(z) > 1:
            apart = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1) + np.diag(np.full(len(z), np.inf))  # (K, A, A)
            distances.append((apart / (covalent_radii[z] + covalent_radii[z][:, None])).min(-1).ravel())
            bonds.append(_carbon_hydrogen(z, x, f, apart))
            pairs.append(_near_pairs(x, f, energy))
    change, work = _columns(pairs)
    length, pull = _columns(bonds)
    correlation = _correlation(change, work)
    judged = correlation is not None and abs(correlation) >= LEAST_CORRELATION
    strained = len(length) >= FEWEST and length.std() >= LEAST_STRAIN
    energy, total, valence = np.array(sums).sum(0)
    return {
        # the slope that treats both alike
        "work": float(np.sign(correlation) * np.sqrt((change**2).sum() / (work**2).sum())) if judged else None,
        "correlation": correlation,
        "pairs": len(work),
        "stiffness": float(-np.cov(length, pull)[0, 1] / length.var(ddof=1) / CARBON_HYDROGEN) if strained else None,
        "bonds": len(length),
        "distance": float(np.median(np.concatenate(distances))) if distances else None,
        "total": float(energy / total / EV_PER_HARTREE) if np.isfinite(total) else None,
        "valence": float(energy / valence / EV_PER_HARTREE) if np.isfinite(valence) else None,
    }


def require_consistent(where: str, numbers: dict, entry: dict) -> None:
    """Raise ChemscaleError if `numbers` of `consistency` are out of range with the flags of the registry `entry`.

    The message says which, and which other flags would put all of them right.
    """
    wrong = _wrong(numbers)
    if not wrong:
        return
    declared = {key: entry.get(key, DEFAULTS.get(key)) for key in FLAGS}
    fitting = []
    for values in product(*FLAGS.values()):
        flags = dict(zip(FLAGS, values, strict=True))
        if not _wrong(_with_flags(numbers, declared, flags)):
            fitting.append({key: value for key, value in flags.items() if value != declared[key]})
    fewest = min(map(len, fitting), default=0)
    right = [
        " with ".join(f"{key}: {value}" for key, value in flags.items()) for flags in fitting if len(flags) == fewest
    ]
    said = ", ".join(
        f"{name} {numbers[name]:.3g} (right: {RANGES[name][0]:g} to {RANGES[name][1]:g})" for name in wrong
    )
    advice = f"right may be {', or '.join(right)}" if right else "no other units or sign would put that right"
    raise ChemscaleError(
        f"{where}: {', '.join(f'{key} {value}' for key, value in declared.items())} cannot be: {said}; {advice}. What "
        "the numbers are, workflow/chemscale/geometries/unit_checks.py says"
    )


def _wrong(numbers: dict) -> list[str]:
    """Names of the numbers that are out of range."""
    known = {name: numbers[name] is not None for name in RANGES}
    good = {name: known[name] and low <= numbers[name] <= high for name, (low, high) in RANGES.items()}
    wrong = [name for name in ("work", "stiffness", "distance") if known[name] and not good[name]]
    # energies may have any zero: they tell where forces do not, and only if another unit would give a known zero
    if (good["work"] and good["stiffness"]) or good["total"] or good["valence"]:
        return wrong
    units = FLAGS["energy_unit"].values()
    for name in ("total", "valence"):
        if known[name] and any(
            RANGES[name][0] <= numbers[name] * mine / other <= RANGES[name][1] for mine, other in product(units, units)
        ):
            return [*wrong, name]
    return wrong


def _with_flags(numbers: dict, declared: dict, flags: dict) -> dict:
    """What the numbers would be with other flags."""
    factor = {key: FLAGS[key][flags[key]] / FLAGS[key][declared[key]] for key in FLAGS}
    length, energy = factor["length_unit"], factor["energy_unit"]
    force = factor["forces_unit"] * factor["forces_are"]
    factors = {
        "work": energy / (force * length),
        "stiffness": force / length,
        "distance": length,
        "total": energy,
        "valence": energy,
    }
    return {name: None if numbers[name] is None else numbers[name] * by for name, by in factors.items()}


def _windows(arrays: dict[str, np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
    """Up to WINDOWS runs of up to WINDOW consecutive structures of one molecule each, evenly over `rows` (S,).

    An ion is another molecule than the neutral one.
    """
    n_atoms = np.diff(arrays["offsets"])[rows]
    kind = np.stack([n_atoms, *(arrays[key][rows] for key in ("group", *ELECTRONS) if key in arrays)], 1).astype(int)
    first = np.flatnonzero(np.append(True, (np.diff(kind, axis=0) != 0).any(1)))  # of each run
    place = np.arange(len(rows)) - np.repeat(first, np.diff(np.append(first, len(rows))))  # within its run
    starts = np.flatnonzero(place % WINDOW == 0)
    ends = np.append(starts[1:], len(rows))
    chosen = np.unique(np.linspace(0, len(starts) - 1, WINDOWS).astype(int))
    windows = []
    for start, end in zip(starts[chosen], ends[chosen], strict=True):
        window = rows[start:end]
        z = arrays["z"][flat_index(arrays["offsets"][window], np.full(len(window), n_atoms[start]))]
        z = z.reshape(len(window), -1)
        windows.append(window[(z == z[0]).all(1)])
    return windows


def _structures(arrays: dict[str, np.ndarray], rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """z (A,), positions (K, A, 3), forces (K, A, 3) and energies (K,) of structures of the same atoms."""
    count = int(arrays["offsets"][rows[0] + 1] - arrays["offsets"][rows[0]])
    atoms = flat_index(arrays["offsets"][rows], np.full(len(rows), count))
    x, f = (arrays[key][atoms].astype(float).reshape(len(rows), count, 3) for key in ("positions", "forces"))
    return arrays["z"][atoms[:count]].astype(int), x, f, arrays["energy"][rows]


def _near_pairs(x: np.ndarray, f: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Energy difference and work (P, 2) between each of K geometries and its nearest, if that is near."""
    a, b = np.triu_indices(len(x), 1)
    if not len(a):
        return np.zeros((0, 2))
    centred = x - x.mean(1, keepdims=True)
    u, _, v = np.linalg.svd(centred[b].transpose(0, 2, 1) @ centred[a])  # Kabsch, Acta Cryst. A32, 922 (1976)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ v))[:, None]
    turn = u @ v  # (P, 3, 3), to be multiplied from the right
    step = centred[b] @ turn - centred[a]
    apart = np.sqrt((step**2).sum(-1).mean(-1))  # (P,)
    table = np.full((len(x), len(x)), np.inf)
    table[a, b] = table[b, a] = apart
    place = np.zeros((len(x), len(x)), int)
    place[a, b] = place[b, a] = np.arange(len(a))
    nearest = np.unique(place[np.arange(len(x)), table.argmin(1)])
    nearest = nearest[apart[nearest] < NEAR]
    work = -0.5 * ((f[a] + f[b] @ turn) * step).sum((1, 2))
    return np.stack([energy[b] - energy[a], work], 1)[nearest]


def _carbon_hydrogen(z: np.ndarray, x: np.ndarray, f: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Length and outward force on H (N, 2) of every bond C–H of K geometries."""
    hydrogen = np.flatnonzero(z == 1)
    partner = apart[:, hydrogen].argmin(-1)  # (K, H)
    k, h = np.nonzero(
        (z[partner] == 6) & (apart[:, hydrogen].min(-1) < BONDED * (covalent_radii[1] + covalent_radii[6]))
    )
    bond = x[k, hydrogen[h]] - x[k, partner[k, h]]
    length = np.linalg.norm(bond, axis=-1)
    return np.stack([length, (f[k, hydrogen[h]] * bond).sum(-1) / length], 1)


def _sum_of(energies: dict[int, float], z: np.ndarray) -> float:
    return sum(energies.get(int(number), np.nan) for number in z)


def _columns(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, 2)), *parts]).T


def _correlation(change: np.ndarray, work: np.ndarray) -> float | None:
    """Cosine of the two: both are differences, so zero is their mean for every order of the pairs."""
    size = np.sqrt((change**2).sum() * (work**2).sum())
    return float((change * work).sum() / size) if len(work) >= FEWEST and size > 0 else None
