"""Batches, training steps and epochs of SchNet and PaiNN: our data path and step against schnetpack's own.

Both sides hold the same structures, weights, cutoff and batches of `STRUCTURES` structures; energies and forces agree
within 1e-5 before anything is timed. schnetpack reads an ASE database by its AtomsDataModule with the fastest of its
neighbour lists, and trains its NeuralNetworkPotential with the losses of its AtomisticTask.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from itertools import islice
from pathlib import Path

import schnetpack.nn as snn
import torch
from ase import Atoms
from interleaved import interleave, rates, ratio
from schnetpack import properties
from schnetpack.atomistic import Atomwise, Forces, PairwiseDistances
from schnetpack.data import ASEAtomsData, AtomsDataModule
from schnetpack.model import NeuralNetworkPotential
from schnetpack.representation import PaiNN, SchNet
from schnetpack.task import AtomisticTask, ModelOutput
from schnetpack.transform import CastTo32, MatScipyNeighborList, VesinNeighborList
from torch import nn

from chemscale.geometries import keys
from chemscale.geometries.batches import GeometryBatches, gather
from chemscale.geometries.labels import label
from chemscale.geometries.references import fit_references
from chemscale.geometries.store import Geometries, open_geometries
from chemscale.models.potentials import build_potential, energy_and_forces
from chemscale.training.compiled_step import CompiledStep, distinct_sizes

CUTOFF = 5.0  # Å
DEPTH, WIDTHS = 3, (16, 64)
RADIAL = 20
STRUCTURES = 8  # in a batch
EPOCH = 400  # structures
CLIP = 1.0
ENTRY = {
    "arm": "potential",
    "source": "thermal",
    "method": "GFN2-xTB",
    "max_heavy_atoms": 6,
    "molecules": 60,
    "conformers": 2,
    "geometries_per_molecule": 10,
    "temperature": [50, 1000],
    "unseen_molecules": 2,
    "validation": 20,
    "test": 20,
    "seed": 0,
    "max_failure_share": 0.05,
}
REPRESENTATIONS = {"schnet": SchNet, "painn": PaiNN}


@contextmanager
def data() -> Iterator[tuple[Geometries, torch.Tensor, Path]]:
    """The structures as our store, their rows for training, and as an ASE database of schnetpack."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        label("benchmark", ENTRY, directory / "store", workers=1)
        geometries = open_geometries(directory / "store")
        rows = geometries.rows("train", EPOCH)
        references = fit_references(geometries, rows)
        path = directory / "structures.db"
        database = ASEAtomsData.create(
            str(path), distance_unit="Ang", property_unit_dict={"energy": "eV", "forces": "eV/Ang"}
        )
        systems, labels = [], []
        for row in rows:
            batch = gather(geometries, rows[row - rows[0] : row - rows[0] + 1], references, CUTOFF, "cpu")
            systems.append(Atoms(batch[keys.Z].numpy(), batch[keys.POSITIONS].double().numpy()))
            labels.append({"energy": batch[keys.ENERGY].numpy(), "forces": batch[keys.FORCES].double().numpy()})
        with database.conn:  # one transaction; schnetpack would make one a structure
            database.add_systems(property_list=labels, atoms_list=systems)
        yield geometries, rows, path


def our_batches(geometries: Geometries, rows) -> Iterator[dict[str, torch.Tensor]]:
    """One epoch of ours: about as many structures a batch as schnetpack takes."""
    atoms = int(STRUCTURES * geometries.n_atoms(rows).mean())
    stream = iter(GeometryBatches(geometries, rows, fit_references(geometries, rows), CUTOFF, atoms, seed=0))
    done = 0
    while done < len(rows):
        (part,) = next(stream)
        done += part.molecules
        yield part.batch


def their_loader(path: Path, neighbours) -> Iterator[dict[str, torch.Tensor]]:
    """One epoch of schnetpack's loader in this process, which for so small batches is its fastest way."""
    module = AtomsDataModule(
        str(path), batch_size=STRUCTURES, num_train=EPOCH, num_val=0, num_test=0, num_workers=0,
        transforms=[neighbours(cutoff=CUTOFF), CastTo32()], split_file=str(path.with_suffix(".npz")),
    )  # fmt: skip
    module.setup()
    return module.train_dataloader()


