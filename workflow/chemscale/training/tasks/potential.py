"""What a cell of the potential arm trains and measures: a neural force field on energies and forces."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys
from chemscale.geometries.batches import GeometryBatches, MicroBatch, evaluation_batches, gather
from chemscale.geometries.error_metrics import error_metrics
from chemscale.geometries.references import fit_references, require_elements
from chemscale.geometries.store import Geometries, open_geometries
from chemscale.models.accounting import counted_flops
from chemscale.models.potentials import build_potential, energy_and_forces
from chemscale.models.registry import charged_families, potential_family
from chemscale.training import distributed

EVALUATION_ATOMS = 512


class PotentialTask:
    """Model, batches, loss and metrics of one potential cell. The unit of work is an atom."""

    unit = "atoms"
    loss_degree = 2  # the loss is a squared error

    def __init__(self, settings: dict):
        self.settings = settings
        self.geometries = open_geometries(Path(settings["dataset"]))
        # other geometries of training molecules; other molecules, of which a file of a single one has none
        self.final_splits = [s for s in ("test", "unseen") if self.geometries.header["structures"][s]]
        self.data_identity = self.geometries.header["fingerprint"]
        self.rows = self.geometries.rows("train", settings["data"])
        self.references = fit_references(self.geometries, self.rows)  # eV, per element
        for split in ("validation", *self.final_splits):
            require_elements(self.references, self.geometries, self.geometries.rows(split))
        self.charged = self.geometries.charged > 0
        _require_neutral_or_able(self.geometries, settings["family"])
        shape = (settings["family"], settings["depth"], settings["width"], settings["training"]["cutoff"])
        self.model = build_potential(*shape, charged=self.charged)
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
            **({"charged": True} if self.charged else {}),
            "references": {z: float(e) for z, e in enumerate(self.references) if e == e},  # eV by Z
        }

    def batches(self, first: int, **how) -> Iterable[list[MicroBatch]]:
        """Endless training batches from batch `first` on; `how` says which parts and where: `GeometryBatches`."""
        training, seed = self.settings["training"], self.settings["seed"]
        of_training = (self.geometries, self.rows, self.references, training["cutoff"], training["batch_atoms"])
        return GeometryBatches(*of_training, seed, first, **how)

    def loss(self, part: MicroBatch) -> tuple[Tensor, Tensor]:
        """What `part` adds to its batch's weighted squared errors of energy per atom (eV²) and forces (eV²/Å²).

        And the work done, (atoms, FLOPs), (2,) f64.
        """
        atoms, pairs = len(part.batch[keys.Z]), len(part.batch[keys.PAIR_I])
        work = torch.tensor([atoms, self.flops_per_atom * atoms + self.flops_per_pair * pairs], dtype=torch.float64)
        return self._step_loss(part) * (not part.empty), work * (not part.empty)

    def _step_loss(self, part: MicroBatch) -> Tensor:
        energy_errors, force_errors = _errors(part.batch, *energy_and_forces(self.model, part.batch, training=True))
        return self._loss(energy_errors.square().sum() / part.molecules, force_errors.square().sum() / (3 * part.atoms))

    def _loss(self, energy: float | Tensor, forces: float | Tensor) -> float | Tensor:
        """Loss of the mean squared errors of `energy` per atom and of the components of `forces`."""
        weights = self.settings["training"]["loss"]
        return weights["energy"] * energy + weights["force"] * forces

    def evaluate(self, split: str) -> dict[str, float]:
        """Return the loss and the errors (`error_metrics`) on every structure of `split`."""
        device = next(self.model.parameters()).device
        rows, cutoff = self.geometries.rows(split), self.settings["training"]["cutoff"]
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
        """The zero line of the error axis: the force MAE of a potential that predicts no force, in eV/Å."""
        forces = self.geometries.forces[self.geometries.atoms(self.geometries.rows("test"))]
        return {"zero_force_mae": float(abs(forces).mean(dtype=float))}

    def _step_flops(self) -> tuple[float, float]:
        """FLOPs of a training step per atom and per pair, solved from PyTorch's counts of two batches.

        Every product in these models runs over atoms or over pairs, so the count is linear in the two numbers.
        """
        cutoff = self.settings["training"]["cutoff"]
        sizes = self.geometries.n_atoms(self.rows)
        counts = []
        for row in (sizes.argmin(), sizes.argmax()):  # the ratio of pairs to atoms must differ
            batch = gather(self.geometries, self.rows[[row]], self.references, cutoff, "cpu")
            part = MicroBatch(batch, 1, len(batch[keys.Z]))
            flops = counted_flops(lambda part=part: self._step_loss(part).backward())
            counts.append((len(batch[keys.Z]), len(batch[keys.PAIR_I]), flops))
        self.model.zero_grad()
        (a, p, f), (b, q, g) = counts
        per_pair = (f * b - g * a) / (p * b - q * a) if p * b != q * a else 0.0
        return (f - per_pair * p) / a, per_pair


def _require_neutral_or_able(geometries: Geometries, family: str) -> None:
    if geometries.charged and not potential_family(family).charged:
        total = geometries.header["structures"]["total"]
        raise ChemscaleError(
            f"{geometries.directory}: {geometries.charged:,} of {total:,} structures are charged or have unpaired "
            f"electrons, and the family {family} has no input for them; right would be "
            f"{', '.join(charged_families())}, or a dataset of the neutral closed-shell ones alone"
        )


def _errors(batch: dict[str, Tensor], energy: Tensor, forces: Tensor) -> tuple[Tensor, Tensor]:
    """Errors of energy per atom (M,) in eV and of forces (A, 3) in eV/Å."""
    return (energy - batch[keys.ENERGY]) / batch[keys.N_ATOMS], forces - batch[keys.FORCES]
