"""Units that files of geometries come in, and how files state them; the store is in Å, eV and eV/Å."""

import re
from collections.abc import Iterable, Mapping

import ase.units as units

from chemscale.errors import ChemscaleError

# Å, eV and eV/Å per unit
LENGTH = {"angstrom": 1.0, "bohr": units.Bohr, "nm": 10.0}
ENERGY = {"eV": 1.0, "hartree": units.Hartree, "kcal/mol": units.kcal / units.mol, "kJ/mol": units.kJ / units.mol}
FORCES = {
    "eV/angstrom": 1.0,
    "hartree/angstrom": units.Hartree,
    "hartree/bohr": units.Hartree / units.Bohr,
    "kcal/mol/angstrom": units.kcal / units.mol,
    "kJ/mol/angstrom": units.kJ / units.mol,
    "kJ/mol/nm": units.kJ / units.mol / 10,
}
SIGN = {"forces": 1.0, "gradient": -1.0}
# keys of a registry entry that tell how to read the numbers of its file, with their values; and their defaults
FLAGS = {"length_unit": LENGTH, "energy_unit": ENERGY, "forces_unit": FORCES, "forces_are": SIGN}
DEFAULTS = {"length_unit": "angstrom", "forces_are": "forces", "spin_is": "unpaired"}
ATOMIC = {"length_unit": "bohr", "energy_unit": "hartree", "forces_unit": "hartree/bohr"}
SPELLINGS = {
    "angstrom": ("angstrom", "angstroms", "ang", "a", "å", "ångström", "ångstrom"),
    "bohr": ("bohr", "bohrs", "a0", "b"),
    "nm": ("nm", "nanometer", "nanometers", "nanometre"),
    "ev": ("ev", "electronvolt", "electronvolts"),
    "hartree": ("hartree", "hartrees", "ha", "eh", "e_h"),
    "kcal": ("kcal", "kilocalorie", "kilocalories"),
    "kj": ("kj", "kilojoule", "kilojoules"),
    "mol": ("mol", "mole"),
}
WORDS = {spelling: word for word, spellings in SPELLINGS.items() for spelling in spellings}
# keys with which files give a unit beside their arrays, without case and underscores
STATEMENTS = {
    "length_unit": ("runit", "lengthunit", "lengthunits", "positionunit", "positionsunit", "distanceunit"),
    "energy_unit": ("eunit", "energyunit", "energyunits", "energiesunit"),
    "forces_unit": ("funit", "forceunit", "forcesunit", "forceunits", "forcesunits"),
}


def parse_unit(flag: str, text: object) -> str | None:
    """Return the unit, as `flag` names it, that a file writes as `text`; None for what is not understood."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    text = str(text).strip().lower()
    if text in ("au", "a.u.", "atomic units", "atomic"):
        return ATOMIC.get(flag)
    above, below, divided = [], set(), False
    for token in re.findall(r"/|[^\s*·/()]+", text.replace("⁻¹", "-1").replace("^", "")):
        word = WORDS.get(token.removesuffix("-1"))
        if token == "/" or token == "per":
            divided = True
        elif word is None:
            return None
        elif divided or token.endswith("-1"):
            below.add(word)
        else:
            above.append(word)
    parts = [*above, *(["mol"] if "mol" in below else []), *sorted(below - {"mol"})]
    return {name.lower(): name for name in FLAGS[flag]}.get("/".join(parts))


def unit_names(names: Iterable[str]) -> list[str]:
    """Return those of the `names` in a file that are keys with which files give a unit."""
    known = {short for shorts in STATEMENTS.values() for short in shorts}
    return [name for name in names if re.sub(r"[\W_]", "", str(name)).lower() in known]


def stated_units(where: str, values: Mapping, extra: Iterable[tuple[str, object]] = ()) -> dict[str, str]:
    """Return the units by flag that `values`, names beside the arrays of a file, state; `extra` are flags with texts.

    With units of energies and of lengths only, as in files of sGDML, forces are in their ratio. Raises ChemscaleError
    if a file contradicts itself.
    """
    found: dict[str, str] = {}
    names = {re.sub(r"[\W_]", "", str(name)).lower(): name for name in values}
    named = [(flag, values[names[short]]) for flag, shorts in STATEMENTS.items() for short in shorts if short in names]
    for flag, text in (*named, *extra):
        if getattr(text, "size", 0) == 1:
            text = text.item()  # of an array
        unit = parse_unit(flag, text)
        if unit is not None and found.setdefault(flag, unit) != unit:
            raise ChemscaleError(f"{where}: the file states two values of {flag}, {found[flag]} and {unit}; correct it")
    if {"runit", "eunit"} <= names.keys() and {"energy_unit", "length_unit"} <= found.keys():
        ratio = parse_unit("forces_unit", f"{found['energy_unit']}/{found['length_unit']}")
        if ratio is not None:
            found.setdefault("forces_unit", ratio)
    return found


def resolve_units(where: str, entry: Mapping, stated: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each of FLAGS: of the `entry`, else as `stated` by the file, else the default.

    Raises ChemscaleError where the two contradict each other, and where neither has a value.
    """
    units = {}
    for flag, known in FLAGS.items():
        declared, found = entry.get(flag), stated.get(flag)
        if declared is not None and found is not None and known[declared] != known[found]:
            raise ChemscaleError(
                f"{where}: {flag} = {declared}: the file states {found}; correct the entry, or remove {flag} from it"
            )
        value = declared or found or DEFAULTS.get(flag)
        if value is None:
            raise ChemscaleError(
                f"{where}: {flag} is missing, and the file does not state it; add one of {', '.join(known)}"
            )
        units[flag] = value
    return units
