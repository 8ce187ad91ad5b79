"""Charge and unpaired electrons of structures: what files state of them, what an entry takes, and what is kept.

A dataset whose entry names neither `charge` nor `spin` holds neutral molecules with closed shells, and its store has no
arrays of them. So a file that states a charge, a spin or an odd number of electrons is refused, or such structures are
dropped and counted, but never taken for neutral closed shells.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys
from chemscale.geometries.molecule_names import Named

ENTRY_KEYS = ("charge", "spin")  # keys of a registry entry: the file's names of them
FROM_SMILES = "smiles"  # value of these keys: the formal charge and the radical electrons of the SMILES
ELECTRON_COUNT = "number of electrons"
SPIN = {"unpaired": 0, "multiplicity": 1}  # values of `spin_is`: the file's numbers minus the unpaired electrons
# arrays (S,) of the store
ELECTRONS = {keys.CHARGE: np.int8, keys.UNPAIRED: np.int8}
MAX_MAGNITUDE = 100
INTEGER_TOLERANCE = 0.01  # sums of atomic charges are integers within this
MAX_ROUNDING = 0.5  # of a charge or a moment; less is the rounding of zero
# names, without case and punctuation, under which files state charge and spin: those of totals and those of atoms
CHARGES = re.compile(r"q|qtot|(?!.*nuclear|.*core|.*valence).*charges?")
MULTIPLICITIES = re.compile(r"mult|.*multiplicity")
UNPAIRED = re.compile(r"uhf|n?unpaired(electrons)?|n?radicalelectrons|nopen(shell)?")
SPINS = re.compile(r"(total|molecular|mol|net)?spins?")
MOMENTS = re.compile(r"(total|initial|net)?mag(netic)?mom(ent)?s?|spinpopulations?|spindensit(y|ies)|spincharges?")


def plain_name(name: str) -> str:
    """Return a name of a file without case and punctuation, after its last dot or slash."""
    return re.sub(r"[\W_]", "", re.split(r"[./]", str(name))[-1]).lower()


def states_charge(name: str) -> bool:
    """Return whether a name in a file is one of charges."""
    return bool(CHARGES.fullmatch(plain_name(name))) and not MOMENTS.fullmatch(plain_name(name))


def relevant_names(entry: dict, names: Iterable[str]) -> list[str]:
    """Return those of the file's `names` that state charge or spin, by the entry or by what they are called."""
    named = {entry.get(key) for key in ENTRY_KEYS}
    return [name for name in names if name in named or states_charge(name) or _spin_excess(name, 0, 0) is not None]


def parse_numbers(values: object) -> np.ndarray:
    """Return numbers (float64) of numbers or of texts such as "+1"; NaN for None and for an empty text."""
    array = np.asarray(values)
    if array.dtype.kind not in "SUO":
        return array.astype(float)
    flat = [value.decode() if isinstance(value, bytes) else value for value in array.ravel()]
    missing = (None, "", "None", "none", "null")
    return np.reshape([np.nan if value in missing else float(value) for value in flat], array.shape)


def totals(where: str, name: str, values: object, atoms: int, count: int) -> np.ndarray:
    """Return the totals (K,) of `count` structures of `atoms` each, of one number for all, one each, or one per atom.

    Magnetic moments that cancel count by the largest of them. Raises ChemscaleError for anything else.
    """
    try:
        numbers = parse_numbers(values)
    except (TypeError, ValueError, UnicodeDecodeError):
        raise ChemscaleError(f"{where}/{name}: not a number; name totals of structures or numbers of atoms") from None
    shape = tuple(numbers.shape)
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    if shape in ((), (1,), (count,)):
        return np.broadcast_to(numbers.ravel(), count)
    if shape not in ((atoms,), (count, atoms)):
        raise ChemscaleError(
            f"{where}/{name}: shape {tuple(numbers.shape)}; expected {count}, one per structure, 1 for all, or "
            f"{(count, atoms)}, one per atom"
        )
    numbers = numbers.reshape(-1, atoms)
    total = numbers.sum(1)
    if MOMENTS.fullmatch(plain_name(name)):
        total = np.where(abs(total) > MAX_ROUNDING, abs(total), abs(numbers).max(1))
    return np.broadcast_to(total, count)