def pair(family: str, width: int) -> tuple[nn.Module, AtomisticTask]:
    """Our model, and schnetpack's task around its own with the same weights."""
    torch.manual_seed(0)
    ours = build_potential(family, DEPTH, width, CUTOFF, RADIAL)
    representation = REPRESENTATIONS[family](
        width, DEPTH, snn.GaussianRBF(n_rbf=RADIAL, cutoff=CUTOFF), snn.CosineCutoff(CUTOFF)
    )
    model = NeuralNetworkPotential(
        representation,
        input_modules=[PairwiseDistances()],
        output_modules=[Atomwise(n_in=width, output_key="energy"), Forces()],
    )
    representation.load_state_dict(ours.representation.state_dict())
    model.output_modules[0].outnet.load_state_dict(ours.readout.state_dict())
    outputs = [
        ModelOutput("energy", loss_fn=nn.MSELoss(), loss_weight=0.05, metrics={}),
        ModelOutput("forces", loss_fn=nn.MSELoss(), loss_weight=0.95, metrics={}),
    ]
    return ours, AtomisticTask(model, outputs, optimizer_args={"lr": 1e-4})


def our_step(model: nn.Module) -> Callable[[dict], None]:
    """A training step on a batch of ours."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step(batch: dict) -> None:
        optimiser.zero_grad()
        energy, forces = energy_and_forces(model, batch, training=True)
        errors = (energy - batch[keys.ENERGY]).square().mean(), (forces - batch[keys.FORCES]).square().mean()
        (0.05 * errors[0] + 0.95 * errors[1]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()

    return step


def our_compiled_step(model: nn.Module, example: dict) -> Callable[[dict], None]:
    """The same step with its loss and gradients compiled, as a training of more than two minutes takes it."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def loss(model: nn.Module, batch: dict, molecules: torch.Tensor, atoms: torch.Tensor) -> torch.Tensor:
        energy, forces = energy_and_forces(model, batch, training=True)
        squares = (energy - batch[keys.ENERGY]).square().sum(), (forces - batch[keys.FORCES]).square().sum()
        return 0.05 * squares[0] / molecules + 0.95 * squares[1] / (3 * atoms)

    compiled = CompiledStep(model, loss, example)

    def step(batch: dict) -> None:
        optimiser.zero_grad()
        compiled(model, batch, len(batch[keys.N_ATOMS]), len(batch[keys.Z])).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()

    return step


def their_step(task: AtomisticTask) -> Callable[[dict], None]:
    """A training step on a batch of schnetpack's, by its own model and losses."""
    optimiser = torch.optim.AdamW(task.parameters(), lr=1e-4, fused=True)

    def step(batch: dict) -> None:
        optimiser.zero_grad()
        targets = {output.target_property: batch[output.target_property] for output in task.outputs}
        task.loss_fn(task.predict_without_postprocessing(dict(batch)), targets).backward()
        nn.utils.clip_grad_norm_(task.parameters(), CLIP)
        optimiser.step()

    return step


def as_theirs(batch: dict) -> dict:
    """A batch of ours with schnetpack's names, offsets of a crystal among them."""
    pairs = batch[keys.PAIR_I]
    return {
        properties.Z: batch[keys.Z], properties.R: batch[keys.POSITIONS], properties.n_atoms: batch[keys.N_ATOMS],
        properties.idx_m: batch[keys.MOLECULE], properties.idx_i: pairs, properties.idx_j: batch[keys.PAIR_J],
        properties.offsets: torch.zeros(len(pairs), 3), properties.cell: torch.zeros(len(batch[keys.N_ATOMS]), 3, 3),
        properties.pbc: torch.zeros(len(batch[keys.N_ATOMS]), 3, dtype=torch.bool),
        "energy": batch[keys.ENERGY], "forces": batch[keys.FORCES],
    }  # fmt: skip


