"""Clones for the workflow's tests; `clones.py` has what is done with them."""

from pathlib import Path

import pytest
from helpers.clones import make_clone


@pytest.fixture
def clone(checkout, tmp_path) -> Path:
    """A clone without results."""
    return make_clone(checkout, tmp_path)
