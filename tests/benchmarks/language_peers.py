"""The models that are compared: ours, Hugging Face's GPT-Neo with the same weights, and a training step for either."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from chemscale.export.transformers import configuration, gpt_neo_weights
from chemscale.models.chemgpt.network import ChemGPT, next_token_losses
from chemscale.models.family import GPTShape
from chemscale.molecules.vocabulary import PAD

CLIP = 1.0


def gpt_neo(model: ChemGPT) -> GPTNeoForCausalLM:
    """GPT-Neo of transformers with the weights of `model`. On a CPU it has no other attention than its eager one."""
    peer = GPTNeoForCausalLM(GPTNeoConfig(**configuration(model)))
    missing, unexpected = peer.load_state_dict(dict(gpt_neo_weights(model)), strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, "the head is tied to the embedding"
    return peer


def our_loss(model: ChemGPT, tokens: Tensor) -> Tensor:
    """Mean loss of the tokens (B, T) after the first of each row, as `chemscale train` has it."""
    losses, counts = next_token_losses(model, tokens, PAD)
    return losses.sum() / counts.sum()


def gpt_neo_loss(model: GPTNeoForCausalLM, tokens: Tensor) -> Tensor:
    """The same of GPT-Neo. Padded on the right it needs no attention mask, which spares it some work."""
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits  # (B, T-1, V)
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD)


def trainer(model: nn.Module, loss_of: Callable[[nn.Module, Tensor], Tensor], bf16: bool = False) -> Callable:
    """Function of tokens (B, T) that trains `model` on them by one step: loss, gradients, clipping, fused AdamW."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), weight_decay=0.1, fused=True)
    device = next(model.parameters()).device.type

    def step(tokens: Tensor) -> None:
        optimiser.zero_grad()
        with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
            loss = loss_of(model, tokens)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()

    return step


def same_model(shape: GPTShape, vocabulary: int, tokens: Tensor) -> tuple[ChemGPT, GPTNeoForCausalLM]:
    """Our model and GPT-Neo with its weights, their losses on `tokens` (B, T) equal within 1e-5."""
    torch.manual_seed(0)
    ours = ChemGPT(shape, vocabulary)
    theirs = gpt_neo(ours)
    with torch.no_grad():
        torch.testing.assert_close(our_loss(ours, tokens), gpt_neo_loss(theirs, tokens), rtol=0, atol=1e-5)
    return ours, theirs
