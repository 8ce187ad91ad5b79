"""ChemGPT: a GPT-Neo decoder on SELFIES tokens, one molecule per row.

The mathematics is that of Hugging Face's GPTNeoForCausalLM, which the published models used: queries, keys and values
have no bias, the head is tied to the token embedding, and attention scores are divided by √(head dimension) only where
the shape says so. Rows are padded on the right; causal attention never reads the padding, so no mask is needed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chemscale.models.family import GPTShape


class Cache:
    """Keys and values of one layer for the tokens so far, at most `capacity`, of molecules that grow in step."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.length = 0
        self.stored: Tensor  # (2, B, H, capacity, W/H), allocated with the first tokens

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append the keys and values of T new tokens, each (B, H, T, W/H); return those of all tokens."""
        if self.length == 0:
            self.stored = keys.new_empty(2, *keys.shape[:2], self.capacity, keys.shape[3])
        before, self.length = self.length, self.length + keys.shape[2]
        self.stored[0, :, :, before : self.length] = keys
        self.stored[1, :, :, before : self.length] = values
        return self.stored[0, :, :, : self.length], self.stored[1, :, :, : self.length]

    def keep(self, rows: Tensor) -> None:
        """Drop all molecules of the batch except `rows`."""
        self.stored = self.stored[:, rows]


class Attention(nn.Module):
    """Causal attention to the last `window` tokens, or to all of them."""

    def __init__(self, shape: GPTShape, window: int | None):
        super().__init__()
        self.heads = shape.heads
        self.window = window
        self.scale = (shape.width // shape.heads) ** -0.5 if shape.scaled else 1.0
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Return (B, T, W) for the features `x` (B, T, W) of the tokens that follow those in the cache."""
        B, T, W = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, W // self.heads).permute(2, 0, 3, 1, 4)  # each (B, H, T, W/H)
        if cache is not None:
            k, v = cache.extend(k, v)  # each (B, H, S, W/H), where the last T of S tokens are those of x
        S = k.shape[2]
        reach = S if self.window is None else self.window
        if T == S <= reach:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.scale)
        elif T == 1:
            y = F.scaled_dot_product_attention(q, k[:, :, -reach:], v[:, :, -reach:], scale=self.scale)
        else:
            ages = torch.arange(S - T, S, device=x.device)[:, None] - torch.arange(S, device=x.device)  # (T, S)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=(ages >= 0) & (ages < reach), scale=self.scale)
        return self.out(y.transpose(1, 2).reshape(B, T, W))


class Block(nn.Module):
    """A layer of the decoder: attention and an MLP of four times the width, each added to its input."""

    def __init__(self, shape: GPTShape, window: int | None):
        super().__init__()
        self.ln_1 = nn.LayerNorm(shape.width)
        self.attention = Attention(shape, window)
        self.ln_2 = nn.LayerNorm(shape.width)
        self.expand = nn.Linear(shape.width, 4 * shape.width)
        self.contract = nn.Linear(4 * shape.width, shape.width)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Return features (B, T, W) from features `x` (B, T, W)."""
        x = x + self.attention(self.ln_1(x), cache)
        return x + self.contract(F.gelu(self.expand(self.ln_2(x)), approximate="tanh"))


class ChemGPT(nn.Module):
    """A decoder of `shape` over `vocabulary` tokens. Untrained, its loss is ln(vocabulary)."""

    def __init__(self, shape: GPTShape, vocabulary: int):
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(vocabulary, shape.width)
        self.positions = nn.Embedding(shape.context, shape.width)
        # GPT-Neo alternates global and local layers; the first is global
        self.blocks = nn.ModuleList(Block(shape, shape.window if i % 2 else None) for i in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.width)
        self.apply(initialise)

    def caches(self, capacity: int) -> list[Cache]:
        """Return empty caches, one per layer, for molecules of at most `capacity` tokens."""
        return [Cache(capacity) for _ in self.blocks]

    def forward(self, tokens: Tensor, caches: list[Cache] | None = None) -> Tensor:
        """Return logits (B, T, V) of the token after each of `tokens` (B, T), which follow those in `caches`."""
        return F.linear(self.features(tokens, caches), self.tokens.weight)

    def features(self, tokens: Tensor, caches: list[Cache] | None = None) -> Tensor:
        """Return the output (B, T, W) of the last LayerNorm at each of `tokens` (B, T), which the head reads."""
        before = caches[0].length if caches else 0
        x = self.tokens(tokens) + self.positions.weight[before : before + tokens.shape[1]]  # (B, T, W)
        of_layers: Sequence[Cache | None] = caches or [None] * len(self.blocks)
        for block, cache in zip(self.blocks, of_layers, strict=True):
            x = block(x, cache)
        return self.ln_f(x)


def initialise(module: nn.Module) -> None:
    """Initialise as GPT-Neo: N(0, 0.02) for every matrix and embedding, zero for biases."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def next_token_losses(model: ChemGPT, tokens: Tensor, pad: int) -> tuple[Tensor, Tensor]:
    """Return the loss of each molecule in nats, summed over its predicted tokens, and their number: both (B,).

    [EOS] is predicted, [BOS] is not, and padding never counts. `tokens` (B, T) starts with [BOS].
    """
    targets = tokens[:, 1:]  # (B, T-1)
    logits = model(tokens[:, :-1])  # (B, T-1, V)
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=pad, reduction="none")
    return losses.view_as(targets).sum(1), (targets != pad).sum(1)


def forward_flops(shape: GPTShape, vocabulary: int, lengths: Tensor) -> Tensor:
    """Return the exact FLOPs of one forward pass over sequences of `lengths` (B,) input tokens, without padding.

    A multiply-add counts as two. Matrices and head cost FLOPs per token, scores and weighted values per pair of tokens
    (all T² pairs, as in PyTorch's counter). Training costs three times this: the backward pass has two products for
    each one here.
    """
    per_token = 2 * (shape.layers * 12 * shape.width**2 + vocabulary * shape.width)
    per_pair = 4 * shape.layers * shape.width
    lengths = lengths.double()
    return (per_token * lengths + per_pair * lengths**2).sum()
