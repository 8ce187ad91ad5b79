"""Trained models in the formats of other tools.

Hugging Face transformers: ChemGPT is a GPT-Neo, so its weights need other names and no more. All files are written
without transformers, which only those who open the folder need. ASE: a potential keeps its weights as they are, and
gets a module beside them that makes the calculator.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from chemscale import __version__
from chemscale.errors import ChemscaleError
from chemscale.export.cards import card, potential_card
from chemscale.export.tokenizer import SPECIAL_IDS, tokenizer, tokenizer_config
from chemscale.files import atomic, read_json, write_json
from chemscale.models.chemgpt.network import ChemGPT
from chemscale.models.loading import load_chemgpt, load_potential, read_model


def export(path: Path | str, to: str, out: Path | str) -> None:
    """Write the trained model of the record `path` into the folder `out`, in the format `to`, one of TARGETS.

    An earlier export in `out` is replaced, files of other origin beside it stay. Raises ChemscaleError for an unknown
    target, for a folder that holds anything but an export, and for whatever loading the model refuses.
    """
    path, out = Path(path), Path(out)
    if to not in TARGETS:
        raise ChemscaleError(f"--to {to}: not a format to export to; right would be one of {', '.join(TARGETS)}")
    _require_free(out)
    TARGETS[to](path, out)


def export_hf(path: Path, out: Path) -> None:
    """Write a folder for transformers' AutoModelForCausalLM and AutoTokenizer: GPT-Neo, a fast tokenizer and a card."""
    model, vocabulary = load_chemgpt(path)
    description, _ = read_model(path, "language")
    # the configuration first: it makes the folder an export, which may be written anew after an interruption
    write_json(out / "config.json", configuration(model))
    write_json(out / "generation_config.json", generation_configuration(model))
    write_json(out / "tokenizer.json", tokenizer(vocabulary))
    write_json(out / "tokenizer_config.json", tokenizer_config(model.shape.context))
    with atomic(out / "model.safetensors") as temporary:
        save_file(dict(gpt_neo_weights(model)), temporary, metadata={"format": "pt"})
    with atomic(out / "README.md") as temporary:
        temporary.write_text(card(path, model, description))


def export_ase(path: Path, out: Path) -> None:
    """Write a folder with the weights of a potential, a module that makes a calculator of ASE of them, and a card."""
    potential = load_potential(path)
    description, weights = read_model(path, "potential")
    write_json(out / "config.json", {"chemscale": {"version": __version__}, **description})
    with atomic(out / "model.safetensors") as temporary:
        save_file(weights, temporary, metadata={"chemscale": json.dumps(description)})
    with atomic(out / "calculator.py") as temporary:
        temporary.write_text(CALCULATOR)
    with atomic(out / "README.md") as temporary:
        temporary.write_text(potential_card(path, potential, description))


TARGETS = {"hf": export_hf, "ase": export_ase}

CALCULATOR = '''"""The potential of this folder as a calculator of ASE; needs chemscale."""

from pathlib import Path

from chemscale.simulation.calculator import PotentialCalculator


def calculator(**options) -> PotentialCalculator:
    """Energies in eV, forces in eV/Å; dtype="float64" for tight relaxations and finite differences."""
    return PotentialCalculator(Path(__file__).with_name("model.safetensors"), **options)
'''


def configuration(model: ChemGPT) -> dict:
    """GPTNeoConfig of a model, and under `chemscale` what wrote it."""
    shape = model.shape
    layers = ["global" if block.attention.window is None else "local" for block in model.blocks]
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
    """GenerationConfig: sampling from all of the model's distribution, of which transformers would take the top 50."""
    return {**SPECIAL_IDS, "do_sample": True, "top_k": 0, "max_length": model.shape.context}


def gpt_neo_weights(model: ChemGPT) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors as GPTNeoForCausalLM has them; the tied head is not stored."""
    yield "transformer.wte.weight", model.tokens.weight
    yield "transformer.wpe.weight", model.positions.weight
    yield from _layer("transformer.ln_f", model.ln_f)
    for number, block in enumerate(model.blocks):
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


def _layer(to: str, layer) -> Iterator[tuple[str, Tensor]]:
    yield f"{to}.weight", layer.weight
    yield f"{to}.bias", layer.bias


def _require_free(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ChemscaleError(f"{out}: a file; an export is a folder, name a new one")
    if out.is_dir() and any(out.iterdir()) and not _is_export(out):
        raise ChemscaleError(f"{out}: not empty and no export of chemscale; name a new folder, or empty this one")


def _is_export(out: Path) -> bool:
    path = out / "config.json"
    return path.is_file() and "chemscale" in read_json(path)
