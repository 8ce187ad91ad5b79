"""Scaling laws one can trust: `from chemscale.scaling import fit`."""

from chemscale.scaling.api import ScalingLaw, fit

__all__ = ["ScalingLaw", "fit"]
