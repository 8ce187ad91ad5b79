"""Commands that train models."""

import logging
from pathlib import Path
from typing import Annotated

from typer import Option

from chemscale.cli.app import Gpus, OutFolder, OutJson, Settings, command, read_settings
from chemscale.training import CHECKPOINT_SECONDS
from chemscale.training.devices import gpus as leased

LOG = logging.getLogger(__name__)


@command("Training")
def tune(settings: Settings, out: OutJson, gpus: Gpus = None) -> None:
    """Find the best learning rates of small models and fit the rule that gives them for larger ones."""
    from chemscale.config.cell_settings import SweepSettings

    sweep = SweepSettings.from_json(read_settings(settings))
    with leased(gpus):
        from chemscale.tuning.sweep import tune

        tune(sweep, out)


@command("Training")
def train(
    settings: Settings,
    out: OutFolder,
    checkpoints: Annotated[Path | None, Option(help="Folder of checkpoints; default: OUT.checkpoints.")] = None,
    checkpoint_seconds: Annotated[float, Option(help="Seconds between two checkpoints.")] = CHECKPOINT_SECONDS,
    gpus: Gpus = None,
) -> None:
    """Train one model; after an interruption, the same command goes on from the last checkpoint."""
    from chemscale.config.cell_settings import CellSettings
    from chemscale.training.distributed import exec_torchrun, launched

    cell = CellSettings.from_json(read_settings(settings))
    checkpoints = checkpoints or out.with_name(out.name + ".checkpoints")
    with leased(gpus):
        if gpus and gpus > 1 and not launched():
            where = ["--out", out, "--checkpoints", checkpoints, "--checkpoint-seconds", checkpoint_seconds]
            exec_torchrun(gpus, cell.to_json(), checkpoints, [*map(str, where), "--gpus", str(gpus)])
        from chemscale.training.run import train_cell
        from chemscale.tuning.learning_rate_rule import resolve_learning_rate

        metrics = train_cell(resolve_learning_rate(cell), out, checkpoints, checkpoint_seconds)
    LOG.info(f"{out}: {metrics['status']}, {metrics['reason'] or metrics['ended']}")
