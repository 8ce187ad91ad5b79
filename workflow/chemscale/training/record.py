"""The record of a finished training: metrics.json, history.parquet, model.safetensors, settings.json."""

import json
import math
import platform
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import save_file

from chemscale import __version__
from chemscale.files import atomic, read_json, write_json
from chemscale.models.accounting import parameter_groups
from chemscale.models.family import non_embedding
from chemscale.models.registry import FAMILIES
from chemscale.training import distributed
from chemscale.training.devices import device
from chemscale.training.loop import BETAS, TrainingModule

# by name of the distribution, the package that is imported
LIBRARIES = {"torch": "torch", "pytorch-lightning": "pytorch_lightning", "schnetpack": "schnetpack", "nequip": "nequip"}
LIBRARIES |= {"nequip-allegro": "allegro", "selfies": "selfies", "rdkit": "rdkit", "tblite": "tblite"}
SETTINGS_KEPT = (
    *("study", "repetition", "arm", "family", "size", "width", "depth", "data", "seed"),
    *("recipe", "learning_rate"),
)


def finished(directory: Path, identity: str) -> bool:
    """Whether `directory` holds the complete record of the training with this fingerprint."""
    path = directory / "metrics.json"
    return path.exists() and read_json(path)["fingerprint"] == identity


def write_record(directory: Path, module: TrainingModule, measured: dict) -> dict:
    """Write the record of a trained `module` into `directory`, metrics last, and return the metrics.

    `measured` holds what only the caller knows: test metrics, seconds, status, fingerprint.
    """
    task, evaluation, settings = module.task, module.evaluation, module.task.settings.to_json()
    groups = parameter_groups(task.model, FAMILIES[task.settings.family].groups)
    counts = task.counts()
    where = device()  # not the module's: Lightning has moved it to the CPU by now
    units, flops = module.work.tolist()
    seconds = evaluation.training_seconds
    losses = evaluation.losses()
    metrics = {
        **{name: settings[name] for name in SETTINGS_KEPT if name in settings},
        **measured,
        "ended": evaluation.ended,
        "undertrained": evaluation.undertrained(task.loss_degree),
        "collapsed": evaluation.collapsed(task.loss_degree),
        "parameters": non_embedding(groups),
        "parameters_total": sum(groups.values()),
        **{f"parameters_{group}": count for group, count in groups.items()},
        **counts,
        **task.baseline(),
        "steps": evaluation.history[-1]["step"] if evaluation.history else 0,
        "steps_budget": module.total_steps,
        "best_step": evaluation.best_step,
        "unit": task.unit,
        "units_seen": units,
        "epochs": units / counts[f"train_{task.unit}"],
        "flops": flops,
        "flops_6nd": 6 * non_embedding(groups) * units,
        "train_loss": evaluation.history[-1]["train_loss"] if evaluation.history else None,
        "validation_loss": losses[-1] if losses else None,
        "validation_loss_best": evaluation.best_loss if losses else None,
        "validation_loss_se": evaluation.last_evaluated().get("validation_loss_se"),
        "training_seconds": seconds,
        "units_per_second": units / seconds if seconds else None,
        "gemm_share": flops / seconds / gemm_ceiling(where) / distributed.processes() if seconds else None,
        **{f"peak_memory_{place}_mb": mb for place, mb in peak_memory_mb(where).items()},
        "adam_beta1": BETAS[0],
        "adam_beta2": BETAS[1],
        **module.precision,
        "processes": distributed.processes(),
        "device": where,
        "device_name": torch.cuda.get_device_name() if where == "cuda" else platform.machine(),
        "host": platform.node(),
        "versions": {
            "chemscale": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name, package in LIBRARIES.items() if package in sys.modules},
        },
    }
    if not distributed.first():
        return metrics
    (directory / "metrics.json").unlink(missing_ok=True)  # of other settings: a record half replaced is not whole
    write_json(directory / "settings.json", settings)
    with atomic(directory / "history.parquet") as path:
        pd.DataFrame(evaluation.history).to_parquet(path)
    with atomic(directory / "model.safetensors") as path:
        # with what it takes to build the model again, so that one file is enough to use it
        save_file(evaluation.best_weights, path, metadata={"chemscale": json.dumps(task.description())})
    write_json(directory / "metrics.json", metrics)
    return metrics


def gemm_ceiling(device: str, seconds: float = 0.1) -> float:
    """Return FLOP/s of a large float32 matrix product on `device`, the best within `seconds`."""
    n = 512 if device == "cpu" else 8192
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    best, start = math.inf, time.perf_counter()
    while time.perf_counter() - start < seconds:
        t = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - t)
    return 2 * n**3 / best


def peak_memory_mb(device: str) -> dict[str, float]:
    """Return peak resident memory of this process and, on a GPU, peak memory allocated there, in MB."""
    peaks = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if device == "cuda":
        peaks["device"] = torch.cuda.max_memory_allocated() / 2**20
    return peaks
