"""chemscale: how chemical deep learning improves with model size, data and compute."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["PotentialCalculator"]


def __getattr__(name: str) -> Any:
    """Return a public name, whose module is imported when it is first asked for: torch takes seconds."""
    if name == "PotentialCalculator":
        from chemscale.simulation.calculator import PotentialCalculator

        return PotentialCalculator
    raise AttributeError(f"module 'chemscale' has no attribute {name!r}")
