"""The task of the potential arm: a neural force field on energies and forces."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from chemscale.config.cell_settings import CellSettings
from chemscale.config.study_models import PotentialTraining
from chemscale.errors import ChemscaleError
from chemscale.geometries import keys
from chemscale.geometries.batches import GeometryBatches, MicroBatch, evaluation_batches, gather
from chemscale.geometries.error_metrics import error_metrics
from chemscale.geometries.references import fit_references, require_elements, undetermined
from chemscale.geometries.store import Geometries, open_geometries
from chemscale.models.accounting import counted_flops
from chemscale.models.potentials import build_potential, energy_and_forces
from chemscale.models.registry import charged_families, potential_family
from chemscale.training import distributed

if TYPE_CHECKING:
    from chemscale.training.compiled_step import CompiledStep

EVALUATION_ATOMS = 512  # per batch

Number = TypeVar("Number", float, Tensor)


class PotentialTask:
    """Model, batches, loss and metrics of one potential cell. The unit of work is an atom."""

    unit = "atoms"
    loss_degree = 2  # the loss is a squared error

    def __init__(self, settings: CellSettings):
        self.settings = settings
        self.training = cast(PotentialTraining, settings.training)
        self.geometries = open_geometries(Path(settings.dataset))
        # other geometries of training molecules; other molecules, of which a file of a single one has none
        self.final_splits = [s for s in ("test", "unseen") if self.geometries.header["structures"][s]]
        self.data_identity = self.geometries.header["fingerprint"]
        self.rows = self.geometries.rows("train", settings.data, settings.repetition)
        self.references = fit_references(self.geometries, self.rows)  # eV, per element
        for split in ("validation", *self.final_splits):
            require_elements(self.references, self.geometries, self.geometries.rows(split))
        self.charged = self.geometries.charged > 0
        _require_neutral_or_able(self.geometries, settings.family)
        depth = cast(int, settings.depth)
        self.model = build_potential(settings.family, depth, settings.width, self.training.cutoff, charged=self.charged)
        self.trained: Any = self.model
        self.step: CompiledStep | None = None  # the compiled training step, if it is used (training/compilation.py)
        self.flops_per_atom, self.flops_per_pair = self._step_flops()

    @property
    def examples_per_step(self) -> float:
        """Structures per batch, on average."""
        return self.training.batch_atoms / self.geometries.n_atoms(self.rows).mean()

    def counts(self) -> dict[str, int]:
        """Return the size of the training subset."""
        atoms = int(self.geometries.n_atoms(self.rows).sum())
        return {"train_structures": len(self.rows), "train_atoms": atoms, "train_force_labels": 3 * atoms}

    def description(self) -> dict:
        """Return all that is needed to build the trained model and to add the references of its energies."""
        free = [
            {z: float(part) for z, part in enumerate(row) if part} for row in undetermined(self.geometries, self.rows)
        ]
        return {
            "arm": "potential",
            "family": self.settings.family,
            "depth": self.settings.depth,
            "width": self.settings.width,
            "cutoff": self.training.cutoff,  # Å
            **({"charged": True} if self.charged else {}),
            "references": {z: float(e) for z, e in enumerate(self.references) if e == e},  # eV by Z
            **({"undetermined": free} if free else {}),  # compositions that say nothing about the references
        }

    def batches(self, first: int, **how) -> Iterable[list[MicroBatch]]:
        """Return endless training batches from batch `first` on; `how` are the other arguments of `GeometryBatches`."""
        data = (self.geometries, self.rows, self.references, self.training.cutoff, self.training.batch_atoms)
        augmented = potential_family(self.settings.family).augmented
        return GeometryBatches(*data, self.settings.random_seed, first, augmented=augmented, **how)

    def loss(self, micro_batch: MicroBatch) -> tuple[Tensor, Tensor]:
        """Return what a micro-batch adds to the loss of its batch, and the work done: (atoms, FLOPs), (2,) f64.

        The loss is the weighted sum of the mean squared errors of energies per atom (eV²) and of forces (eV²/Å²).
        """
        atoms, pairs = len(micro_batch.batch[keys.Z]), len(micro_batch.batch[keys.PAIR_I])
        work = torch.tensor([atoms, self.flops_per_atom * atoms + self.flops_per_pair * pairs], dtype=torch.float64)
        return self._step_loss(micro_batch) * (not micro_batch.empty), work * (not micro_batch.empty)

    def _step_loss(self, micro_batch: MicroBatch) -> Tensor:
        batch, *sizes, _ = micro_batch
        if self.step and self.step.serves(batch):
            return self.step(self.model, batch, *sizes)
        return self.step_loss(self.trained, batch, *sizes)

    def step_loss(self, model: nn.Module, batch: dict[str, Tensor], molecules: int, atoms: int) -> Tensor:
        """Return what `batch` adds to the loss of a batch of so many molecules and atoms."""
        energy_errors, force_errors = _errors(batch, *energy_and_forces(model, batch, training=True))
        energy = energy_errors.square().sum() / molecules
        return self._loss(energy, force_errors.square().sum() / (3 * atoms))

    @property
    def compiled_key(self) -> str:
        """Name of all that a compiled step depends on: trainings with the same one share it."""
        s, weights = self.settings, self.training.loss
        model = f"{s.family}-d{s.depth}-w{s.width}-{self.training.cutoff:g}" + ("-charged" if self.charged else "")
        return f"{model}-energy{weights.energy:g}-force{weights.force:g}"

    def _loss(self, energy: Number, forces: Number) -> Number:
        """Return the loss of the mean squared errors of `energy` per atom and of the components of `forces`."""
        weights = self.training.loss
        return weights.energy * energy + weights.force * forces

    def evaluate(self, split: str) -> dict[str, float]:
        """Return the loss and the errors (`error_metrics`) on every structure of `split`."""
        device = next(self.model.parameters()).device
        rows, cutoff = self.geometries.rows(split), self.training.cutoff
        batches = evaluation_batches(self.geometries, rows, self.references, cutoff, EVALUATION_ATOMS, device)
        sums = torch.zeros(9, dtype=torch.float64, device=device)
        for batch in itertools.islice(batches, distributed.rank(), None, distributed.processes()):
            energy, forces = (e.double() for e in _errors(batch, *energy_and_forces(self.model, batch, training=False)))
            atoms = batch[keys.N_ATOMS].double()  # (M,)
            absolute = torch.zeros_like(atoms).index_add_(0, batch[keys.MOLECULE], forces.abs().mean(1))  # (M,)
            sums += torch.stack([  # the arguments of error_metrics
                energy.abs().sum(), energy.square().sum(), atoms.new_tensor(len(atoms)),
                absolute.sum(), forces.square().sum(), atoms.sum(),
                absolute @ absolute, absolute @ atoms, atoms @ atoms,
            ])  # fmt: skip
        totals = distributed.summed(sums).tolist()
        _, energy_squares, structures, _, force_squares, atoms, *_ = totals
        loss = self._loss(energy_squares / structures, force_squares / (3 * atoms))
        return {"loss": loss, **error_metrics(*totals)}

    def baseline(self) -> dict[str, float]:
        """Return the force MAE of a potential that predicts no force, in eV/Å."""
        forces = self.geometries.forces[self.geometries.atoms(self.geometries.rows("test"))]
        return {"zero_force_mae": float(abs(forces).mean(dtype=float))}

    def _step_flops(self) -> tuple[float, float]:
        """Return the FLOPs of a training step per atom and per pair, solved from PyTorch's counts of two batches.

        Every product in these models runs over atoms or over pairs, so the count is linear in the two numbers.
        """
        sizes = self.geometries.n_atoms(self.rows)
        a, p, f = self._counts(self.rows[[sizes.argmin()]])
        b, q, g = self._counts(self.rows[[sizes.argmax()]])  # the ratio of pairs to atoms must differ
        self.model.zero_grad()
        per_pair = (f * b - g * a) / (p * b - q * a) if p * b != q * a else 0.0
        return (f - per_pair * p) / a, per_pair

    def _counts(self, rows: np.ndarray) -> tuple[int, int, int]:
        """Return the atoms, pairs and FLOPs of a training step on `rows`."""
        batch = gather(self.geometries, rows, self.references, self.training.cutoff, "cpu")
        atoms = len(batch[keys.Z])
        flops = counted_flops(lambda: self._step_loss(MicroBatch(batch, len(rows), atoms)).backward())
        return atoms, len(batch[keys.PAIR_I]), flops


def _require_neutral_or_able(geometries: Geometries, family: str) -> None:
    if geometries.charged and not potential_family(family).charged:
        total = geometries.header["structures"]["total"]
        raise ChemscaleError(
            f"{geometries.directory}: {geometries.charged:,} of {total:,} structures are charged or have unpaired "
            f"electrons, and the family {family} has no input for them; use {', '.join(charged_families())}, or a "
            "dataset of neutral closed-shell structures"
        )


def _errors(batch: dict[str, Tensor], energy: Tensor, forces: Tensor) -> tuple[Tensor, Tensor]:
    """Errors of energy per atom (M,) in eV and of forces (A, 3) in eV/Å."""
    return (energy - batch[keys.ENERGY]) / batch[keys.N_ATOMS], forces - batch[keys.FORCES]
