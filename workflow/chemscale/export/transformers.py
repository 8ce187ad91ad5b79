"""Export of ChemGPT to Hugging Face transformers, where it is a GPT-Neo with a fast tokenizer.

All files are written without transformers, which only those who open the folder need.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from safetensors.torch import save_file
from torch import Tensor

from chemscale import __version__
from chemscale.export.cards import chemgpt_card
from chemscale.files import atomic, write_json
from chemscale.models.chemgpt.network import ChemGPT
from chemscale.models.loading import load_chemgpt, read_model
from chemscale.molecules.vocabulary import BOS, EOS, PAD, SPECIAL, UNK

SPECIAL_IDS = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
SYMBOL = r"\[[^\]]*\]|\."  # a token: a symbol in brackets, or a dot


def export_hf(path: Path, out: Path) -> None:
    """Write a folder for transformers' AutoModelForCausalLM and AutoTokenizer, with a card."""
    model, vocabulary = load_chemgpt(path)
    description, _ = read_model(path, "language")
    # the configuration first: it marks the folder as an export, which may be written again after an interruption
    write_json(out / "config.json", configuration(model))
    write_json(out / "generation_config.json", generation_configuration(model))
    write_json(out / "tokenizer.json", tokenizer(vocabulary))
    write_json(out / "tokenizer_config.json", tokenizer_configuration(model.shape.context))
    with atomic(out / "model.safetensors") as temporary:
        save_file(dict(gpt_neo_weights(model)), temporary, metadata={"format": "pt"})
    with atomic(out / "README.md") as temporary:
        temporary.write_text(chemgpt_card(path, model, description))


def configuration(model: ChemGPT) -> dict:
    """Return the GPTNeoConfig of a model, and under `chemscale` what wrote it."""
    shape, blocks = model.shape, cast(list[Any], model.blocks)
    layers = ["global" if block.attention.window is None else "local" for block in blocks]
    return {
        "chemscale": {"version": __version__},
        "architectures": ["GPTNeoForCausalLM"],
        "model_type": "gpt_neo",
        "dtype": "float32",
        "vocab_size": model.tokens.num_embeddings,
        "max_position_embeddings": shape.context,
        "hidden_size": shape.width,
        "intermediate_size": 4 * shape.width,
        "num_layers": shape.layers,
        "num_heads": shape.heads,
        "attention_types": [[layers, 1]],  # this pattern, once
        "window_size": shape.window or shape.context,
        "activation_function": "gelu_new",  # GELU by tanh
        "layer_norm_epsilon": model.ln_f.eps,
        "resid_dropout": 0.0,
        "embed_dropout": 0.0,
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        **SPECIAL_IDS,
    }


def generation_configuration(model: ChemGPT) -> dict:
    """Return the GenerationConfig: sample from the whole distribution, of which transformers would take the top 50."""
    return {**SPECIAL_IDS, "do_sample": True, "top_k": 0, "max_length": model.shape.context}


def gpt_neo_weights(model: ChemGPT) -> Iterator[tuple[str, Tensor]]:
    """Yield names and tensors as GPTNeoForCausalLM has them; the tied head is not stored."""
    yield "transformer.wte.weight", model.tokens.weight
    yield "transformer.wpe.weight", model.positions.weight
    yield from _layer("transformer.ln_f", model.ln_f)
    for number, block in enumerate(cast(list[Any], model.blocks)):
        to = f"transformer.h.{number}"
        q, k, v = block.attention.qkv.weight.chunk(3)  # each (W, W)
        # GPT-Neo never scales its scores, so its queries have to bring the scale along
        for name, part in (("q", q * block.attention.scale), ("k", k), ("v", v)):
            yield f"{to}.attn.attention.{name}_proj.weight", part.contiguous()
        yield from _layer(f"{to}.attn.attention.out_proj", block.attention.out)
        yield from _layer(f"{to}.ln_1", block.ln_1)
        yield from _layer(f"{to}.ln_2", block.ln_2)
        yield from _layer(f"{to}.mlp.c_fc", block.expand)
        yield from _layer(f"{to}.mlp.c_proj", block.contract)


def _layer(to: str, layer: Any) -> Iterator[tuple[str, Tensor]]:
    yield f"{to}.weight", layer.weight
    yield f"{to}.bias", layer.bias


def tokenizer(vocabulary: list[str]) -> dict:
    """Return the content of `tokenizer.json`: ids are places in the vocabulary, decoding joins symbols without spaces.

    Text is SELFIES, in which blanks mean nothing; what is no known symbol becomes [UNK]. A text gets [BOS] before it,
    and nothing behind it, so that a prompt goes on; a whole molecule ends in the symbol [EOS].
    """
    prompt = [_special(BOS), {"Sequence": {"id": "A", "type_id": 0}}]
    other = [_special(BOS), {"Sequence": {"id": "B", "type_id": 0}}]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token) for token in (PAD, BOS, EOS, UNK)],
        "normalizer": {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": ""},
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": SYMBOL}, "behavior": "Isolated", "invert": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": prompt,
            "pair": prompt + other,
            "special_tokens": {SPECIAL[BOS]: {"id": SPECIAL[BOS], "ids": [BOS], "tokens": [SPECIAL[BOS]]}},
        },
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "vocab": {symbol: token for token, symbol in enumerate(vocabulary)},
            "unk_token": SPECIAL[UNK],
        },
    }


def tokenizer_configuration(context: int) -> dict:
    """Return the content of `tokenizer_config.json` for sequences of at most `context` tokens.

    Padding is on the left, where generation in batches needs it. A plain forward pass needs it on the right: GPT-Neo
    counts positions from the left, padding included.
    """
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        # without token types: GPT-Neo would add the embeddings of tokens 0 and 1 for them
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "pad_token": SPECIAL[PAD],
        "bos_token": SPECIAL[BOS],
        "eos_token": SPECIAL[EOS],
        "unk_token": SPECIAL[UNK],
    }


def _special(token: int) -> dict:
    return {"SpecialToken": {"id": SPECIAL[token], "type_id": 0}}


def _added(token: int) -> dict:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token, "content": SPECIAL[token], **flags, "special": True}
