"""SpookyNet's options: attention within molecules, charge and spin."""

import numpy as np
import pytest
import torch
from helpers.molecules import CUTOFF, batch_of, distorted, evaluate

from chemscale.geometries import keys
from chemscale.models.spookynet.network import ElectronicEmbedding, NonlocalAttention, PairBasis, SpookyNet


def fresh(**options):
    torch.manual_seed(0)
    model = SpookyNet(2, 16, CUTOFF, 8, **options).double()
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def test_a_fresh_model_predicts_no_energy():
    energy, forces = evaluate(SpookyNet(2, 16, CUTOFF, 8).double(), *distorted())
    assert (energy == 0).all() and (forces == 0).all()


def test_angular_functions_are_orthogonal_and_radial_ones_end_at_the_cutoff():
    vectors = torch.randn(200_000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, angular = PairBasis(1e3, 8).double()(vectors)
    means = angular.T @ angular / len(vectors)  # 1, 1/3 and 1/5 by degree
    np.testing.assert_allclose(means, np.diag([1] + 3 * [1 / 3] + 5 * [1 / 5]), atol=0.005)
    r = torch.tensor([1e-3, 1.0, 3.999999, 4.0], dtype=torch.float64)
    radial, _ = PairBasis(4.0, 8).double()(r[:, None] * torch.tensor([[1.0, 0, 0]]))
    # Bernstein polynomials of one degree add to 1, which leaves the envelope exp(−r²/(c² − r²))
    np.testing.assert_allclose(radial.detach().sum(1), [1, np.exp(-1 / 15), 0, 0], atol=1e-6)


def test_attention_is_over_the_atoms_of_a_molecule_and_what_the_matrix_of_weights_gives():
    torch.manual_seed(1)
    attention = NonlocalAttention(8).double()
    x, molecule = torch.randn(1, 5, 8, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1])
    query, key, value = attention.project(x)
    weights = attention._exponents(query).exp() @ attention._exponents(key).exp().T  # (A, A)
    weights = weights * (molecule[:, None] == molecule)
    expected = weights @ value / weights.sum(1, keepdim=True)
    np.testing.assert_allclose(attention(x, molecule, 2)[0].detach(), expected.detach(), atol=1e-12)


def test_attention_approximates_softmax_with_many_features():
    torch.manual_seed(0)
    width = 1024
    attention = NonlocalAttention(width).double()
    key = torch.randn(3, width, dtype=torch.float64)
    key = torch.cat([key, -key]) * 8**0.5 / key.norm(dim=1).repeat(2)[:, None]
    approximate = (attention._exponents(key)[:, None] + attention._exponents(key)).exp().mean(-1)
    expected = (key @ key.T / width**0.5).exp()  # from 0.8 to 1.3
    np.testing.assert_allclose(approximate, expected, rtol=0.1)
    assert expected.max() > 1.5 * expected.min()


def test_with_attention_molecules_of_a_batch_stay_apart_but_far_molecules_do_not_add():
    model = fresh(nonlocal_attention=True)
    a, b = distorted(("CH3CH2OH", "NH3"))
    energies, forces = evaluate(model, a, b)
    alone, alone_forces = evaluate(model, b)
    assert energies[1] == pytest.approx(alone[0], abs=1e-10)
    np.testing.assert_allclose(forces[len(a) :], alone_forces, atol=1e-10)
    b.positions += [30.0, 0, 0]
    together, _ = evaluate(model, a + b)
    assert abs(together[0] - energies.sum()) > 1e-4


def test_charge_and_spin_change_energies_and_nothing_else_is_needed_for_neutral_molecules():
    model = fresh(charged=True)
    batch = batch_of(list(distorted(("NH3", "HCOOH"))))
    neutral = model(batch)
    amount = torch.zeros(2, dtype=torch.float64)
    assert torch.equal(model({**batch, keys.CHARGE: amount, keys.UNPAIRED: amount}), neutral)
    for key in (keys.CHARGE, keys.UNPAIRED):
        one = model({**batch, key: torch.tensor([1.0, 0.0], dtype=torch.float64)})
        assert abs(one[0] - neutral[0]) > 1e-4 and one[1] == neutral[1]
    cation, anion = (model({**batch, keys.CHARGE: amount + q}) for q in (1, -1))
    assert ((cation - anion).abs() > 1e-4).all()


def test_a_charge_is_shared_out_whole():
    torch.manual_seed(0)
    embedding = ElectronicEmbedding(4).double()
    embedding.mlp, embedding.value.data[:] = torch.nn.Identity(), 1
    elements, molecule = torch.randn(1, 5, 4, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1])
    shares = embedding(elements, torch.tensor([2.0, -1.0]), molecule)
    np.testing.assert_allclose([shares[0, :3, 0].sum().item(), shares[0, 3:, 0].sum().item()], [2, -1])
    assert shares[0, :3].min() > 0
