"""Whether the units and the sign that an entry declares for a file agree with the ratios of `unit_ratios`."""

from itertools import product

from chemscale.errors import ChemscaleError
from chemscale.geometries.units import DEFAULTS, ENERGY, FLAGS

# The nearest other value that a wrong flag can give a ratio is a factor of 1.89 away; for energies, 4.18.
RANGES = {
    "work": (0.73, 1.37),
    "stiffness": (0.65, 1.45),
    "distance": (0.73, 1.37),
    "total": (0.95, 1.05),
    "valence": (0.95, 1.5),
}


def require_consistent(where: str, ratios: dict, entry: dict) -> None:
    """Raise ChemscaleError if `ratios` of `unit_ratios` are out of range with the flags of the registry `entry`.

    The message names them, and the other flags with which all would be in range.
    """
    wrong = _out_of_range(ratios)
    if not wrong:
        return
    declared = {key: entry.get(key, DEFAULTS.get(key)) for key in FLAGS}
    fitting = []
    for values in product(*FLAGS.values()):
        flags = dict(zip(FLAGS, values, strict=True))
        if not _out_of_range(_with_flags(ratios, declared, flags)):
            fitting.append({key: value for key, value in flags.items() if value != declared[key]})
    fewest = min(map(len, fitting), default=0)
    changes = [
        " with ".join(f"{key}: {value}" for key, value in flags.items()) for flags in fitting if len(flags) == fewest
    ]
    found = ", ".join(
        f"{name} {ratios[name]:.3g} (expected {RANGES[name][0]:g} to {RANGES[name][1]:g})" for name in wrong
    )
    advice = f"try {', or '.join(changes)}" if changes else "no other units or sign would agree; check the labels"
    raise ChemscaleError(
        f"{where}: {', '.join(f'{key} = {value}' for key, value in declared.items())}: inconsistent with the data, "
        f"{found}; {advice} (docs/units.md explains the checks)"
    )


def _out_of_range(ratios: dict) -> list[str]:
    """Return the names of the ratios that show wrong flags."""
    known = {name: ratios[name] is not None for name in RANGES}
    good = {name: known[name] and low <= ratios[name] <= high for name, (low, high) in RANGES.items()}
    wrong = [name for name in ("work", "stiffness", "distance") if known[name] and not good[name]]
    # energies may have any zero: they count where forces show nothing, and only if another unit would give a known zero
    if (good["work"] and good["stiffness"]) or good["total"] or good["valence"]:
        return wrong
    units = ENERGY.values()
    for name in ("total", "valence"):
        if known[name] and any(
            RANGES[name][0] <= ratios[name] * mine / other <= RANGES[name][1] for mine, other in product(units, units)
        ):
            return [*wrong, name]
    return wrong


def _with_flags(ratios: dict, declared: dict, flags: dict) -> dict:
    """Return what the ratios would be with other flags."""
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
    return {name: None if ratios[name] is None else ratios[name] * by for name, by in factors.items()}
