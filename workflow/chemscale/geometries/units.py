"""Units that files of geometries come in; the store is in Å, eV and eV/Å."""

import ase.units as units

# Å, eV and eV/Å per unit
LENGTH = {"angstrom": 1.0, "bohr": units.Bohr}
ENERGY = {"eV": 1.0, "hartree": units.Hartree, "kcal/mol": units.kcal / units.mol, "kJ/mol": units.kJ / units.mol}
FORCES = {
    "eV/angstrom": 1.0,
    "hartree/angstrom": units.Hartree,
    "hartree/bohr": units.Hartree / units.Bohr,
    "kcal/mol/angstrom": units.kcal / units.mol,
    "kJ/mol/angstrom": units.kJ / units.mol,
}
SIGN = {"forces": 1.0, "gradient": -1.0}
# keys of a registry entry that tell how to read the numbers of its file, with their values; and their defaults
FLAGS = {"length_unit": LENGTH, "energy_unit": ENERGY, "forces_unit": FORCES, "forces_are": SIGN}
DEFAULTS = {"length_unit": "angstrom", "forces_are": "forces", "spin_is": "unpaired"}
