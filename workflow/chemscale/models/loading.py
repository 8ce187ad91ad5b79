"""Load trained models from the records of their runs."""

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
    """Return a trained ChemGPT, in evaluation mode on the CPU, and its vocabulary (ids are positions in it).

    `path` is the record of a run, or its `model.safetensors`. Raises ChemscaleError for a file that is missing,
    damaged, not written by chemscale or of the other arm, and for a model whose attention or SELFIES version differs
    from those of this installation.
    """
    description, weights = read_model(path, "language")
    _require_selfies(path, description["selfies"])
    shape = language_family(description["family"]).shape(description["width"])
    if description.get("scaled", False) != shape.scaled:
        raise ChemscaleError(f"{path}: trained before {description['family']} scaled its attention; retrain it")
    model = ChemGPT(shape, len(description["vocabulary"]))
    model.load_state_dict(weights)
    return model.eval(), description["vocabulary"]


class Potential(NamedTuple):
    """A trained potential; its module returns energies without the reference energies of the atoms."""

    model: nn.Module
    references: np.ndarray  # (119,), eV by atomic number; NaN for elements absent from training
    cutoff: float  # Å
    charged: bool = False  # has inputs of charge and unpaired electrons
    undetermined: np.ndarray = np.zeros((0, len(chemical_symbols)))  # (D, 119), of `references.undetermined`


def load_potential(path: Path | str, dtype: torch.dtype = torch.float32) -> Potential:
    """Return a trained potential, in evaluation mode on the CPU, that computes in `dtype`.

    `path` is the record of a run, or its `model.safetensors`. Raises ChemscaleError for a file that is missing,
    damaged, not written by chemscale or of the other arm.
    """
    # importing schnetpack takes a second, which a language model does not need
    from chemscale.models.potentials import build_potential

    description, weights = read_model(path, "potential")
    charged = description.get("charged", False)
    model = build_potential(
        **{key: description[key] for key in ("family", "depth", "width", "cutoff")}, charged=charged
    )
    model.load_state_dict(weights)
    free = [_by_element(row, 0.0) for row in description.get("undetermined", [])]
    # forces are 10 % faster without gradients of the weights
    model = model.to(dtype).eval().requires_grad_(False)
    undetermined = np.reshape(free, (-1, len(chemical_symbols)))
    return Potential(model, _by_element(description["references"]), description["cutoff"], charged, undetermined)


def _by_element(values: dict[str, float], default: float = np.nan) -> np.ndarray:
    """Return an array (119,) of values by atomic number; the keys of JSON are text."""
    array = np.full(len(chemical_symbols), default)
    for z, value in values.items():
        array[int(z)] = value
    return array


def read_model(path: Path | str, arm: str) -> tuple[dict, dict]:
    """Return the description of a run's model, from which it is built, and its weights (tensors by name).

    Raises ChemscaleError for a file that is missing, damaged, not written by chemscale or of another arm.
    """
    path = Path(path)
    path = path / "model.safetensors" if path.is_dir() else path
    if not path.is_file():
        raise ChemscaleError(f"{path}: no such file; give the record of a finished run, results/<study>/runs/…/seed0")
    try:
        with safe_open(path, "pt") as file:
            kept = (file.metadata() or {}).get("chemscale")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
    except SafetensorError as error:
        raise ChemscaleError(
            f"{path}: damaged, or not a safetensors file ({error}); copy it again or retrain the cell"
        ) from None
    if kept is None:
        raise ChemscaleError(f"{path}: not written by chemscale (no metadata); retrain the cell with this version")
    description = json.loads(kept)
    if description["arm"] != arm:
        raise ChemscaleError(f"{path}: a {description['arm']} model; this command needs a {arm} model")
    return description, weights


def read_metrics(record: Path) -> dict:
    """Return metrics.json of a record, given its folder or its model; empty for a model without a record."""
    path = (record if record.is_dir() else record.parent) / "metrics.json"
    return read_json(path) if path.is_file() else {}


def _require_selfies(path: Path | str, trained: str) -> None:
    here = version("selfies")
    if here.split(".")[0] != trained.split(".")[0]:
        raise ChemscaleError(
            f"{path}: trained with selfies {trained}, which spells molecules differently from the installed {here}; "
            f"install selfies {trained.split('.')[0]}.x or retrain"
        )
