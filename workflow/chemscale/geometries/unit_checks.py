"""Whether the units and the sign of a file agree with the ratios of `unit_ratios` (docs/explanation/units.md)."""

from collections.abc import Collection, Mapping
from itertools import product

from chemscale.errors import ChemscaleError
from chemscale.geometries.units import ENERGY, FLAGS

# The nearest other value that a wrong flag can give a ratio is a factor of 1.89 away; for energies, 4.18.
RANGES = {
    "work": (0.73, 1.37),
    "stiffness": (0.65, 1.45),
    "distance": (0.73, 1.37),
    "total": (0.95, 1.05),
    "valence": (0.95, 1.5),
}
OF_ENERGIES = ("total", "valence")


def check_units(ratios: Mapping, units: Mapping[str, str], entry: Mapping) -> dict[str, list[str]]:
    """Return what `ratios` of `unit_ratios` show about `units`, the value of each of FLAGS.

    `wrong` are the names of ratios out of range, `unverified` the flags that could as well have another value,
    `skipped` the ratios that `skip_unit_checks` of the entry leaves out, and `advice` the changes with which all ratios
    would be in range. Energies are compared with those of GFN2-xTB where that is the method, else with all-electron
    ones.
    """
    skipped = set(entry.get("skip_unit_checks", ()))
    other = "total" if entry.get("method") == "GFN2-xTB" else "valence"
    known = {
        name: ratios[name] for name in RANGES if ratios[name] is not None and name != other and name not in skipped
    }
    fitting = []
    for values in product(*FLAGS.values()):
        flags = dict(zip(FLAGS, values, strict=True))
        if not _out_of_range(_with_flags(known, units, flags)):
            fitting.append({key: value for key, value in flags.items() if value != units[key]})
    wrong = _out_of_range(known)
    fewest = min(map(len, fitting), default=0)
    smallest = [changes for changes in fitting if len(changes) == fewest] if wrong else []
    return {
        "wrong": wrong,
        "unverified": [] if wrong else [key for key in FLAGS if any(key in changes for changes in fitting)],
        "skipped": [name for name in RANGES if name in skipped],
        "advice": [" with ".join(f"{key}: {value}" for key, value in changes.items()) for changes in smallest],
    }


def require_consistent(where: str, ratios: Mapping, units: Mapping[str, str], verdict: Mapping[str, list[str]]) -> None:
    """Raise ChemscaleError if `verdict` of `check_units` has ratios that are out of range."""
    if not verdict["wrong"]:
        return
    found = ", ".join(f"{name} {ratios[name]:.3g} (expected {_range(name)})" for name in verdict["wrong"])
    advice = f"try {', or '.join(verdict['advice'])}" if verdict["advice"] else "no other units or sign would agree"
    raise ChemscaleError(
        f"{where}: {', '.join(f'{key} = {value}' for key, value in units.items())}: inconsistent with the data, "
        f"{found}; {advice}; docs/explanation/units.md explains the checks and how to skip one"
    )


def _range(name: str) -> str:
    return "{:g} to {:g}".format(*RANGES[name])


def _out_of_range(known: Mapping[str, float]) -> list[str]:
    """Return the names of the ratios that show wrong flags."""
    good = {name: low <= known[name] <= high for name, (low, high) in RANGES.items() if name in known}
    wrong = [name for name, in_range in good.items() if not in_range and name not in OF_ENERGIES]
    # energies may have any zero: they count where forces show nothing, and only if another unit would give a known zero
    if (good.get("work") and good.get("stiffness")) or any(good.get(name) for name in OF_ENERGIES):
        return wrong
    return wrong + [name for name in OF_ENERGIES if name in known and _other_unit_fits(name, known[name])]


def _other_unit_fits(name: str, ratio: float) -> bool:
    low, high = RANGES[name]
    return any(low <= ratio * mine / other <= high for mine, other in product(ENERGY.values(), repeat=2))


def _with_flags(known: Mapping[str, float], units: Mapping[str, str], flags: Mapping[str, str]) -> dict[str, float]:
    """Return what the ratios would be with other flags."""
    factor = {key: FLAGS[key][flags[key]] / FLAGS[key][units[key]] for key in FLAGS}
    length, energy = factor["length_unit"], factor["energy_unit"]
    force = factor["forces_unit"] * factor["forces_are"]
    factors = {"work": energy / (force * length), "stiffness": force / length, "distance": length}
    return {name: ratio * factors.get(name, energy) for name, ratio in known.items()}


def describe_verdict(verdict: Mapping[str, Collection[str]]) -> str:
    """Return what was checked, for `sanity.txt` and the terminal."""
    unverified = ", ".join(verdict["unverified"]) or "none"
    skipped = f"; checks skipped by the entry: {', '.join(verdict['skipped'])}" if verdict["skipped"] else ""
    return f"declared but not verified by the data: {unverified}{skipped}"