def resolve_charge_spin(
    place: Callable[[int], str], entry: dict, z: np.ndarray, stated: dict[str, np.ndarray], names: Sequence[Named]
) -> tuple[dict[str, np.ndarray], list[str | None]]:
    """Return charges and unpaired electrons (K,) as the entry takes them, and why a structure is left out (K,).

    `stated` are totals (K,) by the file's names, `names` the molecules (K,), `z` (A,) their atoms; `place` of k says
    where in the file it is. The first result is empty if the entry takes neither. Raises ChemscaleError for a number
    that cannot be, and for a charge or an open shell that the entry neither takes nor drops.
    """
    count = len(names)
    reasons: list[str | None] = [None] * count
    charge = _taken(place, "charge", entry, stated, [named.charge for named in names])
    if charge is None:
        charge = np.zeros(count, int)
        of_smiles = np.array([named.charge for named in names], float)
        for name, numbers in (*stated.items(), (FROM_SMILES, of_smiles)):
            if name == FROM_SMILES or (states_charge(name) and name != entry.get("spin")):
                _leave_out(place, entry, "charge", name, numbers, numbers, reasons)
    electrons = int(np.sum(z, dtype=int)) - charge
    spin = _taken(place, "spin", entry, stated, [named.unpaired for named in names])
    if spin is None:
        unpaired = np.zeros(count, int)
        of_smiles = np.array([named.unpaired for named in names], float)
        for name, numbers in (*stated.items(), (FROM_SMILES, of_smiles), (ELECTRON_COUNT, electrons.astype(float))):
            excess = _spin_excess(name, numbers, electrons % 2)
            if excess is not None and (name != entry.get("charge") or name == FROM_SMILES):
                _leave_out(place, entry, "spin", name, numbers, excess, reasons)
    else:
        spin_is = "unpaired" if entry["spin"] == FROM_SMILES else entry.get("spin_is", "unpaired")
        unpaired = spin - SPIN[spin_is]
        kept = np.array([reason is None for reason in reasons])
        wrong = kept & ((unpaired < 0) | (unpaired > electrons) | ((electrons - unpaired) % 2 == 1))
        if wrong.any():
            k = wrong.argmax()
            raise ChemscaleError(
                f"{place(k)}: {unpaired[k]} of {electrons[k]} electrons cannot be unpaired; try spin_is: "
                f"{next(other for other in SPIN if other != spin_is)}, or name the charges in `charge`"
            )
    if not set(ENTRY_KEYS) & set(entry):
        return {}, reasons
    return {keys.CHARGE: charge.astype(np.int8), keys.UNPAIRED: unpaired.astype(np.int8)}, reasons


def _taken(
    place: Callable[[int], str], key: str, entry: dict, stated: dict[str, np.ndarray], of_smiles: list[int]
) -> np.ndarray | None:
    """Return the integers (K,) that the entry takes for `key`, or None if it takes none."""
    name = entry.get(key)
    if name is None:
        return None
    numbers = stated[name] if name in stated else np.array(of_smiles, float)
    if key == "charge" and "missing_charge" in entry:
        numbers = np.where(np.isnan(numbers), entry["missing_charge"], numbers)
    near = np.abs(numbers - np.round(numbers)) <= INTEGER_TOLERANCE
    wrong = ~(near & (np.abs(numbers) <= MAX_MAGNITUDE))
    if wrong.any():
        k = wrong.argmax()
        fault = f"{key} = {numbers[k]:g}: must be an integer, the total of the structure"
        if np.isnan(numbers[k]):
            fault = f"{key} is missing; add it to the file" + (", or missing_charge to the entry" * (key == "charge"))
        raise ChemscaleError(f"{place(k)} ({name}): {fault}")
    return np.round(numbers).astype(int)


