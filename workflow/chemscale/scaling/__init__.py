"""Fit scaling laws to tables of losses: `from chemscale.scaling import fit`."""

from chemscale.scaling.api import ScalingLaw, fit

__all__ = ["ScalingLaw", "fit"]
