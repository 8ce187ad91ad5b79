"""The block that every reader yields, and the checks of shape and element that every format needs."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from chemscale.errors import ChemscaleError

BLOCK_ATOMS = 200_000  # atoms of the structures of one block: some 20 MB


class Labelled(NamedTuple):
    """K geometries of the same atoms with their labels, in the units and with the sign of the file."""

    z: np.ndarray  # (A,)
    positions: np.ndarray  # (K, A, 3)
    energy: np.ndarray  # (K,), NaN where not computed
    forces: np.ndarray  # (K, A, 3), NaN where not computed
    groups: list[str]  # (K,) names that tell molecules apart: SMILES or formula
    where: str  # place in the file, for messages
    charge_spin: dict[str, np.ndarray] = {}  # noqa: RUF012, never changed; of `read_charge_spin`


def slices(structures: int, atoms: int) -> Iterator[slice]:
    """Yield slices of `structures` of `atoms` each, one per block."""
    step = max(1, BLOCK_ATOMS // max(1, atoms))
    return (slice(first, first + step) for first in range(0, structures, step))


def require_shapes(where: str, shapes: list[tuple[str, tuple, tuple]]) -> None:
    """Raise ChemscaleError for the first array, of (name, shape found, shape expected), that has another shape."""
    for key, found, expected in shapes:
        if tuple(found) != tuple(expected):
            raise ChemscaleError(f"{where}/{key}: shape {tuple(found)}; expected {tuple(expected)}")


def elements(where: str, values: np.ndarray) -> np.ndarray:
    """Return atomic numbers (uint8) of numbers or of symbols such as b'Cl'; raise ChemscaleError for other values."""
    values = np.asarray(values)
    if values.dtype.kind in "SUO":
        symbols = [value.decode() if isinstance(value, bytes) else str(value) for value in values.ravel()]
        unknown = sorted(set(symbols) - set(atomic_numbers) | ({"X"} & set(symbols)))
        if unknown:
            raise ChemscaleError(f"{where}: {unknown[0]!r} is not a chemical element; expected symbols such as Cl")
        values = np.reshape([atomic_numbers[symbol] for symbol in symbols], values.shape)
    wrong = values[(values < 1) | (values >= len(chemical_symbols)) | (values != np.round(values))]
    if wrong.size:
        raise ChemscaleError(
            f"{where}: {wrong.flat[0]} is not an atomic number; expected 1 to {len(chemical_symbols) - 1}"
        )
    return values.astype(np.uint8)


def formula(z: np.ndarray) -> str:
    """Return elements and their counts in alphabetical order, as ANI-1x names its groups: C2H6O1."""
    numbers, counts = np.unique(z, return_counts=True)
    return "".join(sorted(f"{chemical_symbols[number]}{count}" for number, count in zip(numbers, counts, strict=True)))
