"""One epoch over the same real molecules at about 1.18M parameters, each side with its own loader.

The rate is of useful tokens: those predicted, a molecule's symbols and [EOS], however many places a batch takes.
GPT-Neo draws random batches of 16 (as ChemGPT did) or 64 molecules and pads them to the longest; it gets no attention
mask. The loop in nanoGPT's style has our model, a flat stream of molecules parted by [EOS], cut into blocks of 128
whose order is drawn anew: no padding, molecules cut at the edges of blocks, attention across molecules.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from interleaved import interleave, rates, ratio
from language_corpus import corpus
from language_peers import gpt_neo, gpt_neo_loss, our_loss, trainer
from language_step import has_bf16
from torch import Tensor
from torch.nn import functional as F

from chemscale.models.chemgpt.network import ChemGPT
from chemscale.models.family import GPTShape
from chemscale.molecules.batches import TokenBatches, epoch_batches, padded
from chemscale.molecules.store import Corpus
from chemscale.molecules.vocabulary import BOS, EOS

MOLECULES = 500
BATCH_TOKENS = 2048  # of ours and of the flat stream
BLOCK = 128
SHAPES = {heads: GPTShape(layers=6, heads=heads, width=128, context=512) for heads in (16, 2)}
FEWER_HEADS = "2 of 64"


def token_batches(data: Corpus, rows: np.ndarray) -> Iterator[Tensor]:
    """Our loader: like lengths together, a budget of tokens."""
    count = len(epoch_batches(data.lengths(rows), BATCH_TOKENS, 0, 0))
    for parts in islice(TokenBatches(data, rows, BATCH_TOKENS, seed=0), count):
        yield parts[0].tokens


def random_batches(data: Corpus, rows: np.ndarray, molecules: int) -> Iterator[Tensor]:
    """Random batches padded to the longest, as the collator of transformers makes them."""
    order = np.random.default_rng(0).permutation(rows)
    for first in range(0, len(order), molecules):
        yield padded(data, order[first : first + molecules])


def blocks(data: Corpus, rows: np.ndarray) -> Iterator[Tensor]:
    """Blocks (B, BLOCK + 1) of the stream, each one's last token the first of the next; [EOS] alone parts molecules."""
    tokens = data.tokens[data.offsets[rows[0]] : data.offsets[rows[-1] + 1]]
    stream = np.concatenate([[EOS], tokens[tokens != BOS]]).astype(np.int64)
    starts = np.arange((len(stream) - 1) // BLOCK) * BLOCK
    order = np.random.default_rng(0).permutation(starts)
    size = BATCH_TOKENS // BLOCK
    for first in range(0, len(order), size):
        yield torch.from_numpy(stream[order[first : first + size, None] + np.arange(BLOCK + 1)])


def block_loss(model: ChemGPT, tokens: Tensor) -> Tensor:
    """Mean loss of a block's tokens, none of them padding."""
    return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


def epoch(step, batches) -> int:
    """Train on all `batches()`; the useful tokens among them."""
    useful = 0
    for tokens in batches():
        step(tokens)
        useful += int((tokens[:, 1:] > BOS).sum())
    return useful


def measure(rounds: int) -> dict:
    """Tables by name: the epoch of every peer, and what part of ours the loader takes."""
    with tempfile.TemporaryDirectory() as directory:
        data = corpus(Path(directory), MOLECULES)
        rows = data.rows("train")
        ours = partial(token_batches, data, rows)
        loaders = {
            "random 16, padded": partial(random_batches, data, rows, 16),
            "random 64, padded": partial(random_batches, data, rows, 64),
        }
        peers, dtypes = {}, {}
        for heads, shape in SHAPES.items():
            label = f"{heads} of {shape.width // heads}"
            for bf16 in (False, True) if label == FEWER_HEADS and has_bf16() else (False,):
                torch.manual_seed(0)
                model = ChemGPT(shape, len(data.vocabulary))
                dtype = "bfloat16" if bf16 else "float32"
                for name, loader in loaders.items():
                    peers["GPT-Neo", label, dtype, name] = partial(
                        epoch, trainer(gpt_neo(model), gpt_neo_loss, bf16), loader
                    )
                peers["nanoGPT style", label, dtype, f"blocks of {BLOCK}"] = partial(
                    epoch, trainer(_copy(model), block_loss, bf16), partial(blocks, data, rows)
                )
                peers["ours", label, dtype, "like lengths"] = partial(epoch, trainer(model, our_loss, bf16), ours)
        dtypes = {peer: torch.bfloat16 if peer[2] == "bfloat16" else torch.float32 for peer in peers}
        windows = interleave(peers, rounds, dtypes)
        table = []
        for peer, of_peer in windows.items():
            model, heads, dtype, loader = peer
            against = {
                "× GPT-Neo 16": ratio(of_peer, windows["GPT-Neo", heads, dtype, "random 16, padded"]),
                "× GPT-Neo of 16 heads": ratio(of_peer, windows["GPT-Neo", "16 of 8", "float32", "random 16, padded"]),
                "× nanoGPT style": ratio(of_peer, windows["nanoGPT style", heads, dtype, f"blocks of {BLOCK}"]),
            }
            table.append({
                "model": model, "heads": heads, "dtype": dtype, "loader": loader,
                "padding": _padding(loaders.get(loader, ours)) if "blocks" not in loader else 0.0,
                **rates(of_peer), **against,
            })  # fmt: skip
        alone = interleave({"loader": lambda: sum(1 for _ in ours())}, rounds)["loader"]
        whole = windows["ours", FEWER_HEADS, "float32", "like lengths"]
        shares = sorted(a.cpu / w.cpu for a, w in zip(alone, whole, strict=True))
        lengths = data.lengths(rows)
        about = {
            "molecules": len(rows),
            "useful tokens": int((lengths - 1).sum()),
            "tokens a molecule": float(lengths.mean()),
            "loader share of our epoch": shares[len(shares) // 2],
            "target share": 0.03,
        }
    return {"epoch": table, "molecules and loader": [about]}


def _copy(model: ChemGPT) -> ChemGPT:
    twin = ChemGPT(model.shape, model.tokens.num_embeddings)
    twin.load_state_dict(model.state_dict())
    return twin


def _padding(loader) -> float:
    """Share of the places of a loader's batches that hold [PAD]."""
    places, filled = 0, 0
    for tokens in loader():
        places += tokens.numel()
        filled += int((tokens > 0).sum())
    return 1 - filled / places
