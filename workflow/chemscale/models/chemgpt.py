"""ChemGPT: a GPT-Neo decoder on SELFIES tokens, one molecule a row.

The mathematics is that of Hugging Face's GPTNeoForCausalLM, which the published models used: attention scores are not
divided by √(head dimension), queries, keys and values have no bias, the head is tied to the token embedding. Rows are
padded on the right; causal attention never looks there, so no mask is needed.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chemscale.models.shapes import GPTShape


class Attention(nn.Module):
    def __init__(self, shape: GPTShape, window: int | None):
        super().__init__()
        self.heads = shape.heads
        self.window = window
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        B, T, W = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, W // self.heads).permute(2, 0, 3, 1, 4)  # each (B, H, T, W/H)
        if self.window is None or self.window >= T:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
        else:
            ages = torch.arange(T, device=x.device)[:, None] - torch.arange(T, device=x.device)  # (T, T)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=(ages >= 0) & (ages < self.window), scale=1.0)
        return self.out(y.transpose(1, 2).reshape(B, T, W))


class Block(nn.Module):
    def __init__(self, shape: GPTShape, window: int | None):
        super().__init__()
        self.ln_1 = nn.LayerNorm(shape.width)
        self.attention = Attention(shape, window)
        self.ln_2 = nn.LayerNorm(shape.width)
        self.expand = nn.Linear(shape.width, 4 * shape.width)
        self.contract = nn.Linear(4 * shape.width, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.ln_1(x))
        return x + self.contract(F.gelu(self.expand(self.ln_2(x)), approximate="tanh"))


class ChemGPT(nn.Module):
    """Decoder of `shape` over `vocabulary` tokens. Untrained, its loss is ln(vocabulary)."""

    def __init__(self, shape: GPTShape, vocabulary: int):
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(vocabulary, shape.width)
        self.positions = nn.Embedding(shape.context, shape.width)
        # GPT-Neo alternates global and local layers, the first being global
        self.blocks = nn.ModuleList(Block(shape, shape.window if i % 2 else None) for i in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.width)
        self.apply(initialise)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) of the token after each of `tokens` (B, T)."""
        return F.linear(self.features(tokens), self.tokens.weight)

    def features(self, tokens: Tensor) -> Tensor:
        """What the head reads: the last LayerNorm's output (B, T, W) at each of `tokens` (B, T)."""
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]  # (B, T, W)
        for block in self.blocks:
            x = block(x)
        return self.ln_f(x)


def initialise(module: nn.Module) -> None:
    """GPT-Neo's initialisation: N(0, 0.02) for every matrix and embedding, zero for biases."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def next_token_losses(model: ChemGPT, tokens: Tensor, pad: int) -> tuple[Tensor, Tensor]:
    """Loss in nats of each molecule, summed over its predicted tokens, and their number: both (B,).

    [EOS] is predicted, [BOS] is not, padding never counts. `tokens` (B, T) starts with [BOS].
    """
    targets = tokens[:, 1:]  # (B, T-1)
    logits = model(tokens[:, :-1])  # (B, T-1, V)
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=pad, reduction="none")
    return losses.view_as(targets).sum(1), (targets != pad).sum(1)


def forward_flops(shape: GPTShape, vocabulary: int, lengths: Tensor) -> Tensor:
    """Exact FLOPs of one forward pass over sequences of `lengths` (B,) input tokens, padding not counted.

    A multiply-add is two. Matrices and head by token, scores and weighted values by pair of tokens (all T², as
    PyTorch's counter has it). Training costs three times this: the backward pass has two products for each one here.
    """
    per_token = 2 * (shape.layers * 12 * shape.width**2 + vocabulary * shape.width)
    per_pair = 4 * shape.layers * shape.width
    lengths = lengths.double()
    return (per_token * lengths + per_pair * lengths**2).sum()
