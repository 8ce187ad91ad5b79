"""Batches of tokens: within the budget, every molecule once, little padding, a stream that can be entered anywhere."""

from itertools import islice

import numpy as np
import pytest
import torch
import yaml

from chemscale.data.sources import fetch
from chemscale.molecules.batches import TokenBatches, cut, epoch_batches, evaluation_batches, padded
from chemscale.molecules.corpus import encode
from chemscale.molecules.store import open_corpus
from chemscale.molecules.vocabulary import PAD

BUDGET = 600


@pytest.fixture(scope="module")
def nci(tmp_path_factory, checkout):
    """The whole of RDKit's NCI file, as the smoke study has it."""
    directory = tmp_path_factory.mktemp("nci")
    entry = yaml.safe_load((checkout / "resources" / "datasets.yaml").read_text())["nci-small"]
    fetch("nci-small", entry, directory)
    header = encode(directory)
    assert header["molecules"]["total"] == entry["molecules"]
    return open_corpus(directory)


def test_padded_equals_a_loop_over_molecules(nci):
    rows = np.array([5, 17, 400, 17, 4785])
    tokens = padded(nci, rows)
    longest = max(nci.lengths(rows))
    assert tokens.shape == (5, longest) and tokens.dtype == torch.int64
    for n, row in enumerate(rows):
        molecule = nci.tokens[nci.offsets[row] : nci.offsets[row + 1]].tolist()
        assert tokens[n].tolist() == molecule + [PAD] * (longest - len(molecule))


def test_every_molecule_once_an_epoch_and_within_the_budget(nci):
    lengths = nci.lengths(nci.rows("train"))
    batches = epoch_batches(lengths, BUDGET, seed=3, epoch=0)
    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(len(lengths)))
    padded_sizes = [len(batch) * lengths[batch].max() for batch in batches]
    assert max(padded_sizes) <= BUDGET
    # full, too: a budget nobody uses is no budget
    assert np.median(padded_sizes) > 0.9 * BUDGET


@pytest.mark.parametrize("budget", [600, 1200, 8192])  # above, an epoch is a handful of batches, each of all lengths
def test_padding_is_below_a_tenth(nci, budget):
    lengths = nci.lengths(nci.rows("train"))
    batches = epoch_batches(lengths, budget, seed=0, epoch=0)
    stored = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert 1 - lengths.sum() / stored < 0.1


def test_a_molecule_beyond_the_budget_stands_alone():
    lengths = np.array([3, 3, 4, 50, 60])
    assert cut(lengths, 10) == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 5)]
    assert sorted(len(batch) for batch in epoch_batches(lengths, 10, 0, 0)) == [1, 1, 1, 2]


def test_order_is_a_function_of_seed_and_epoch(nci):
    lengths = nci.lengths(nci.rows("train", 500))

    def order(seed, epoch):
        return np.concatenate(epoch_batches(lengths, BUDGET, seed, epoch)).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) and order(0, 0) != order(1, 0)


def test_lengths_are_mixed_along_an_epoch(nci):
    lengths = nci.lengths(nci.rows("train"))
    means = np.array([lengths[batch].mean() for batch in epoch_batches(lengths, BUDGET, 0, 0)])
    # sorted batches would correlate fully with their place
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2


@pytest.mark.parametrize("first", [1, 20, 50, 75])
def test_a_stream_entered_late_is_the_tail_of_the_stream(nci, first):
    rows = nci.rows("train", 400)
    assert len(epoch_batches(nci.lengths(rows), BUDGET, 0, 0)) < 25  # so that the later ones lie epochs ahead
    whole = list(islice(TokenBatches(nci, rows, BUDGET, seed=0), first + 5))
    tail = list(islice(TokenBatches(nci, rows, BUDGET, seed=0, first=first), 5))
    assert all(torch.equal(a.tokens, b.tokens) for [a], [b] in zip(whole[first:], tail, strict=True))


def test_a_stream_never_ends_and_covers_its_rows_every_epoch(nci):
    rows = nci.rows("train", 3)
    batches = list(islice(TokenBatches(nci, rows, 10**4, seed=0), 4))
    expected = sorted(nci.lengths(rows).tolist())
    assert [sorted((part.tokens != PAD).sum(1).tolist()) for [part] in batches] == [expected] * 4
    assert [part.predicted for [part] in batches] == [sum(expected) - 3] * 4


@pytest.mark.parametrize(("processes", "accumulate"), [(1, 3), (2, 1), (2, 2), (40, 1)])
def test_parts_of_a_batch_are_the_batch(nci, processes, accumulate):
    """However many processes share it; those that get nothing of a small batch predict nothing."""
    rows = nci.rows("train", 400)

    def molecules(part):
        return [tuple(t for t in row.tolist() if t != PAD) for row in part.tokens if (row != PAD).sum() > 1]

    [whole] = next(iter(TokenBatches(nci, rows, BUDGET, seed=0)))
    shares = [
        next(iter(TokenBatches(nci, rows, BUDGET, 0, rank=rank, processes=processes, accumulate=accumulate)))
        for rank in range(processes)
    ]
    assert all(len(parts) == accumulate for parts in shares)
    assert {part.predicted for parts in shares for part in parts} == {whole.predicted}
    assert sorted(m for parts in shares for part in parts for m in molecules(part)) == sorted(molecules(whole))


@pytest.mark.parametrize("repetition", [0, 3])
def test_tokens_kept_on_a_device_are_those_of_the_store(nci, repetition):
    rows = nci.rows("train", 400, repetition)
    stored = islice(TokenBatches(nci, rows, BUDGET, seed=0), 5)
    kept = islice(TokenBatches(nci, rows, BUDGET, seed=0, device="cpu:0"), 5)
    assert all(torch.equal(a.tokens, b.tokens) for [a], [b] in zip(stored, kept, strict=True))


def test_evaluation_sees_each_molecule_once(nci):
    rows = nci.rows("validation")
    batches = list(evaluation_batches(nci, rows, BUDGET))
    assert all(batch.numel() <= BUDGET for batch in batches)
    found = sorted(tuple(t for t in row.tolist() if t != PAD) for batch in batches for row in batch)
    assert found == sorted(tuple(nci.tokens[nci.offsets[r] : nci.offsets[r + 1]].tolist()) for r in rows)
