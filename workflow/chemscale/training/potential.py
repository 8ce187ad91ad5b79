"""What a cell of the potential arm trains and measures: a neural force field on energies and forces."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys
from chemscale.geometries.batches import GeometryBatches, evaluation_batches, gather
from chemscale.geometries.references import fit_references, require_elements
from chemscale.geometries.store import open_geometries
from chemscale.models.accounting import counted_flops
from chemscale.models.potentials import build_potential, energy_and_forces

EVALUATION_ATOMS = 512


class PotentialTask:
    """Model, batches, loss and metrics of one potential cell. The unit of work is an atom."""

    unit = "atoms"
    loss_degree = 2  # the loss is a squared error
    final_splits = ("test", "unseen")  # other geometries of training molecules; other molecules

    def __init__(self, settings: dict):
        self.settings = settings
        self.geometries = open_geometries(Path(settings["dataset"]))
        self.data_identity = self.geometries.header["fingerprint"]
        self.rows = self.geometries.rows("train", settings["data"])
        self.references = fit_references(self.geometries, self.rows)  # eV, per element
        for split in ("validation", *self.final_splits):
            require_elements(self.references, self.geometries, self.geometries.rows(split))
        self.model = build_potential(
            settings["family"], settings["depth"], settings["width"], settings["training"]["cutoff"]
        )
        self.flops_per_atom, self.flops_per_pair = self._step_flops()

    @property
    def examples_per_step(self) -> float:
        """Structures in a batch, on average."""
        return self.settings["training"]["batch_atoms"] / self.geometries.n_atoms(self.rows).mean()

    def counts(self) -> dict[str, int]:
        """Size of the training subset."""
        atoms = int(self.geometries.n_atoms(self.rows).sum())
        return {"train_structures": len(self.rows), "train_atoms": atoms, "train_force_labels": 3 * atoms}

    def description(self) -> dict:
        """All it takes to build the trained model and give energies their references, kept with the weights."""
        return {
            "arm": "potential",
            "family": self.settings["family"],
            "depth": self.settings["depth"],
            "width": self.settings["width"],
            "cutoff": self.settings["training"]["cutoff"],  # Å
            "references": {z: float(e) for z, e in enumerate(self.references) if e == e},  # eV by Z
        }

    def batches(self, first: int, processes: int = 1, **how) -> Iterable[list[dict[str, Tensor]]]:
        """Endless training batches of one part each, beginning with batch `first`."""
        if processes > 1:
            raise ChemscaleError(f"potential: trains in one process, but {processes} were started")
        training, seed = self.settings["training"], self.settings["seed"]
        of_training = (self.geometries, self.rows, self.references, training["cutoff"], training["batch_atoms"])
        return ([batch] for batch in GeometryBatches(*of_training, seed, first))

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Weighted squared errors of energy per atom (eV²) and forces (eV²/Å²), and the work: (atoms, FLOPs), (2,)."""
        atoms, pairs = len(batch[keys.Z]), len(batch[keys.PAIR_I])
        work = torch.tensor([atoms, self.flops_per_atom * atoms + self.flops_per_pair * pairs], dtype=torch.float64)
        return self._step_loss(batch), work

    def _step_loss(self, batch: dict[str, Tensor]) -> Tensor:
        return self._loss(*_errors(batch, *energy_and_forces(self.model, batch, training=True)))

    def _loss(self, energy_errors: Tensor, force_errors: Tensor) -> Tensor:
        weights = self.settings["training"]["loss"]
        return weights["energy"] * energy_errors.square().mean() + weights["force"] * force_errors.square().mean()

    def evaluate(self, split: str) -> dict[str, float]:
        """Errors on every structure of `split`: energy in eV per atom, forces in eV/Å, all components alike.

        The standard error of the force MAE is over structures, the unit that was sampled.
        """
        device = next(self.model.parameters()).device
        rows = self.geometries.rows(split)
        energies, forces, structures = [], [], []
        for batch in evaluation_batches(
            self.geometries, rows, self.references, self.settings["training"]["cutoff"], EVALUATION_ATOMS, device
        ):
            energy_errors, force_errors = _errors(batch, *energy_and_forces(self.model, batch, training=False))
            energies.append(energy_errors)
            forces.append(force_errors)
            sums = torch.zeros_like(energy_errors).index_add_(0, batch[keys.MOLECULE], force_errors.abs().mean(1))
            structures.append(torch.stack([sums, batch[keys.N_ATOMS].to(sums)], 1))
        energies, forces, structures = torch.cat(energies), torch.cat(forces), torch.cat(structures).double()
        sums, atoms = structures.T  # of absolute errors; number
        mae = sums.sum() / atoms.sum()
        return {
            "loss": self._loss(energies, forces).item(),
            "energy_mae": energies.abs().mean().item(),
            "energy_rmse": energies.square().mean().sqrt().item(),
            "force_mae": mae.item(),
            "force_mae_se": ((sums - mae * atoms).square().sum().sqrt() / atoms.sum()).item(),
            "force_rmse": forces.square().mean().sqrt().item(),
        }

    def baseline(self) -> dict[str, float]:
        """The zero line of the error axis: the force MAE of a potential that predicts no force, in eV/Å."""
        rows = self.geometries.rows("test")
        batch = gather(self.geometries, rows, self.references, self.settings["training"]["cutoff"], "cpu")
        return {"zero_force_mae": batch[keys.FORCES].abs().mean().item()}

    def _step_flops(self) -> tuple[float, float]:
        """FLOPs of a training step per atom and per pair, solved from PyTorch's counts of two batches.

        Every product in these models runs over atoms or over pairs, so the count is linear in the two numbers.
        """
        cutoff = self.settings["training"]["cutoff"]
        sizes = self.geometries.n_atoms(self.rows)
        counts = []
        for row in (sizes.argmin(), sizes.argmax()):  # the ratio of pairs to atoms must differ
            batch = gather(self.geometries, self.rows[[row]], self.references, cutoff, "cpu")
            flops = counted_flops(lambda batch=batch: self._step_loss(batch).backward())
            counts.append((len(batch[keys.Z]), len(batch[keys.PAIR_I]), flops))
        self.model.zero_grad()
        (a, p, f), (b, q, g) = counts
        per_pair = (f * b - g * a) / (p * b - q * a) if p * b != q * a else 0.0
        return (f - per_pair * p) / a, per_pair


def _errors(batch: dict[str, Tensor], energy: Tensor, forces: Tensor) -> tuple[Tensor, Tensor]:
    """Errors of energy per atom (M,) in eV and of forces (A, 3) in eV/Å."""
    return (energy - batch[keys.ENERGY]) / batch[keys.N_ATOMS], forces - batch[keys.FORCES]
