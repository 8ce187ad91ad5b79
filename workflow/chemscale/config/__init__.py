"""A study and its datasets, checked and completed."""

from chemscale.config.complete import complete

__all__ = ["complete"]
