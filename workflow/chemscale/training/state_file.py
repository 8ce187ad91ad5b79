"""Files of a training's whole state: tensors and plain values, with a checksum; reading one runs no code.

A file is the SHA-256 of all that follows, and then safetensors whose metadata hold the structure as JSON.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.plugins.io import CheckpointIO
from safetensors.torch import load, save
from torch import Tensor

from chemscale.errors import ChemscaleError
from chemscale.files import atomic

DIGEST_BYTES = 32


class StateFiles(CheckpointIO):
    """Lightning's way to save and load checkpoints, without pickle."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the state, durably."""
        write_state(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Return the state, tensors on the CPU."""
        return read_state(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a state."""
        Path(path).unlink(missing_ok=True)


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write nested dicts, lists and tuples of tensors, arrays and plain values, atomically and onto the disk.

    Raises TypeError for anything else.
    """
    tensors: dict[str, Tensor] = {}
    structure = _structure(state, tensors)
    content = save(tensors, {"state": json.dumps(structure)})
    with atomic(path) as temporary, open(temporary, "wb") as file:
        file.write(hashlib.sha256(content).digest())
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_state(path: Path) -> dict[str, Any]:
    """Return what `write_state` wrote; raise ChemscaleError for a file with other bytes, or of another kind."""
    content = path.read_bytes()
    digest, content = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise ChemscaleError(f"{path}: damaged, or not a checkpoint of this version; its checksum is wrong")
    length = int.from_bytes(content[:8], "little")  # of the header of safetensors
    structure = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["state"])
    return _value(structure, load(content))


def _structure(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return `value` as JSON can hold it, its tensors put into `tensors` and named in their place."""
    name = str(len(tensors))
    if isinstance(value, np.ndarray):
        tensors[name] = torch.from_numpy(value.copy())
        return {"array": name}
    if isinstance(value, Tensor):
        # a copy: safetensors refuses tensors that share their memory, as tied weights do
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[_structure(key, tensors), _structure(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_structure(item, tensors) for item in value]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__}: no part of a state that can be kept without pickle")


def _value(structure: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the inverse of `_structure`."""
    if isinstance(structure, list):
        return [_value(item, tensors) for item in structure]
    if not isinstance(structure, dict):
        return structure
    ((kind, content),) = structure.items()
    if kind == "dict":
        return {_value(key, tensors): _value(item, tensors) for key, item in content}
    if kind == "tuple":
        return tuple(_value(item, tensors) for item in content)
    return tensors[content].numpy() if kind == "array" else tensors[content]
