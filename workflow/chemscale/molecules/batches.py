"""Length-bucketed batches of molecules, limited by their number of tokens including padding."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from chemscale.molecules.store import Corpus
from chemscale.molecules.vocabulary import BOS, PAD
from chemscale.rows import flat_index

BATCHES_PER_POOL = 50  # molecules are sorted by length within a pool: much shuffling, little padding


class MicroBatch(NamedTuple):
    """The share of a batch that one process computes at once."""

    tokens: Tensor  # (B, T) int64
    predicted: int  # predicted tokens of the whole batch: the losses of all its micro-batches are divided by it


def padded(corpus: Corpus, rows: np.ndarray) -> Tensor:
    """Return the token ids (B, T) int64 of the molecules `rows` (B,), padded with [PAD] to the longest."""
    starts, lengths = corpus.offsets[rows], corpus.lengths(rows)  # (B,), (B,)
    column = np.arange(lengths.max())  # (T,)
    inside = column < lengths[:, None]  # (B, T)
    places = np.where(inside, starts[:, None] + column, 0)
    return torch.from_numpy(np.where(inside, corpus.tokens[places], PAD).astype(np.int64))


def cut(lengths: np.ndarray, batch_tokens: int) -> list[slice]:
    """Cut molecules of rising `lengths` (M,) into batches of at most `batch_tokens` tokens, padding included.

    A molecule longer than that is a batch of its own.
    """
    slices, first = [], 0
    for last, length in enumerate(lengths.tolist()):
        if last > first and length * (last + 1 - first) > batch_tokens:
            slices.append(slice(first, last))
            first = last
    return [*slices, slice(first, len(lengths))]


def epoch_batches(lengths: np.ndarray, batch_tokens: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return the batches of one epoch as indices into `lengths` (M,), each once: a function of the arguments alone."""
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(lengths))
    pool = max(1, int(BATCHES_PER_POOL * batch_tokens / lengths.mean()))
    batches = []
    for first in range(0, len(order), pool):
        places = order[first : first + pool]
        places = places[np.argsort(lengths[places], kind="stable")]
        batches += [places[part] for part in cut(lengths[places], batch_tokens)]
    return [batches[number] for number in generator.permutation(len(batches))]


class TokenBatches(IterableDataset):
    """Iterate over training batches without end, from batch `first` on; batch k depends on (seed, k) alone.

    Every molecule of `rows` comes once per epoch. Before `first`, epochs are planned but no token is read. A batch is
    cut into `processes` times `accumulate` micro-batches, of which process `rank` gets its `accumulate` as a list: the
    batch is the same however many work on it. On a GPU the tokens of `rows` are kept there.
    """

    def __init__(
        self,
        corpus: Corpus,
        rows: np.ndarray,
        batch_tokens: int,
        seed: int,
        first: int = 0,
        rank: int = 0,
        processes: int = 1,
        accumulate: int = 1,
        device: str = "cpu",
    ):
        self.corpus, self.rows = corpus, rows
        self.batch_tokens, self.seed, self.first = batch_tokens, seed, first
        self.shares = processes * accumulate
        self.own = range(rank * accumulate, (rank + 1) * accumulate)
        self.device = device
        if device != "cpu":
            lengths = corpus.lengths(rows)
            self.starts = lengths.cumsum() - lengths  # (M,), of each molecule in `tokens`
            tokens = corpus.tokens[flat_index(corpus.offsets[rows], lengths)]
            self.tokens = torch.from_numpy(tokens.astype(np.int16)).to(device)  # (T,), as small as they were

    def __iter__(self) -> Iterator[list[MicroBatch]]:
        lengths = self.corpus.lengths(self.rows)
        epoch, skip = 0, self.first
        while True:
            batches = epoch_batches(lengths, self.batch_tokens, self.seed, epoch)
            for places in batches[skip:]:
                predicted = int(lengths[places].sum()) - len(places)
                yield [MicroBatch(self._tokens(places[i :: self.shares]), predicted) for i in self.own]
            epoch, skip = epoch + 1, max(0, skip - len(batches))

    def _tokens(self, places: np.ndarray) -> Tensor:
        """Return the token ids (B, T) of `rows[places]`; a micro-batch without molecules predicts nothing."""
        if len(places) == 0:
            return torch.tensor([[BOS, PAD]], device=self.device)
        return padded(self.corpus, self.rows[places]) if self.device == "cpu" else self._gathered(places)

    def _gathered(self, places: np.ndarray) -> Tensor:
        """Return what `padded` returns, from the tokens on the device."""
        starts, lengths = self.starts[places], self.corpus.lengths(self.rows[places])
        column = torch.arange(int(lengths.max()), device=self.device)  # (T,)
        starts, lengths = torch.from_numpy(np.stack([starts, lengths])).to(self.device)[:, :, None]  # each (B, 1)
        inside = column < lengths  # (B, T)
        return torch.where(inside, self.tokens[torch.where(inside, starts + column, 0)].long(), PAD)


def evaluation_batches(corpus: Corpus, rows: np.ndarray, batch_tokens: int) -> Iterator[Tensor]:
    """Yield batches (B, T) of `rows`, each molecule once, the shortest first."""
    lengths = corpus.lengths(rows)
    rows = rows[np.argsort(lengths, kind="stable")]
    return (padded(corpus, rows[part]) for part in cut(corpus.lengths(rows), batch_tokens))
