"""One thread for every test: what tiny models are trained with, and what makes their numbers repeatable."""

import os
from pathlib import Path

import pytest

os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Top of the repository."""
    return Path(__file__).parents[1]
