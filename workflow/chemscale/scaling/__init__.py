"""Fit scaling laws to tables of losses, compare and check them: `from chemscale.scaling import fit`.

The names are imported upon use, so that checks of a form or a column do without pandas and scipy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chemscale.scaling.api import fit
    from chemscale.scaling.forms.constraints import constrain
    from chemscale.scaling.law import ScalingLaw
    from chemscale.scaling.selection.check import check
    from chemscale.scaling.selection.compare_forms import compare

__all__ = ["ScalingLaw", "check", "compare", "constrain", "fit"]
MODULES = {
    "ScalingLaw": "law",
    "check": "selection.check",
    "compare": "selection.compare_forms",
    "constrain": "forms.constraints",
    "fit": "api",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"chemscale.scaling.{MODULES[name]}"), name)
