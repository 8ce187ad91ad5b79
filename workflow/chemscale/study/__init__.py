"""A study as a table of cells, and what they ask of a machine."""

from chemscale.study.estimates import Estimate, estimate, estimate_sweep, estimate_use, resources, uses
from chemscale.study.grid import Cell, Work, cells, tuned_families, tuning_path, tuning_settings
from chemscale.study.packs import packs, runtime_in_pack
from chemscale.study.site import Site, read_site

__all__ = [
    "Cell",
    "Estimate",
    "Site",
    "Work",
    "cells",
    "estimate",
    "estimate_sweep",
    "estimate_use",
    "packs",
    "read_site",
    "resources",
    "runtime_in_pack",
    "tuned_families",
    "tuning_path",
    "tuning_settings",
    "uses",
]
