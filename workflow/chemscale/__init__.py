"""chemscale: how chemical deep learning improves with model size, data and compute."""

__version__ = "0.1.0"
