"""Charge and unpaired electrons of structures: read from files, checked, and kept.

Both are optional. A dataset whose entry names neither holds neutral molecules with closed shells, and its store has no
arrays of them.
"""

from collections.abc import Mapping

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys

ENTRY_KEYS = ("charge", "spin")  # keys of a registry entry: the file's names of them
SPIN = {"unpaired": 0, "multiplicity": 1}  # values of `spin_is`: the file's numbers minus the unpaired electrons
# arrays (S,) of the store
ELECTRONS = {keys.CHARGE: np.int8, keys.UNPAIRED: np.int8}
MAX_MAGNITUDE = 100
INTEGER_TOLERANCE = 0.01  # sums of atomic charges are integers within this


def read_charge_spin(where: str, entry: dict, values: Mapping, count: int) -> dict[str, np.ndarray]:
    """Return the numbers (K,) of `count` structures at a place in a file, for those of ENTRY_KEYS that the entry names.

    `values` maps the file's names to one number for all structures or one for each. Raises ChemscaleError.
    """
    raw = {}
    for key in ENTRY_KEYS:
        name = entry.get(key)
        if name is None:
            continue
        if name not in values:
            raise ChemscaleError(
                f"{where}: {key} = {name!r}: not found; choose one of {', '.join(map(str, values))}, or leave {key} out"
            )
        try:
            numbers = np.asarray(values[name], float).ravel()
        except (TypeError, ValueError):
            raise ChemscaleError(f"{where}/{name}: not a number; {key} must name the total {key}") from None
        if numbers.size not in (1, count):
            raise ChemscaleError(
                f"{where}/{name}: {numbers.size} numbers; expected {count}, one per structure, or 1 for all"
            )
        raw[key] = np.broadcast_to(numbers, count)
    return raw


def validate_charge_spin(where: str, entry: dict, z: np.ndarray, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return charges and unpaired electrons (K,) of structures of atoms `z` (A,), from the `raw` numbers of a file.

    What the file does not tell is zero. Raises ChemscaleError for a number that is not an integer, and for a spin that
    the number of electrons does not allow, as a multiplicity read as unpaired electrons.
    """
    if not raw:
        return {}
    shape = next(iter(raw.values())).shape
    charge = _integers(where, "charge", raw.get("charge", np.zeros(shape)))
    unpaired = np.zeros(shape, int)
    if "spin" in raw:
        spin_is = entry.get("spin_is", "unpaired")
        unpaired = _integers(where, "spin", raw["spin"]) - SPIN[spin_is]
        electrons = int(np.sum(z, dtype=int)) - charge
        wrong = np.flatnonzero((unpaired < 0) | (unpaired > electrons) | ((electrons - unpaired) % 2 == 1))
        if wrong.size:
            k = wrong[0]
            raise ChemscaleError(
                f"{where}: {unpaired[k]} of {electrons[k]} electrons cannot be unpaired; try spin_is: "
                f"{next(other for other in SPIN if other != spin_is)}, or name the charges in `charge`"
            )
    return {keys.CHARGE: charge.astype(np.int8), keys.UNPAIRED: unpaired.astype(np.int8)}


def _integers(where: str, key: str, numbers: np.ndarray) -> np.ndarray:
    near = np.abs(numbers - np.round(numbers)) <= INTEGER_TOLERANCE
    wrong = numbers[~(near & (np.abs(numbers) <= MAX_MAGNITUDE))]
    if wrong.size:
        raise ChemscaleError(f"{where}: {key} = {wrong[0]:g}: must be an integer, the total of the structure")
    return np.round(numbers).astype(int)