def _spin_excess(name: str, numbers: Any, odd: Any) -> Any:
    """Return by how much `numbers` under a `name` of a file are above those of a closed shell; None for other names.

    `odd` is 1 where the number of electrons is odd: then 1 spin is an unpaired electron, else a multiplicity.
    """
    plain = plain_name(name)
    if name == ELECTRON_COUNT:
        return odd
    if MULTIPLICITIES.fullmatch(plain):
        return np.maximum(numbers - 1, 0)
    if SPINS.fullmatch(plain):
        return np.where((np.asarray(numbers) == 1) & (np.asarray(odd) == 0), 0, numbers)
    return numbers if name == FROM_SMILES or UNPAIRED.fullmatch(plain) or MOMENTS.fullmatch(plain) else None


def _leave_out(
    place: Callable[[int], str],
    entry: dict,
    key: str,
    name: str,
    numbers: np.ndarray,
    excess: np.ndarray,
    reasons: list[str | None],
) -> None:
    """Note in `reasons` (K,) the structures with an `excess` (K,); raise ChemscaleError unless the entry drops them."""
    for k in np.flatnonzero(abs(np.nan_to_num(excess)) > MAX_ROUNDING):
        if entry.get("ions_and_radicals") != "drop":
            default = "neutral" if key == "charge" else "a closed shell"
            remedy = "name its spin in `spin`" if name == ELECTRON_COUNT else f"add `{key}: {name}` to it"
            raise ChemscaleError(
                f"{place(k)}: {name} = {numbers[k]:g}: the entry would make this molecule {default}; {remedy}, or "
                "`ions_and_radicals: drop` to leave such structures out"
            )
        reasons[k] = reasons[k] or {"charge": "charged", "spin": "open shell"}[key]


def electrons_of(where: str, z: np.ndarray, properties: Mapping[str, Any], default: tuple[int, int]) -> dict[str, int]:
    """Return the charge and the unpaired electrons that the `properties` of a molecule with atoms `z` (A,) state.

    Where they state none, the `default` counts. A spin of 1 is a multiplicity where the number of electrons is even.
    Raises ChemscaleError for statements that contradict each other, and for numbers that cannot be.
    """
    stated = {
        name: float(totals(where, name, properties[name], len(z), 1)[0]) for name in relevant_names({}, properties)
    }
    charges = {name: number for name, number in stated.items() if states_charge(name) and not np.isnan(number)}
    charge = _agreed(where, "charge", {name: n for name, n in charges.items() if n or not name.startswith("initial_")})
    charge = default[0] if charge is None else charge
    electrons = int(np.sum(z, dtype=int)) - charge
    spins = {
        name: _spin_excess(name, number, electrons % 2)
        for name, number in stated.items()
        if name not in charges and not np.isnan(number)
    }
    for name in spins:
        if SPINS.fullmatch(plain_name(name)) and (stated[name] - electrons) % 2:
            spins[name] = stated[name] - 1  # a multiplicity: unpaired electrons have the parity of all electrons
    unpaired = _agreed(where, "spin", {name: n for name, n in spins.items() if n or not name.startswith("initial_")})
    if unpaired is not None and (not 0 <= unpaired <= electrons or (electrons - unpaired) % 2):
        raise ChemscaleError(f"{where}: {unpaired} of {electrons} electrons cannot be unpaired; correct spin or charge")
    return {keys.CHARGE: charge, keys.UNPAIRED: default[1] if unpaired is None else unpaired}


def _agreed(where: str, key: str, numbers: Mapping[str, float]) -> int | None:
    """Return the integer that all `numbers` by name state, or None if there are none."""
    found = {round(float(number)) for number in numbers.values()}
    if len(found) > 1 or any(abs(number - round(float(number))) > INTEGER_TOLERANCE for number in numbers.values()):
        shown = ", ".join(f"{name} = {number:g}" for name, number in numbers.items())
        raise ChemscaleError(f"{where}: {key}: {shown}; state one integer")
    return found.pop() if found else None
