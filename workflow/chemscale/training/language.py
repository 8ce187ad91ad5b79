"""What a cell of the language arm trains and measures: ChemGPT on the token store."""

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from chemscale.models.chemgpt import ChemGPT, forward_flops, next_token_losses
from chemscale.models.shapes import GPT_SHAPES
from chemscale.molecules.batches import TokenBatches, evaluation_batches
from chemscale.molecules.corpus import open_corpus
from chemscale.molecules.vocabulary import PAD

EVALUATION_TOKENS = 8192  # a batch without gradients can be larger than one with


class LanguageTask:
    """Model, batches, loss and metrics of one language cell. The unit of work is a predicted token."""

    unit = "tokens"
    loss_degree = 1  # power of an error that the loss is
    final_splits = ("test",)  # chose nothing

    def __init__(self, settings: dict):
        self.settings = settings
        self.corpus = open_corpus(Path(settings["dataset"]))
        self.shape = GPT_SHAPES[settings["family"]](settings["width"])
        self.vocabulary = len(self.corpus.vocabulary)
        self.data_identity = self.corpus.header["fingerprint"]
        self.rows = self.corpus.rows("train", settings["data"])
        self.model = ChemGPT(self.shape, self.vocabulary)

    @property
    def examples_per_step(self) -> float:
        """Molecules in a batch, on average."""
        return self.settings["training"]["batch_tokens"] / self.corpus.lengths(self.rows).mean()

    def counts(self) -> dict[str, int]:
        """Size of the training subset; tokens are predicted ones, so [EOS] is counted and [BOS] is not."""
        return {
            "train_molecules": len(self.rows),
            "train_tokens": int((self.corpus.lengths(self.rows) - 1).sum()),
            "vocabulary": self.vocabulary,
        }

    def description(self) -> dict:
        """All it takes to build the trained model and read its tokens, kept with the weights."""
        return {
            "arm": "language",
            "family": self.settings["family"],
            "width": self.settings["width"],
            "vocabulary": self.corpus.vocabulary,
            "selfies": self.corpus.header["versions"]["selfies"],
        }

    def batches(self, first: int) -> Iterable[Tensor]:
        """Endless training batches (B, T), beginning with batch `first`."""
        training = self.settings["training"]
        return TokenBatches(self.corpus, self.rows, training["batch_tokens"], self.settings["seed"], first)

    def loss(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss in nats per predicted token, and the work done: (predicted tokens, training FLOPs), (2,) f64."""
        losses, lengths = next_token_losses(self.model, tokens, PAD)  # (B,), (B,)
        n = lengths.sum()
        work = torch.stack([n.double(), 3 * forward_flops(self.shape, self.vocabulary, lengths)])
        return losses.sum() / n, work

    @torch.no_grad()
    def evaluate(self, split: str) -> dict[str, float]:
        """Loss on every molecule of `split`: per token with its standard error over molecules, and per molecule."""
        device = self.model.tokens.weight.device
        losses, lengths = [], []
        for tokens in evaluation_batches(self.corpus, self.corpus.rows(split), EVALUATION_TOKENS):
            batch_losses, batch_lengths = next_token_losses(self.model, tokens.to(device), PAD)
            losses.append(batch_losses)
            lengths.append(batch_lengths)
        losses, lengths = torch.cat(losses).double(), torch.cat(lengths).double()
        loss = losses.sum() / lengths.sum()
        # of a ratio of sums, linearised: Cochran, Sampling Techniques, 3rd ed., eq. 6.13
        error = (losses - loss * lengths).square().sum().sqrt() / lengths.sum()
        return {"loss": loss.item(), "loss_se": error.item(), "loss_per_molecule": losses.mean().item()}

    def baseline(self) -> dict[str, float]:
        """The zero line of the loss axis: the unigram entropy, and what an untrained model gives, in nats per token."""
        return {"unigram_entropy": self.corpus.header["unigram_entropy"], "untrained_loss": math.log(self.vocabulary)}
