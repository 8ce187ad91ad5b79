"""Neighbour pairs and batches."""

from itertools import islice

import numpy as np
import pytest
import torch

from chemscale.geometries import keys
from chemscale.geometries.batches import GeometryBatches, batch_slices, epoch_batches, evaluation_batches, gather, pairs
from chemscale.geometries.raw_arrays import Block
from chemscale.geometries.references import fit_references
from chemscale.geometries.store import open_geometries
from chemscale.geometries.writing import write_store

SIZES = [1, 7, 2, 12, 5]
CUTOFF = 2.5


@pytest.fixture(scope="module")
def geometries(tmp_path_factory):
    directory = tmp_path_factory.mktemp("store")
    generator = np.random.default_rng(0)
    blocks = []
    for k, size in enumerate(SIZES * 3):
        shape = (8, size, 3)
        z = generator.choice([1, 6, 8], size=size)
        positions = np.arange(size)[:, None] * [1.0, 0.5, 0.2] + generator.normal(size=shape) / 10
        blocks.append(Block(z, positions, generator.normal(size=8), generator.normal(size=shape), [k] * 8))
    entry = {"unseen_molecules": 2, "test": 11, "validation": 7, "seed": 0, "max_failure_share": 0}
    write_store(directory, "random", entry, blocks, [""] * 15, [], {})
    return open_geometries(directory)


@pytest.mark.parametrize("cutoff", [1.0, 2.5, 100.0])
def test_pairs_against_brute_force(cutoff):
    positions = torch.from_numpy(np.random.default_rng(0).normal(size=(sum(SIZES), 3)) * 1.5)
    expected, first = [], 0
    for size in SIZES:
        for i in range(first, first + size):
            for j in range(i + 1, first + size):
                if torch.dist(positions[i], positions[j]) < cutoff:
                    expected.append((i, j))
        first += size
    i, j = pairs(positions, torch.tensor(SIZES), cutoff)
    turned = [(j, i) for i, j in expected]
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected + turned
    complete = sum(n * (n - 1) // 2 for n in SIZES)
    assert len(expected) == complete if cutoff == 100 else 0 < len(expected) < complete


def test_isolated_atoms_have_no_pairs():
    i, j = pairs(torch.zeros(3, 3), torch.tensor([1, 1, 1]), 5.0)
    assert i.shape == j.shape == (0,) and i.dtype == torch.int64


def test_gather_holds_the_stored_structures_in_order(geometries):
    rows = np.array([90, 3, 57, 12])
    references = fit_references(geometries, geometries.rows("train"))
    batch = gather(geometries, rows, references, CUTOFF, "cpu")
    assert set(batch) == {"z", "positions", "molecule", "n_atoms", "energy", "forces", "pair_i", "pair_j"}
    first = 0
    for m, row in enumerate(rows):
        stored = slice(geometries.offsets[row], geometries.offsets[row + 1])
        here = slice(first, first := first + stored.stop - stored.start)
        np.testing.assert_array_equal(batch[keys.Z][here], geometries.z[stored])
        np.testing.assert_array_equal(batch[keys.POSITIONS][here], geometries.positions[stored])
        np.testing.assert_array_equal(batch[keys.FORCES][here], geometries.forces[stored])
        assert (batch[keys.MOLECULE][here] == m).all()
        energy = geometries.energy[row] - references[geometries.z[stored]].sum()
        assert batch[keys.ENERGY][m] == pytest.approx(energy, rel=1e-6)
    assert first == len(batch[keys.Z])
    i, j = batch[keys.PAIR_I], batch[keys.PAIR_J]
    assert (batch[keys.MOLECULE][i] == batch[keys.MOLECULE][j]).all()
    assert {batch[key].dtype for key in (keys.POSITIONS, keys.FORCES, keys.ENERGY)} == {torch.float32}


def test_cut_fills_batches_up_to_the_budget():
    assert batch_slices(np.array([3, 3, 3, 9, 1, 1]), 7) == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 6)]
    assert batch_slices(np.array([], int), 7) == []


@pytest.mark.parametrize("budget", [1, 13, 40, 10_000])
def test_every_structure_once_an_epoch_within_the_budget(geometries, budget):
    n_atoms = geometries.n_atoms(geometries.rows("train"))
    batches = epoch_batches(n_atoms, budget, seed=3, epoch=5)
    assert sorted(np.concatenate(batches)) == list(range(len(n_atoms)))
    assert all(n_atoms[batch].sum() <= budget or len(batch) == 1 for batch in batches)
    other = epoch_batches(n_atoms, budget, seed=3, epoch=6)
    assert not np.array_equal(np.concatenate(batches), np.concatenate(other))


