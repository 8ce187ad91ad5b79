"""All families of models. A family is a folder beside this file and a line in FOLDERS.

A folder holds one record, FAMILY, or several that share a network, FAMILIES.

Importing this module does not import torch.
"""

from importlib import import_module

from chemscale.errors import ChemscaleError
from chemscale.models.family import Family, LanguageFamily, PotentialFamily

FOLDERS = (
    "chemgpt",
    "chemgpt_slim",
    "mpnn",
    "schnet",
    "painn",
    "spookynet",
    "allegro",
    "nequip",
)


def _records(folder: str) -> tuple[Family, ...]:
    module = import_module(f"chemscale.models.{folder}")
    return getattr(module, "FAMILIES", None) or (module.FAMILY,)


FAMILIES: dict[str, Family] = {family.name: family for folder in FOLDERS for family in _records(folder)}


def families_of(arm: str) -> dict[str, Family]:
    """Return the families of an arm by name."""
    return {name: family for name, family in FAMILIES.items() if family.arm == arm}


def charged_families() -> list[str]:
    """Return the names of the families that can be built with inputs of charge and unpaired electrons."""
    return [name for name, family in FAMILIES.items() if isinstance(family, PotentialFamily) and family.charged]


def language_family(name: str) -> LanguageFamily:
    """Return a family of decoders. Raise ChemscaleError where there is none of this name."""
    family = FAMILIES.get(name)
    if not isinstance(family, LanguageFamily):
        raise _unknown(name, "language")
    return family


def potential_family(name: str) -> PotentialFamily:
    """Return a family of potentials. Raise ChemscaleError where there is none of this name."""
    family = FAMILIES.get(name)
    if not isinstance(family, PotentialFamily):
        raise _unknown(name, "potential")
    return family


def _unknown(name: str, arm: str) -> ChemscaleError:
    known = ", ".join(families_of(arm))
    return ChemscaleError(f"family = {name!r}: no such family of the arm {arm}; choose one of {known}")
