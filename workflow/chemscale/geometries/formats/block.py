"""The block that every reader yields, and what all readers need: elements, numbers as text, names, places."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from chemscale.errors import ChemscaleError
from chemscale.geometries.units import FLAGS, parse_unit

MAX_SHOWN = 300  # characters of the message of a library
BLOCK_ATOMS = 200_000  # atoms of the structures of one block: some 20 MB
NUMBER_AND_UNIT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(\S.*?)?\s*", re.IGNORECASE)


class Labelled(NamedTuple):
    """K geometries of the same atoms with their labels, in the units and with the sign of the file."""

    z: np.ndarray  # (A,)
    positions: np.ndarray  # (K, A, 3)
    energy: np.ndarray  # (K,), NaN where not computed
    forces: np.ndarray  # (K, A, 3), NaN where not computed
    names: Sequence[str]  # (K,) that tell molecules apart: SMILES, formula or place in the file
    where: str  # place in the file, for messages
    index: np.ndarray  # (K,), the number of each geometry there, from 1
    kind: str = "geometry"  # what is numbered
    stated: Mapping[str, np.ndarray] = {}  # `totals` (K,) by the file's names
    units: Mapping[str, str] = {}  # what the file states, by flag

    def take(self, rows: np.ndarray) -> "Labelled":
        """Return the geometries `rows` of the block."""
        return self._replace(
            positions=self.positions[rows],
            energy=self.energy[rows],
            forces=self.forces[rows],
            names=[self.names[k] for k in rows],
            index=self.index[rows],
            stated={key: values[rows] for key, values in self.stated.items()},
        )

    def place(self, k: int) -> str:
        """Return the place of geometry `k` in the file."""
        return f"{self.where}: {self.kind} {self.index[k]}"


def damaged(where: str, error: Exception, kind: str = "damaged") -> ChemscaleError:
    """Return the error of a file that a library cannot read: whichever exception of Python that raised."""
    reason = f"{type(error).__name__}: {error}"[:MAX_SHOWN]
    return ChemscaleError(f"{where}: {kind} ({reason}); fetch the file again or correct it")


def slices(structures: int, atoms: int) -> Iterator[slice]:
    """Yield slices of `structures` of `atoms` each, one per block."""
    step = max(1, BLOCK_ATOMS // max(1, atoms))
    return (slice(first, min(first + step, structures)) for first in range(0, structures, step))


def elements(where: str, values: Any) -> np.ndarray:
    """Return atomic numbers (uint8) of numbers or of symbols such as b'Cl', 0 where a place is empty.

    Raises ChemscaleError for other values.
    """
    values = np.asarray(values)
    if values.dtype.kind in "SUO":
        texts = [value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in values.ravel()]
        symbols = [text.strip(" \0") for text in texts]
        if all(symbol.isdigit() or not symbol for symbol in symbols):
            values = np.reshape([int(symbol or 0) for symbol in symbols], values.shape)
        else:
            unknown = sorted(set(symbols) - set(atomic_numbers) - {""})
            if unknown:
                raise ChemscaleError(f"{where}: {unknown[0]!r} is not a chemical element; expected symbols such as Cl")
            values = np.reshape([atomic_numbers[symbol or "X"] for symbol in symbols], values.shape)
    if values.dtype.kind not in "iufb":
        raise ChemscaleError(f"{where}: the array has type {values.dtype}; expected atomic numbers or symbols")
    wrong = values[~((values >= -1) & (values < len(chemical_symbols)) & (values == np.round(values)))]
    if wrong.size:
        raise ChemscaleError(
            f"{where}: {wrong.flat[0]} is not an atomic number; expected 1 to {len(chemical_symbols) - 1}"
        )
    return np.maximum(values, 0).astype(np.uint8)


def floats(where: str, values: Any) -> np.ndarray:
    """Return numbers as floats; raise ChemscaleError for other types, texts among them: they may be cut off."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise ChemscaleError(f"{where}: the array has type {array.dtype}; expected numbers")
    return array if array.dtype.kind == "f" else array.astype(float)


def number_with_unit(where: str, flag: str, value: Any) -> tuple[np.ndarray, dict[str, str]]:
    """Return a label (floats), and its unit by `flag` if it is a text such as "-4209.78 eV"."""
    if not isinstance(value, str):
        return floats(where, value), {}
    match = NUMBER_AND_UNIT.fullmatch(value)
    if match is None:
        raise ChemscaleError(f"{where}: {value[:40]!r} is not a number; name a numeric label, with a unit or without")
    unit = parse_unit(flag, match[2]) if match[2] else None
    if match[2] and unit is None:
        known = ", ".join(FLAGS[flag])
        raise ChemscaleError(f"{where}: {value[:40]!r}: unknown unit; convert it to one of {known}")
    return np.array(float(match[1])), {flag: unit} if unit else {}


def texts_of(where: str, values: Any, count: int) -> list[str]:
    """Return the names (K,) of `count` structures: one for all, one each, or one each in single characters."""
    array = np.asarray(values)
    if array.dtype.kind in "SUO":
        decoded = [
            value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in array.ravel()
        ]
        array = np.reshape(np.array(decoded, object), array.shape)
        single = max(map(len, decoded), default=0) <= 1
        if array.ndim == 2 and array.shape[1] > 1 and single:
            array = np.array(["".join(row) for row in array], object)
        elif array.ndim == 1 and len(array) not in (1, count) and single:
            array = np.array(["".join(array)], object)
    flat = [str(value).strip() for value in array.ravel()]
    if len(flat) not in (1, count):
        raise ChemscaleError(f"{where}: {len(flat)} names; expected {count}, one per geometry, or 1 for all")
    return flat * (count if len(flat) == 1 else 1)


def formula(z: Iterable[int] | np.ndarray) -> str:
    """Return elements and their counts in alphabetical order, as ANI-1x names its groups: C2H6O1."""
    numbers, counts = np.unique(np.asarray(z), return_counts=True)
    return "".join(sorted(f"{chemical_symbols[number]}{count}" for number, count in zip(numbers, counts, strict=True)))
