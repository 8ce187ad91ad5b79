"""The physics of every potential in the registry, and parity with schnetpack's own pipeline."""

from copy import deepcopy

import numpy as np
import pytest
import schnetpack
import schnetpack.nn as snn
import torch
from ase import Atoms
from ase.build import molecule as ase_molecule
from helpers.molecules import CUTOFF, batch_of, distorted, evaluate
from schnetpack.atomistic import Atomwise, Forces, PairwiseDistances
from schnetpack.interfaces import AtomsConverter
from schnetpack.model import NeuralNetworkPotential
from schnetpack.representation import PaiNN, SchNet
from schnetpack.transform import ASENeighborList

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys
from chemscale.models.accounting import counted_flops, parameter_groups
from chemscale.models.family import non_embedding
from chemscale.models.potentials import build_potential, energy_and_forces
from chemscale.models.registry import families_of, potential_family

families = pytest.mark.parametrize("family", families_of("potential"))
symmetric = [name for name, family in families_of("potential").items() if family.symmetry != "none"]


@pytest.fixture
def model(family):
    torch.manual_seed(0)
    model = build_potential(family, depth=2, width=16, cutoff=CUTOFF).double()
    # initial biases and last layers are zero, unlike trained ones
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def rotation():
    q, r = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)  # proper: det 1


@pytest.mark.parametrize("family", symmetric)
def test_rotated_molecules_have_the_same_energy_and_rotated_forces(model):
    atoms = next(distorted())
    energy, forces = evaluate(model, atoms)
    turn = rotation()
    assert np.linalg.det(turn) == pytest.approx(1)
    for matrix in (turn, -turn):  # and mirrored
        turned_energy, turned_forces = evaluate(model, Atoms(atoms.numbers, atoms.positions @ matrix.T))
        np.testing.assert_allclose(turned_energy, energy, atol=1e-10)
        np.testing.assert_allclose(turned_forces, forces @ matrix.T, atol=1e-10)
    assert np.abs(forces).max() > 1e-3


@pytest.mark.parametrize("family", ["mpnn"])
def test_a_family_without_symmetry_tells_a_molecule_from_its_rotated_and_mirrored_copies(model):
    assert potential_family("mpnn").symmetry == "none" and potential_family("mpnn").augmented
    atoms = next(distorted())
    energy, forces = evaluate(model, atoms)
    for matrix in (rotation(), -np.eye(3)):
        turned_energy, turned_forces = evaluate(model, Atoms(atoms.numbers, atoms.positions @ matrix.T))
        assert abs(turned_energy - energy)[0] > 1e-3
        assert np.abs(turned_forces - forces @ matrix.T).max() > 1e-3
    assert np.abs(np.cross(atoms.positions, forces).sum(0)).max() > 1e-3  # its forces turn a free molecule


@families
def test_moved_molecules_are_the_same(model):
    atoms = next(distorted())
    energy, forces = evaluate(model, atoms)
    moved_energy, moved_forces = evaluate(model, Atoms(atoms.numbers, atoms.positions + np.array([3.0, -70.0, 0.4])))
    np.testing.assert_allclose(moved_energy, energy, atol=1e-10)
    np.testing.assert_allclose(moved_forces, forces, atol=1e-10)
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-10)  # and so momentum is conserved


@pytest.mark.parametrize("family", symmetric)
def test_forces_do_not_turn_a_free_molecule(model):
    atoms = next(distorted())
    _, forces = evaluate(model, atoms)
    np.testing.assert_allclose(np.cross(atoms.positions, forces).sum(0), 0, atol=1e-10)


@families
def test_the_order_of_atoms_does_not_matter(model):
    atoms = next(distorted())
    order = np.random.default_rng(1).permutation(len(atoms))
    energy, forces = evaluate(model, atoms)
    other_energy, other_forces = evaluate(model, atoms[order])
    np.testing.assert_allclose(other_energy, energy, atol=1e-10)
    np.testing.assert_allclose(other_forces, forces[order], atol=1e-10)


@families
def test_forces_are_the_negative_gradient_of_the_energy(model):
    atoms = next(distorted())
    _, forces = evaluate(model, atoms)
    h = 1e-4  # Å; the pairs are found anew at each step
    numerical = np.zeros_like(forces)
    for a in range(len(atoms)):
        for x in range(3):
            step = np.zeros_like(forces)
            step[a, x] = h
            up, _ = evaluate(model, Atoms(atoms.numbers, atoms.positions + step))
            down, _ = evaluate(model, Atoms(atoms.numbers, atoms.positions - step))
            numerical[a, x] = -(up[0] - down[0]) / (2 * h)
    np.testing.assert_allclose(forces, numerical, atol=1e-6)


