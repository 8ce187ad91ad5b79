"""Fit scaling laws to tables of losses: `from chemscale.scaling import fit`.

The names are imported upon use, so that checks of a form or a column do without pandas and scipy.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chemscale.scaling.api import ScalingLaw, fit

__all__ = ["ScalingLaw", "fit"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from chemscale.scaling import api

    return getattr(api, name)
