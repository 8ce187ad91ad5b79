"""The task of the language arm: ChemGPT on the corpus."""

import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from chemscale.config.cell_settings import CellSettings
from chemscale.config.study_models import LanguageTraining
from chemscale.models.chemgpt.network import forward_flops, next_token_losses
from chemscale.models.registry import language_family
from chemscale.molecules.batches import MicroBatch, TokenBatches, evaluation_batches
from chemscale.molecules.store import open_corpus
from chemscale.molecules.vocabulary import PAD
from chemscale.training import distributed

EVALUATION_TOKENS = 8192  # per batch, which can be larger without gradients


class LanguageTask:
    """Model, batches, loss and metrics of one language cell. The unit of work is a predicted token."""

    unit = "tokens"
    loss_degree = 1  # power of an error that the loss is

    def __init__(self, settings: CellSettings):
        self.settings = settings
        self.training = cast(LanguageTraining, settings.training)
        self.corpus = open_corpus(Path(settings.dataset))
        self.final_splits = list(self.corpus.final_splits)
        family = language_family(settings.family)
        self.shape = family.shape(settings.width)
        self.vocabulary = len(self.corpus.vocabulary)
        self.data_identity = self.corpus.header["fingerprint"]
        self.rows = self.corpus.rows("train", settings.data, settings.repetition)
        self.model = family.build(self.shape, self.vocabulary)
        self.trained: Any = self.model

    @property
    def examples_per_step(self) -> float:
        """Molecules per batch, on average."""
        return self.training.batch_tokens / self.corpus.lengths(self.rows).mean()

    def counts(self) -> dict[str, int]:
        """Return the size of the training subset; predicted tokens count, so [EOS] does and [BOS] does not."""
        return {
            "train_molecules": len(self.rows),
            "train_tokens": int((self.corpus.lengths(self.rows) - 1).sum()),
            "vocabulary": self.vocabulary,
        }

    def description(self) -> dict:
        """Return all that is needed to build the trained model and to read its tokens; it is kept with the weights."""
        return {
            "arm": "language",
            "family": self.settings.family,
            "width": self.settings.width,
            "scaled": self.shape.scaled,
            "vocabulary": self.corpus.vocabulary,
            "selfies": self.corpus.header["versions"]["selfies"],
        }

    def batches(self, first: int, **how) -> Iterable[list[MicroBatch]]:
        """Return endless training batches from batch `first` on; `how` are the other arguments of `TokenBatches`."""
        return TokenBatches(self.corpus, self.rows, self.training.batch_tokens, self.settings.random_seed, first, **how)

    def loss(self, micro_batch: MicroBatch) -> tuple[Tensor, Tensor]:
        """Return what a micro-batch adds to the mean loss of its batch, in nats per predicted token, and the work done.

        Work is (predicted tokens, training FLOPs), (2,) f64.
        """
        losses, lengths = next_token_losses(self.trained, micro_batch.tokens, PAD)  # (B,), (B,)
        work = torch.stack([lengths.sum().double(), 3 * forward_flops(self.shape, self.vocabulary, lengths)])
        return losses.sum() / micro_batch.predicted, work

    @torch.no_grad()
    def evaluate(self, split: str) -> dict[str, float]:
        """Return the loss on every molecule of `split`: per token with its standard error, and per molecule."""
        device = self.model.tokens.weight.device
        sums = torch.zeros(3, dtype=torch.float64, device=device)  # of losses, lengths, and molecules
        squares = torch.zeros(3, dtype=torch.float64, device=device)  # of losses², losses·lengths and lengths²
        batches = evaluation_batches(self.corpus, self.corpus.rows(split), EVALUATION_TOKENS)
        for tokens in itertools.islice(batches, distributed.rank(), None, distributed.processes()):
            losses, lengths = (x.double() for x in next_token_losses(self.model, tokens.to(device), PAD))  # each (B,)
            sums += torch.stack([losses.sum(), lengths.sum(), lengths.new_tensor(len(lengths))])
            squares += torch.stack([losses @ losses, losses @ lengths, lengths @ lengths])
        (total, tokens, molecules), (ll, ln, nn_) = distributed.summed(sums), distributed.summed(squares)
        loss = total / tokens
        # of a ratio of sums, linearised: Cochran, Sampling Techniques, 3rd ed., eq. 6.13
        error = (ll - 2 * loss * ln + loss**2 * nn_).clamp(min=0).sqrt() / tokens
        return {"loss": loss.item(), "loss_se": error.item(), "loss_per_molecule": (total / molecules).item()}

    def baseline(self) -> dict[str, float]:
        """Return the unigram entropy, and the loss of a model that has learnt nothing, in nats per token."""
        return {"unigram_entropy": self.corpus.header["unigram_entropy"], "untrained_loss": math.log(self.vocabulary)}