@families
def test_molecules_of_a_batch_do_not_feel_each_other(model):
    molecules = list(distorted())  # all at the origin: on top of each other
    energy, forces = evaluate(model, *molecules)
    alone = [evaluate(model, atoms) for atoms in molecules]
    np.testing.assert_allclose(energy, np.concatenate([e for e, _ in alone]), atol=1e-10)
    np.testing.assert_allclose(forces, np.concatenate([f for _, f in alone]), atol=1e-10)
    # and no energy has a gradient on another molecule
    batch = batch_of(molecules)
    positions = batch[keys.POSITIONS].requires_grad_()
    (gradient,) = torch.autograd.grad(model(batch)[1], positions)
    inside = batch[keys.MOLECULE] == 1
    assert gradient[~inside].abs().max() == 0 and gradient[inside].abs().max() > 1e-4


@families
def test_energy_and_force_are_continuous_as_an_atom_crosses_the_cutoff(model):
    water = ase_molecule("H2O")

    def at(distance):
        far = Atoms("C", positions=[water.positions[0] + [distance, 0, 0]])
        energy, forces = evaluate(model, water + far)
        return energy[0], forces

    (inside, force_inside), (outside, force_outside) = at(CUTOFF - 1e-5), at(CUTOFF + 1e-5)
    assert inside == pytest.approx(outside, abs=1e-8)
    np.testing.assert_allclose(force_inside, force_outside, atol=1e-5)
    # what the carbon feels of the water dies with the envelope, and not before
    assert np.abs(at(CUTOFF - 0.5)[1][-1]).max() > 1e-4
    assert np.abs(at(CUTOFF + 1.5)[1][-1]).max() == 0


@families
def test_an_isolated_atom_has_an_energy_and_no_force(model):
    energy, forces = evaluate(model, Atoms("O", positions=[[1.0, 2.0, 3.0]]))
    assert np.isfinite(energy).all() and abs(energy[0]) > 0
    np.testing.assert_array_equal(forces, 0)


@families
def test_two_far_molecules_add(model):
    a, b = distorted(("CH3CH2OH", "NH3"))
    energies, forces = evaluate(model, a, b)
    b.positions += [30.0, 0, 0]
    together, joint = evaluate(model, a + b)
    assert together[0] == pytest.approx(energies.sum(), abs=1e-10)
    np.testing.assert_allclose(joint, forces, atol=1e-10)


@families
def test_double_precision_is_double_throughout(model):
    energy, forces = energy_and_forces(model, batch_of(list(distorted())), training=True)
    assert energy.dtype == forces.dtype == torch.float64
    single, _ = energy_and_forces(model.float(), batch_of(list(distorted()), torch.float32), training=False)
    assert single.dtype == torch.float32
    difference = (single - energy).abs().max()
    assert 0 < difference < 1e-4


@families
def test_a_loss_on_forces_trains_every_layer_only_when_training(model):
    batch = batch_of(list(distorted()))
    _, forces = energy_and_forces(model, batch, training=True)
    forces.square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    # forces do not see what adds a constant: the last biases
    constants = ("readout", "shifts", "interactions.0.output.linear.bias", "interactions.1.output.linear.bias")
    assert [name for name in without if not name.startswith(constants)] == []
    with torch.no_grad():
        energy, forces = energy_and_forces(model, batch, training=False)
    assert not energy.requires_grad and not forces.requires_grad
    assert not batch[keys.POSITIONS].requires_grad


@families
@pytest.mark.parametrize(("depth", "width"), [(2, 16), (3, 32)])
def test_parameters_by_group_add_up_to_the_closed_form(family, depth, width):
    record = potential_family(family)
    groups = parameter_groups(build_potential(family, depth, width, CUTOFF), record.groups)
    expected = record.parameters(depth, width)
    assert expected == {
        "embedding": groups["embedding"],
        "body": groups["matrices"] + groups["scalars"],
        "head": groups["head"],
    }
    assert non_embedding(groups) == non_embedding(expected) == expected["body"] + expected["head"]
    assert groups["position"] == 0 and groups["embedding"] == 100 * (width + family.startswith(("allegro", "nequip")))
    assert groups["matrices"] > groups["scalars"] >= 0