def require_equal(ours: nn.Module, task: AtomisticTask, batch: dict) -> None:
    """Energies and forces of both sides within 1e-5."""
    energy, forces = energy_and_forces(ours, batch, training=False)
    theirs = task.model(as_theirs(batch))
    torch.testing.assert_close(energy, theirs["energy"].detach(), rtol=0, atol=1e-5)
    torch.testing.assert_close(forces, theirs["forces"].detach(), rtol=0, atol=1e-5)


def drained(batches: Callable) -> int:
    """Take all batches and count their structures."""
    return sum(len(batch[keys.N_ATOMS] if keys.N_ATOMS in batch else batch[properties.n_atoms]) for batch in batches())


def trained(step: Callable, batches: Callable) -> int:
    """Train on all batches and count their structures."""
    count = 0
    for batch in batches():
        step(batch)
        count += len(batch[keys.N_ATOMS] if keys.N_ATOMS in batch else batch[properties.n_atoms])
    return count


def batches(rounds: int) -> dict[str, list[dict]]:
    """Structures a second of the loaders alone, neighbours included."""
    with data() as (geometries, rows, path):
        peers = {
            "schnetpack, matscipy": partial(drained, partial(their_loader, path, MatScipyNeighborList)),
            "schnetpack, vesin": partial(drained, partial(their_loader, path, VesinNeighborList)),
            "ours": partial(drained, partial(our_batches, geometries, rows)),
        }
        windows = interleave(peers, rounds)
    fastest = max(("schnetpack, matscipy", "schnetpack, vesin"), key=lambda peer: rates(windows[peer])["median"])
    return {
        "batches": [
            {"loader": peer, **rates(found), "of schnetpack's fastest": ratio(found, windows[fastest])}
            for peer, found in windows.items()
        ]
    }


def step(rounds: int) -> dict[str, list[dict]]:
    """Structures a second of a training step on cached batches."""
    rows_of_table = []
    with data() as (geometries, rows, _):
        cached = list(islice(our_batches(geometries, rows), 20))
        for family in REPRESENTATIONS:
            for width in WIDTHS:
                ours, task = pair(family, width)
                require_equal(ours, task, cached[0])
                theirs = [as_theirs(batch) for batch in cached]
                peers = {
                    "schnetpack": partial(trained, their_step(task), lambda theirs=theirs: theirs),
                    "ours": partial(trained, our_step(ours), lambda: cached),
                    "ours, compiled": partial(trained, compiled_step(ours, cached), lambda: cached),
                }
                rows_of_table += _against(interleave(peers, rounds), family, width)
    return {"step": rows_of_table}


def epoch(rounds: int) -> dict[str, list[dict]]:
    """Structures a second of an epoch, each side with its own loader."""
    rows_of_table = []
    with data() as (geometries, rows, path):
        for family in REPRESENTATIONS:
            for width in WIDTHS:
                ours, task = pair(family, width)
                peers = {
                    "schnetpack": partial(trained, their_step(task), partial(their_loader, path, VesinNeighborList)),
                    "ours": partial(trained, our_step(ours), partial(our_batches, geometries, rows)),
                    "ours, compiled": partial(
                        trained,
                        compiled_step(ours, our_batches(geometries, rows)),
                        partial(our_batches, geometries, rows),
                    ),
                }
                rows_of_table += _against(interleave(peers, rounds), family, width)
    return {"epoch": rows_of_table}


def compiled_step(model: nn.Module, batches: Iterable[dict]) -> Callable[[dict], None]:
    """Our compiled step, traced on a copy of the model with the first batch that can be."""
    example = next(batch for batch in batches if distinct_sizes(model, batch))
    return our_compiled_step(deepcopy(model), example)


def _against(windows: dict, family: str, width: int) -> list[dict]:
    theirs = windows["schnetpack"]
    return [
        {"family": family, "width": width, "pipeline": peer, **rates(found), "of schnetpack": ratio(found, theirs)}
        for peer, found in windows.items()
    ]