def test_a_stream_begun_later_is_the_tail_of_the_stream(geometries):
    rows = geometries.rows("train", 40)
    references = fit_references(geometries, rows)
    per_epoch = len(epoch_batches(geometries.n_atoms(rows), 48, 1, 0))
    count = 3 * per_epoch + 2
    whole = list(islice(GeometryBatches(geometries, rows, references, CUTOFF, 48, seed=1), count))
    for first in (1, per_epoch, 2 * per_epoch + 3):
        stream = GeometryBatches(geometries, rows, references, CUTOFF, 48, seed=1, first=first)
        for (a,), (b,) in zip(whole[first:], islice(stream, count - first), strict=True):
            assert all(torch.equal(a.batch[key], b.batch[key]) for key in a.batch)
    (other,) = next(iter(GeometryBatches(geometries, rows, references, CUTOFF, 48, seed=2)))
    assert not torch.equal(other.batch[keys.FORCES], whole[0][0].batch[keys.FORCES])


def test_parts_hold_each_structure_of_the_batch_once_and_know_its_whole(geometries):
    rows = geometries.rows("train", 40)
    references = fit_references(geometries, rows)
    stream = (geometries, rows, references, CUTOFF, 14, 1)  # few atoms: some batches have fewer structures than parts
    whole = islice(GeometryBatches(*stream), 20)
    shares = [islice(GeometryBatches(*stream, rank=rank, processes=2, accumulate=2), 20) for rank in (0, 1)]
    sizes = set()
    for (all_of_it,), *parts in zip(whole, *shares, strict=True):
        own = [part for share in parts for part in share]
        assert len(own) == 4 and {(part.molecules, part.atoms) for part in own} == {all_of_it[1:3]}
        filled = [part.batch for part in own if not part.empty]
        sizes.add(len(filled))
        energies = torch.cat([batch[keys.ENERGY] for batch in filled])
        assert torch.equal(energies.sort().values, all_of_it.batch[keys.ENERGY].sort().values)
        assert sum(len(batch[keys.Z]) for batch in filled) == all_of_it.atoms
    assert min(sizes) < 4 == max(sizes)


def test_evaluation_sees_each_structure_once_in_order(geometries):
    rows = geometries.rows("unseen")
    references = fit_references(geometries, geometries.rows("train"))
    batches = list(evaluation_batches(geometries, rows, references, CUTOFF, 30, "cpu"))
    assert len(batches) > 1
    forces = torch.cat([batch[keys.FORCES] for batch in batches])
    np.testing.assert_array_equal(forces, geometries.forces[geometries.atoms(rows)])


def test_augmented_batches_turn_every_molecule_differently_in_every_epoch(geometries):
    rows = geometries.rows("train", 12)
    references = fit_references(geometries, rows)
    plain, turned = (
        list(islice((b for (b,) in GeometryBatches(geometries, rows, references, CUTOFF, 48, 1, augmented=a)), 20))
        for a in (False, True)
    )
    determinants, matrices = [], []
    for (batch, *_), (other, *_) in zip(plain, turned, strict=True):
        assert torch.equal(batch[keys.Z], other[keys.Z]) and torch.equal(batch[keys.ENERGY], other[keys.ENERGY])
        assert torch.equal(batch[keys.PAIR_I], other[keys.PAIR_I])  # distances stay as they are
        for molecule in range(len(batch[keys.N_ATOMS])):
            own = batch[keys.MOLECULE] == molecule
            if own.sum() < 3:  # too few vectors to determine a matrix
                continue
            old, new = (torch.cat([b[keys.POSITIONS][own], b[keys.FORCES][own]]).double() for b in (batch, other))
            matrix = torch.linalg.lstsq(old, new).solution  # positions and forces are turned by one orthogonal matrix
            torch.testing.assert_close(old @ matrix, new, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(matrix @ matrix.T, torch.eye(3).double(), atol=1e-4, rtol=1e-4)
            determinants.append(torch.det(matrix).round().item())
            matrices.append(matrix)
    assert set(determinants) == {1.0, -1.0}
    assert len({round(m[0, 0].item(), 3) for m in matrices}) > 0.9 * len(matrices)
    # a run that goes on from a checkpoint sees the same ones, and so do several processes
    (resumed,) = next(iter(GeometryBatches(geometries, rows, references, CUTOFF, 48, 1, first=7, augmented=True)))
    assert torch.equal(resumed.batch[keys.POSITIONS], turned[7].batch[keys.POSITIONS])
    shares = [
        next(iter(GeometryBatches(geometries, rows, references, CUTOFF, 48, 1, 7, rank, 2, augmented=True)))[0]
        for rank in (0, 1)
    ]
    together = torch.cat([share.batch[keys.POSITIONS] for share in shares])
    assert sorted(together.tolist()) == sorted(turned[7].batch[keys.POSITIONS].tolist())