@families
def test_flops_of_a_training_step_are_linear_in_atoms_and_pairs(model):
    """What `PotentialTask` solves from two batches predicts a third."""
    names = [("H2O",), ("C6H6",), ("CH3CH2OH", "C4H4NH", "HCOOH")]
    sizes, counts = [], []
    for batch in (batch_of(list(distorted(group))) for group in names):
        sizes.append((len(batch[keys.Z]), len(batch[keys.PAIR_I])))
        counts.append(counted_flops(lambda batch=batch: sum(_squares(model, batch)).backward()))
    coefficients = np.linalg.solve(sizes[:2], counts[:2])
    assert (coefficients > 0).all()
    assert sizes[2] @ coefficients == pytest.approx(counts[2], rel=0.01)


def _squares(model, batch):
    return (x.square().sum() for x in energy_and_forces(model, batch, training=True))


@families
def test_atoms_almost_on_top_of_each_other_have_finite_forces(model):
    energy, forces = evaluate(model, Atoms("OCH", positions=[[0, 0, 0], [1e-4, 0, 0], [1, 0, 0]]))
    assert np.isfinite(energy).all() and np.isfinite(forces).all()


def test_painn_has_the_published_number_of_parameters():
    # notes: 100F + L(11F² + 71F) + F²/2 + F + 1 of the implementation the paper used, 20 radial functions
    for (width, depth), count in {(16, 2): 9_649, (64, 3): 157_313, (128, 4): 778_369}.items():
        assert sum(p.numel() for p in build_potential("painn", depth, width, 5.0).parameters()) == count


def test_an_unknown_family_is_told_the_known_ones():
    known = "mpnn, schnet, painn, spookynet, allegro, nequip-l0, nequip-l1, nequip-l2"
    with pytest.raises(ChemscaleError, match=f"'dimenet': .*; choose one of {known}"):
        build_potential("dimenet", 2, 16, CUTOFF)


@pytest.mark.parametrize("family", ["schnet", "painn"])
def test_parity_with_the_pipeline_of_schnetpack(family, model):
    """Same weights, schnetpack's neighbour list, model, readout and force response: same energies and forces."""
    representation = {"schnet": SchNet, "painn": PaiNN}[family](
        n_atom_basis=16,
        n_interactions=2,
        radial_basis=snn.GaussianRBF(n_rbf=20, cutoff=CUTOFF),
        cutoff_fn=snn.CosineCutoff(CUTOFF),
    )
    theirs = NeuralNetworkPotential(
        representation,
        input_modules=[PairwiseDistances()],
        output_modules=[Atomwise(n_in=16, output_key="energy"), Forces()],
    ).double()
    representation.load_state_dict(model.representation.state_dict())
    theirs.output_modules[0].outnet.load_state_dict(model.readout.state_dict())
    molecules = list(distorted())
    convert = AtomsConverter(neighbor_list=ASENeighborList(CUTOFF), dtype=torch.float64, device="cpu")
    inputs = convert(molecules)
    batch = batch_of(molecules)
    assert len(inputs[schnetpack.properties.idx_i]) == len(batch[keys.PAIR_I])
    output = theirs(inputs)
    energy, forces = energy_and_forces(model, batch, training=False)
    np.testing.assert_allclose(energy, output["energy"].detach(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(forces, output["forces"].detach(), rtol=0, atol=1e-5)
    assert energy.abs().max() > 1e-2


@pytest.mark.parametrize("family", ["schnet", "painn"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_passes_over_half_the_pairs_are_schnetpacks_over_all(family, model, dtype, tolerance):
    """Same pairs and weights, schnetpack's own forward: same energies, forces and gradients of a loss on forces."""
    model, batch = model.to(dtype), batch_of(list(distorted()), dtype)
    theirs = deepcopy(model)
    forward = {"schnet": SchNet, "painn": PaiNN}[family].forward

    def whole_pass(z, vectors, i, j):
        names = schnetpack.properties
        inputs = {names.Z: z, names.Rij: torch.cat([vectors, -vectors]), names.idx_i: i, names.idx_j: j}
        return forward(theirs.representation, inputs)["scalar_representation"]

    theirs.representation.forward = whole_pass
    found = []
    for potential in (model, theirs):
        energy, forces = energy_and_forces(potential, batch, training=True)
        (energy.square().sum() + forces.square().sum()).backward()
        gradients = torch.cat([p.grad.flatten() for p in potential.parameters()])
        found.append((energy.detach(), forces.detach(), gradients / gradients.abs().max()))
    for ours, reference in zip(*found, strict=True):
        np.testing.assert_allclose(ours, reference, rtol=tolerance, atol=tolerance)
