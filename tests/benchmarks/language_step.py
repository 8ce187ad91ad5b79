"""One training step at about 1.18M parameters on a fixed block of tokens: our model against GPT-Neo, same weights."""

from functools import partial

import torch
from interleaved import gemm_rate, interleave, rates, ratio, share
from language_peers import gpt_neo_loss, our_loss, same_model, trainer

from chemscale.models.chemgpt import published
from chemscale.models.chemgpt.network import forward_flops
from chemscale.models.family import GPTShape

B, T = 32, 128
VOCABULARY = 684  # of the published tokenizer
STEPS = 2  # in a window
SHAPES = {
    "6 × 128, 16 heads of 8": GPTShape(layers=6, heads=16, width=128, context=2048),
    "24 × 64, 16 heads of 4, published": published(64),
    "6 × 128, 2 heads of 64": GPTShape(layers=6, heads=2, width=128, context=2048),
}
IN_BF16 = ("6 × 128, 2 heads of 64",)
TARGETS = {  # ratio to GPT-Neo, share of the ceiling by exact FLOPs
    "6 × 128, 16 heads of 8": (1.5, None),
    "24 × 64, 16 heads of 4, published": (1.5, 0.20),
    "6 × 128, 2 heads of 64": (None, 0.60),
}


def has_bf16() -> bool:
    """Whether this CPU multiplies in bfloat16."""
    with open("/proc/cpuinfo") as file:
        return any(flag in file.read() for flag in ("avx512_bf16", "amx_bf16"))


def flops_per_token(shape: GPTShape) -> dict[str, float]:
    """Training FLOPs of a token in a row of T, by each convention, all three without recomputation."""
    exact = 3 * forward_flops(shape, VOCABULARY, torch.tensor([T])).item() / T
    attention = 3 * 4 * shape.layers * shape.width * T  # of it, with all T² pairs
    groups = shape.parameters(VOCABULARY)
    return {
        "exact": exact,
        "causal": exact - attention / 2,
        "6ND": 6.0 * (groups["matrices"] + groups["scalars"]),
    }


def measure(rounds: int) -> dict:
    """Tables by name: every peer a row."""
    torch.manual_seed(1)
    tokens = torch.randint(5, VOCABULARY, (B, T + 1))
    peers, shapes, dtypes = {}, {}, {}
    for name, shape in SHAPES.items():
        for bf16 in (False, True) if name in IN_BF16 and has_bf16() else (False,):
            ours, theirs = same_model(shape, VOCABULARY, tokens)
            for who, model, loss in (("GPT-Neo", theirs, gpt_neo_loss), ("ours", ours, our_loss)):
                key = (name, "bfloat16" if bf16 else "float32", who)
                peers[key] = partial(window, trainer(model, loss, bf16), tokens)
                shapes[key], dtypes[key] = shape, torch.bfloat16 if bf16 else torch.float32
    windows = interleave(peers, rounds, dtypes)
    rows = []
    for key, of_peer in windows.items():
        name, dtype, who = key
        flops = flops_per_token(shapes[key])
        of_flops = {f"share {convention}": share(of_peer, count) for convention, count in flops.items()}
        target = TARGETS[name] if who == "ours" and dtype == "float32" else (None, None)
        rows.append({
            "shape": name, "dtype": dtype, "model": who, **rates(of_peer),
            "× GPT-Neo": ratio(of_peer, windows[name, dtype, "GPT-Neo"]), "target ×": target[0],
            **of_flops, "target share": target[1],
        })  # fmt: skip
    return {"step": rows, "ceilings": ceilings()}


def window(step, tokens: torch.Tensor) -> int:
    """Some steps; returns the number of predicted tokens."""
    for _ in range(STEPS):
        step(tokens)
    return STEPS * tokens.shape[0] * (tokens.shape[1] - 1)


def ceilings() -> list[dict]:
    """What the probe and the products of these models reach, GFLOP per CPU second."""
    products = [(512, 512, 512), *((B * T, width, 4 * width) for width in (64, 128)), (B * T, 128, VOCABULARY)]
    dtypes = {"float32": torch.float32} | ({"bfloat16": torch.bfloat16} if has_bf16() else {})
    return [
        {"product": "×".join(map(str, product))} | {name: gemm_rate(t, product) / 1e9 for name, t in dtypes.items()}
        for product in products
    ]
