"""Settings of cells and sweeps that train in a second or two."""

from pathlib import Path
from typing import Any

from chemscale.config.cell_settings import CellSettings, SweepSettings

ARMS = {
    "language": {"family": "chemgpt-slim", "training": {"batch_tokens": 500}},
    "potential": {
        "family": "schnet",
        "depth": 1,
        "training": {"batch_atoms": 60, "cutoff": 4.0, "loss": {"energy": 0.05, "force": 0.95}},
    },
}
TRAINING = {
    "steps": {"per_sqrt_example": 0, "epochs": 0, "minimum": 60, "maximum": 60},
    "evaluations": 5,
    "patience": 5,
    "weight_decay": 0.1,
    "warmup": 0.05,
    "schedule": "cosine",
    "clip": 1.0,
}
CELL = {"study": "test", "size": "small", "width": 8, "data": 60, "seed": 0, "recipe": 1, "learning_rate": 0.01}

RATES = [1e-4, 1e-3, 5e-3, 1e-2, 2e-2]


def small_cell(arm: str, dataset: Path, **changes: Any) -> CellSettings:
    """A cell of `arm` on the data in `dataset`; `changes` are keys of the settings, or of their training."""
    own = ARMS[arm]
    content = CELL | own | {"arm": arm, "dataset": str(dataset), "tuning": None, "training": TRAINING | own["training"]}
    return changed(CellSettings.from_json(content), **changes)


def changed(settings: CellSettings, steps: int | None = None, **changes: Any) -> CellSettings:
    """The cell with other values of keys of its settings or of their training, and with exactly `steps` steps."""
    content = settings.to_json()
    if steps:
        content["training"]["steps"] |= {"minimum": steps, "maximum": steps}
    for name, value in changes.items():
        (content if name in CellSettings.model_fields else content["training"])[name] = value
    return CellSettings.from_json(content)


def sweep_of(settings: CellSettings, **tune: Any) -> SweepSettings:
    """The sweep `tune` over cells like this one."""
    shared = {name: value for name, value in settings.to_json().items() if name in SweepSettings.model_fields}
    plan = {"widths": [8], "learning_rates": RATES, "data": 60, "steps": 20}
    return SweepSettings.from_json(shared | {"tune": plan | tune})
