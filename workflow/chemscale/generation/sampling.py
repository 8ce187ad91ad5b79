"""Sample molecules from ChemGPT token by token, with the keys and values of earlier tokens cached."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from chemscale.errors import ChemscaleError
from chemscale.models.chemgpt.network import ChemGPT
from chemscale.molecules.vocabulary import BOS, EOS, PAD, UNK
from chemscale.progress import progress

FORBIDDEN = (PAD, BOS, UNK)  # tokens that no molecule holds after its first


def sample(
    model: ChemGPT,
    prefixes: list[list[int]],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    batch: int = 500,
    max_tokens: int | None = None,
) -> list[list[int]]:
    """Return one molecule per prefix: its token ids from [BOS] to [EOS], which is missing if it did not end.

    A prefix begins with [BOS]. Logits are divided by `temperature` (0: always the most probable token). Tokens are
    drawn from the `top_k` most probable ones, and of these from the fewest whose probabilities reach `top_p`.
    `max_tokens`, including [BOS] and [EOS], is by default and at most what the model's context holds. Every molecule
    has its own random numbers, so that `batch` changes only speed and memory.
    Raises ChemscaleError for a prefix that leaves no room and for settings out of range.
    """
    longest = model.shape.context + 1  # [EOS] is never an input
    max_tokens = longest if max_tokens is None else max_tokens
    _require_sensible(temperature, top_k, top_p, batch, max_tokens, longest)
    lengths = np.array([len(prefix) for prefix in prefixes])
    if len(lengths) and lengths.max() >= max_tokens:
        raise ChemscaleError(
            f"prefix: {lengths.max():,} tokens with [BOS] leave no room in {max_tokens:,}; use at most "
            f"{max_tokens - 1:,} tokens"
        )
    random = np.random.default_rng(seed)
    molecules: list[list[int]] = [[]] * len(prefixes)
    with progress(len(prefixes), "generate", "molecules") as tick:
        for places in _batches(lengths, batch):
            tokens = torch.tensor([prefixes[place] for place in places])  # (B, P)
            # 24 bits, so that a number times a sum of probabilities stays below that sum in double precision
            uniforms = torch.from_numpy(random.random((len(places), max_tokens - tokens.shape[1]), np.float32))
            grown = _grow(model, tokens, uniforms, temperature, top_k, top_p)
            for place, row in zip(places, grown.tolist(), strict=True):
                molecules[place] = _until_end(row)
            tick(len(places))
    return molecules


@torch.inference_mode()
def _grow(
    model: ChemGPT, prefixes: Tensor, uniforms: Tensor, temperature: float, top_k: int | None, top_p: float | None
) -> Tensor:
    """Return molecules (B, P+S) from prefixes (B, P) and random numbers (B, S); ignore what follows an [EOS]."""
    device = model.tokens.weight.device
    tokens, uniforms = prefixes.to(device), uniforms.to(device)
    grown = torch.cat([tokens, tokens.new_full(uniforms.shape, PAD)], 1)  # (B, P+S)
    caches = model.caches(grown.shape[1])
    rows = torch.arange(len(grown), device=device)  # (R,) molecules still computed
    ended = torch.zeros_like(rows, dtype=torch.bool)  # (R,)
    for step in range(uniforms.shape[1]):
        logits = model(tokens, caches)[:, -1]  # (R, V)
        drawn = next_tokens(logits, uniforms[rows, step], temperature, top_k, top_p)  # (R,)
        grown[rows, prefixes.shape[1] + step] = drawn
        ended |= drawn == EOS
        running = int((~ended).sum())
        if running == 0:
            break
        if running <= len(rows) / 2:  # copying the caches at every step would cost more than the idle rows
            left = torch.nonzero(~ended)[:, 0]
            rows, drawn, ended = rows[left], drawn[left], ended[left]
            for cache in caches:
                cache.keep(left)
        tokens = drawn[:, None]
    return grown


def next_tokens(
    logits: Tensor, uniforms: Tensor, temperature: float, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Return the tokens (R,) drawn by `uniforms` (R,) in [0, 1) from logits (R, V); see `sample`.

    top_p is the nucleus sampling of Holtzman et al., The Curious Case of Neural Text Degeneration, ICLR 2020.
    """
    logits = logits.double().index_fill(1, torch.tensor(FORBIDDEN, device=logits.device), -torch.inf)
    if temperature == 0:
        return logits.argmax(1)
    logits, tokens = (logits / temperature).sort(dim=1, descending=True, stable=True)  # (R, V), most probable first
    if top_k is not None:
        logits[:, top_k:] = -torch.inf
    probabilities = logits.softmax(1)
    if top_p is not None:
        before = probabilities.cumsum(1) - probabilities
        probabilities[before >= top_p] = 0
    sums = probabilities.cumsum(1)
    places = torch.searchsorted(sums, uniforms.double()[:, None] * sums[:, -1:], right=True)  # (R, 1)
    return tokens.gather(1, places)[:, 0]


def _batches(lengths: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """Yield the indices into `lengths` (M,) in batches of equal lengths."""
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length)
        yield from (places[first : first + batch] for first in range(0, len(places), batch))


def _until_end(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(EOS) + 1] if EOS in tokens else tokens


def _require_sensible(
    temperature: float, top_k: int | None, top_p: float | None, batch: int, max_tokens: int, longest: int
) -> None:
    limits = (
        ("temperature", temperature, temperature >= 0, "0 or more"),
        ("top-k", top_k, top_k is None or top_k >= 1, "1 or more"),
        ("top-p", top_p, top_p is None or 0 < top_p <= 1, "above 0 and at most 1"),
        ("batch", batch, batch >= 1, "1 or more"),
        ("max-tokens", max_tokens, 3 <= max_tokens <= longest, f"3 to {longest:,} (the model's context and [EOS])"),
    )
    for name, value, fine, what in limits:
        if not fine:
            raise ChemscaleError(f"{name} = {value:,}: must be {what}")
