"""The families of potentials as the tests take them from the registry."""

from importlib.util import find_spec

import pytest

from chemscale.models.registry import families_of

HAS_ALLEGRO = find_spec("allegro") is not None


def every_potential() -> list:
    """Return a pytest parameter for every family of potentials, skipped where its library is not installed."""
    without = pytest.mark.skipif(not HAS_ALLEGRO, reason="nequip-allegro, the extra `allegro`, is not installed")
    return [pytest.param(name, marks=[without] if name == "allegro" else []) for name in families_of("potential")]
