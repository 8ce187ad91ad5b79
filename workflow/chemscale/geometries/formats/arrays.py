"""From named arrays of many geometries, as in groups of HDF5 and archives of NumPy, to blocks."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.geometries.charge_spin import ENTRY_KEYS, FROM_SMILES, relevant_names, totals
from chemscale.geometries.formats.block import Labelled, elements, floats, formula, slices, texts_of
from chemscale.geometries.units import stated_units, unit_names

NUMBERS = ("atomic_numbers", "nuclear_charges", "numbers", "species", "elements", "symbols", "z", "Z")
POSITIONS = ("coordinates", "positions", "conformations", "coords", "coord", "xyz", "pos", "R")


def blocks_of_arrays(
    where: str,
    arrays: Mapping[str, Any],
    entry: dict,
    numbers: tuple[str, ...] = NUMBERS,
    positions: tuple[str, ...] = POSITIONS,
    name: str | None = None,
    stated: tuple[tuple[str, object], ...] = (),
) -> Iterator[Labelled]:
    """Yield the blocks of K geometries at `where`, from its `arrays`: anything with a shape that can be sliced.

    The entry names `energy` (K,), `forces` (K, A, 3) and, if they are not among `numbers` and `positions`, atomic
    numbers (A,) or (K, A), padded with zeros, and positions (K, A, 3). Arrays of one geometry may lack the axis K.
    Molecules go by the array that the entry names `molecule`, else by `smiles`, else by `name`; without a name, or
    with atomic numbers per geometry, by the formula. `stated` are flags with texts of units. Raises ChemscaleError.
    """
    z = _one_of(where, arrays, "numbers", entry, numbers)
    x = _one_of(where, arrays, "positions", entry, positions)
    e, f = (_one_of(where, arrays, key, entry, ()) for key in ("energy", "forces"))
    species = elements(f"{where}/{z}", arrays[z][...])
    count, atoms, single = _sizes(where, {key: tuple(arrays[key].shape) for key in (z, x, e, f)}, (z, x, e, f))
    if species.ndim == 1:
        name = name or formula(species)
        if not species.all():
            raise ChemscaleError(f"{where}/{z}: 0 is not an atomic number; expected 1 to 118")
    else:
        name = None
    species = species.reshape(-1, atoms)
    molecule = entry.get("molecule") or ("smiles" if "smiles" in arrays else None)
    if molecule is not None and molecule not in arrays:
        raise ChemscaleError(f"{where}: molecule = {molecule!r}: not found; choose one of {_listed(arrays)}")
    labels = texts_of(f"{where}/{molecule}", arrays[molecule][...], count) if molecule else None
    for key in ENTRY_KEYS:
        if key in entry and entry[key] not in arrays and (entry[key] != FROM_SMILES or molecule is None):
            raise ChemscaleError(
                f"{where}: {key} = {entry[key]!r}: not found; choose one of {_listed(arrays)}, or leave {key} out"
            )
    units = stated_units(where, {key: arrays[key][...] for key in unit_names(arrays)}, stated)
    sums = _charges_and_spins(where, arrays, entry, count, atoms)
    for part in slices(count, atoms):
        index = np.arange(part.start, part.stop)

        def rows(key: str, part: slice = part) -> np.ndarray:
            """Return the part of an array, with an axis of geometries."""
            return np.asarray(arrays[key][...] if single else arrays[key][part])

        energy = floats(f"{where}/{e}", rows(e)).reshape(len(index))
        geometry, forces = (floats(f"{where}/{key}", rows(key)).reshape(len(index), atoms, 3) for key in (x, f))
        own = species[part] if len(species) > 1 else species
        distinct, inverse = np.unique(own, axis=0, return_inverse=True)
        for k, same in enumerate(distinct):
            chosen = np.flatnonzero(inverse.ravel() == k) if len(distinct) > 1 or len(own) > 1 else slice(None)
            real = same > 0
            _require_padding(f"{where}/{z}", real, geometry[chosen], forces[chosen])
            if labels is not None:
                names = [labels[i] for i in index[chosen]]
            else:
                names = [name or formula(same[real])] * len(index[chosen])
            yield Labelled(
                same[real],
                geometry[chosen][:, real],
                energy[chosen],
                forces[chosen][:, real],
                names,
                where,
                index[chosen] + 1,
                stated={key: total[index[chosen]] for key, total in sums.items()},
                units=units,
            )


def _listed(arrays: Mapping[str, Any]) -> str:
    return ", ".join(map(str, arrays)) or "nothing"


def _one_of(where: str, arrays: Mapping[str, Any], key: str, entry: dict, known: tuple[str, ...]) -> str:
    """Return the name of the array that the entry names for `key`, or the first of those `known`."""
    wanted = (entry[key],) if key in entry else known
    found = [name for name in wanted if name in arrays]
    if not found:
        hint = "" if key in ("energy", "forces") else f"; name the {key} in `{key}`"
        raise ChemscaleError(f"{where}: no {' or '.join(map(repr, wanted))}; it has {_listed(arrays)}{hint}")
    return found[0]


def _sizes(where: str, shapes: dict[str, tuple], names: tuple[str, ...]) -> tuple[int, int, bool]:
    """Return the number of geometries K, of atoms A, and whether the arrays lack the axis K."""
    z, x, e, f = names
    found, of_energy = shapes[x], shapes[e]
    if len(found) not in (2, 3) or not found[1]:
        raise ChemscaleError(f"{where}/{x}: shape {found}; expected (geometries, atoms, 3)")
    single = len(found) == 2 and found[1] == 3 and int(np.prod(of_energy)) == 1 and found[0] == _last(shapes[z])
    if single:
        count, atoms = 1, found[0]
    else:
        count, atoms = found[0], found[1] if len(found) == 3 else max(1, found[1] // 3)
    each = (count, atoms, 3)
    vectors = [(atoms, 3)] if single else [each, (count, 3 * atoms)]
    allowed = [
        (z, [(atoms,), (count, atoms), (count, atoms, 1), (1, atoms), (atoms, 1)]),
        (x, vectors),
        (e, [(count,), (count, 1), *([()] if count == 1 else [])]),
        (f, vectors),
    ]
    for name, usable in allowed:
        if tuple(shapes[name]) not in usable:
            raise ChemscaleError(f"{where}/{name}: shape {tuple(shapes[name])}; expected {usable[0]}")
    return count, atoms, single


def _last(shape: tuple) -> int:
    """Return the number of atoms that a shape of atomic numbers tells."""
    return next((size for size in reversed(shape) if size != 1), 1)


def _charges_and_spins(
    where: str, arrays: Mapping[str, Any], entry: dict, count: int, atoms: int
) -> dict[str, np.ndarray]:
    """Return the totals (K,) of the arrays that state charge or spin; those not named that have other shapes do not."""
    sums = {}
    for key in relevant_names(entry, arrays):
        named = key in {entry.get(other) for other in ENTRY_KEYS}
        fits = int(np.prod(arrays[key].shape)) in (1, count, atoms, count * atoms)
        if (named or fits) and not (key == FROM_SMILES and arrays[key].dtype.kind in "SUO"):
            sums[key] = totals(where, key, arrays[key][...], atoms, count)
    return sums


def _require_padding(where: str, real: np.ndarray, positions: np.ndarray, forces: np.ndarray) -> None:
    """Raise ChemscaleError if places without an atom are not at the end, or hold a position or a force."""
    empty = np.nan_to_num(positions[:, ~real]).any() or np.nan_to_num(forces[:, ~real]).any()
    if (np.diff(real.astype(int)) > 0).any() or empty or not real.any():
        raise ChemscaleError(f"{where}: 0 is not an atomic number; only empty places at the end may be padded with it")
