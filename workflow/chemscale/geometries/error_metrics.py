"""Errors of energies and forces over many structures, from sums that any number of batches or processes add up."""


def error_metrics(
    energy: float,
    energy_squares: float,
    structures: float,
    forces: float,
    force_squares: float,
    atoms: float,
    forces_forces: float,
    forces_atoms: float,
    atoms_atoms: float,
) -> dict[str, float]:
    """Return the errors of energies in eV per atom and of forces in eV/Å, all components of forces alike.

    `energy` and `energy_squares` are the sums over structures of absolute and squared errors per atom, `force_squares`
    the sum of squared errors of components. `forces` of a structure is the sum over its atoms of the mean absolute
    error of the components; it and `atoms` are summed over structures, and so are their three products. The standard
    error is over structures, the unit that was sampled.
    """
    return {
        "energy_mae": energy / structures,
        "energy_rmse": (energy_squares / structures) ** 0.5,
        "force_mae": forces / atoms,
        "force_mae_se": ratio_se(forces, atoms, forces_forces, forces_atoms, atoms_atoms),
        "force_rmse": (force_squares / (3 * atoms)) ** 0.5,
    }


def ratio_se(x: float, n: float, xx: float, xn: float, nn: float) -> float:
    """Return the standard error of the ratio of sums Σx/Σn, given Σx, Σn, Σx², Σxn and Σn² over what was sampled.

    The ratio is linearised: Cochran, Sampling Techniques, 3rd ed., eq. 6.13.
    """
    ratio = x / n
    return max(0.0, xx - 2 * ratio * xn + ratio**2 * nn) ** 0.5 / n
