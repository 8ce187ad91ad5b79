"""Trained models out of the records of their runs."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from ase.data import chemical_symbols
from safetensors import SafetensorError, safe_open
from torch import nn

from chemscale.errors import ChemscaleError
from chemscale.files import read_json
from chemscale.models.chemgpt.network import ChemGPT
from chemscale.models.registry import language_family


def load_chemgpt(path: Path | str) -> tuple[ChemGPT, list[str]]:
    """A trained ChemGPT, in evaluation mode on the CPU, and its vocabulary (an id is a place in it).

    `path` is the record of a run, or its `model.safetensors`. Raises ChemscaleError for a file that is missing,
    damaged, not written by chemscale or of the other arm, and for a model of another mathematics or SELFIES than now.
    """
    description, weights = read_model(path, "language")
    _require_selfies(path, description["selfies"])
    shape = language_family(description["family"]).shape(description["width"])
    if description.get("scaled", False) != shape.scaled:
        raise ChemscaleError(f"{path}: trained before {description['family']} scaled its attention; train it anew")
    model = ChemGPT(shape, len(description["vocabulary"]))
    model.load_state_dict(weights)
    return model.eval(), description["vocabulary"]


class Potential(NamedTuple):
    """A trained potential: its module gives energies less the sum of its atoms' references."""

    model: nn.Module
    references: np.ndarray  # (119,), eV by atomic number; NaN: an element it has not seen
    cutoff: float  # Å
    charged: bool = False  # whether it reads charge and unpaired electrons


def load_potential(path: Path | str, dtype: torch.dtype = torch.float32) -> Potential:
    """A trained potential, in evaluation mode on the CPU, computing in `dtype`.

    `path` is the record of a run, or its `model.safetensors`. Raises ChemscaleError for a file that is missing,
    damaged, not written by chemscale or of the other arm.
    """
    # schnetpack is a second's import that a language model need not wait for
    from chemscale.models.potentials import build_potential

    description, weights = read_model(path, "potential")
    charged = description.get("charged", False)
    model = build_potential(*(description[key] for key in ("family", "depth", "width", "cutoff")), charged=charged)
    model.load_state_dict(weights)
    references = np.full(len(chemical_symbols), np.nan)
    for z, energy in description["references"].items():  # JSON has made text of the numbers
        references[int(z)] = energy
    # without gradients of weights, forces are a tenth faster
    return Potential(model.to(dtype).eval().requires_grad_(False), references, description["cutoff"], charged)


def read_model(path: Path | str, arm: str) -> tuple[dict, dict]:
    """What a run kept of its model: the description it is built from, and its weights (tensors by name)."""
    path = Path(path)
    path = path / "model.safetensors" if path.is_dir() else path
    if not path.is_file():
        raise ChemscaleError(f"{path}: no such file; name the record of a finished run, results/<study>/runs/…/seed0")
    try:
        with safe_open(path, "pt") as file:
            kept = (file.metadata() or {}).get("chemscale")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
    except SafetensorError as error:
        raise ChemscaleError(f"{path}: damaged or no safetensors file ({error})") from None
    if kept is None:
        raise ChemscaleError(f"{path}: does not say what model it is of; train the cell anew with this chemscale")
    description = json.loads(kept)
    if description["arm"] != arm:
        raise ChemscaleError(f"{path}: a model of the arm {description['arm']}; right would be one of the arm {arm}")
    return description, weights


def read_metrics(record: Path) -> dict:
    """metrics.json of a record, named by its folder or its model; an empty one for a model that stands alone."""
    path = (record if record.is_dir() else record.parent) / "metrics.json"
    return read_json(path) if path.is_file() else {}


def _require_selfies(path: Path | str, trained: str) -> None:
    here = version("selfies")
    if here.split(".")[0] != trained.split(".")[0]:
        raise ChemscaleError(
            f"{path}: trained on SELFIES of version {trained}, which spells molecules differently from {here}, "
            f"installed here; install selfies {trained.split('.')[0]}.x or train anew"
        )
