"""Charge and unpaired electrons of structures: what files say of them, and what is kept.

Both are optional. A dataset whose entry names neither holds neutral molecules with closed shells, and its store has no
arrays of them.
"""

from collections.abc import Mapping

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys

NAMED = ("charge", "spin")  # keys of a registry entry: what the file calls them
SPIN = {"unpaired": 0, "multiplicity": 1}  # what `spin` may be, and by how much it is more than unpaired electrons
# what is kept of each structure, (S,)
ELECTRONS = {keys.CHARGE: np.int8, keys.UNPAIRED: np.int8}
LARGEST = 100
WHOLE = 0.01  # charges that are added up from those of atoms are whole numbers within this


def named(where: str, entry: dict, values: Mapping, count: int) -> dict[str, np.ndarray]:
    """Numbers (K,) of the `count` structures of a place in a file, for those of `NAMED` that the entry names.

    `values` maps names to one number for all or one each. Raises ChemscaleError.
    """
    found = {}
    for key in NAMED:
        name = entry.get(key)
        if name is None:
            continue
        if name not in values:
            raise ChemscaleError(f"{where} has no {key} {name!r}; it has {', '.join(map(str, values))}")
        try:
            numbers = np.asarray(values[name], float).ravel()
        except (TypeError, ValueError):
            raise ChemscaleError(f"{where}/{name} is no number; right would be the total {key}") from None
        if numbers.size not in (1, count):
            raise ChemscaleError(f"{where}/{name} has {numbers.size} numbers, expected {count} or 1")
        found[key] = np.broadcast_to(numbers, count)
    return found


def counted(where: str, entry: dict, z: np.ndarray, said: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Charges and unpaired electrons (K,) of structures of atoms `z` (A,), of what the file has `said`.

    What is not said is zero. Raises ChemscaleError for what is no whole number, and for a spin that the number of
    electrons does not allow, as one read as unpaired electrons that is a multiplicity.
    """
    if not said:
        return {}
    shape = next(iter(said.values())).shape
    charge = _whole(where, "charge", said.get("charge", np.zeros(shape)))
    unpaired = np.zeros(shape, int)
    if "spin" in said:
        spin_is = entry.get("spin_is", "unpaired")
        unpaired = _whole(where, "spin", said["spin"]) - SPIN[spin_is]
        electrons = int(np.sum(z, dtype=int)) - charge
        wrong = np.flatnonzero((unpaired < 0) | (unpaired > electrons) | ((electrons - unpaired) % 2 == 1))
        if wrong.size:
            k = wrong[0]
            raise ChemscaleError(
                f"{where}: {electrons[k]} electrons cannot have {unpaired[k]} unpaired; right may be spin_is: "
                f"{next(other for other in SPIN if other != spin_is)}, or the name of the charges in `charge`"
            )
    return {keys.CHARGE: charge.astype(np.int8), keys.UNPAIRED: unpaired.astype(np.int8)}


def _whole(where: str, key: str, numbers: np.ndarray) -> np.ndarray:
    wrong = numbers[~((np.abs(numbers - np.round(numbers)) <= WHOLE) & (np.abs(numbers) <= LARGEST))]
    if wrong.size:
        raise ChemscaleError(f"{where}: a {key} of {wrong[0]:g}; right would be a whole number, of the structure")
    return np.round(numbers).astype(int)
