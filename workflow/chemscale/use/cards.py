"""Model cards: what an exported model is, was trained on and does, in as far as its record says so."""

from pathlib import Path

from chemscale import __version__
from chemscale.files import read_json
from chemscale.models.accounting import non_embedding, parameter_groups
from chemscale.models.chemgpt import ChemGPT

CARD = """---
library_name: transformers
pipeline_tag: text-generation
tags: [chemistry, selfies, gpt_neo]
---

# ChemGPT, width {width}, exported by chemscale {chemscale}

A decoder of molecules in SELFIES, one symbol a token, with the architecture of GPT-Neo.

| | |
|---|---|
{rows}

## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")  # this folder
model = AutoModelForCausalLM.from_pretrained(".").eval()

# molecules as in training: [BOS] and [EOS] are added, padding is on the right
batch = tokenizer(["[C][C][O]", "[C][=O]"], padding=True, return_tensors="pt")
logits = model(**batch).logits

# new molecules: a prompt starts with [BOS] and does not end in [EOS]; in a batch, padding goes to the left
tokenizer.padding_side = "left"
prompts = tokenizer(["[BOS]", "[BOS][C][C][O]"], add_special_tokens=False, padding=True, return_tensors="pt")
tokens = model.generate(**prompts)  # sampled, as generation_config.json says; do_sample=False: greedy
found = tokenizer.batch_decode(tokens, skip_special_tokens=True)
```

SMILES to SELFIES and back, with selfies {selfies} (`pip install "selfies>={major},<{next}"`; other major versions spell
molecules differently):

```python
import selfies

text = selfies.encoder("CCO")  # of canonical SMILES by RDKit, as in training
smiles = [selfies.decoder(molecule) for molecule in found]
```

## Limits

- Symbols the training molecules lack become [UNK], which the model never read in training.
- Sequences longer than the training's have positions that were never trained.
- The licence of the training data is not in the record, and it may bind this model: look it up before passing it on.
"""


def card(path: Path, model: ChemGPT, description: dict) -> str:
    """Markdown of `README.md` for the model of the record `path`, or of a weights file alone, which says less."""
    record = path if path.is_dir() else path.parent
    rows = _facts(model, description)
    if (record / "metrics.json").is_file():
        rows |= _training(read_json(record / "metrics.json"), read_json(record / "settings.json"))
    major = int(description["selfies"].split(".")[0])
    return CARD.format(
        width=model.shape.width,
        chemscale=__version__,
        rows="\n".join(f"| {name} | {value} |" for name, value in rows.items()),
        selfies=description["selfies"],
        major=major,
        next=major + 1,
    )


def _facts(model: ChemGPT, description: dict) -> dict[str, str]:
    shape, groups = model.shape, parameter_groups(model)
    window = f", every second one attending to {shape.window} tokens" if shape.window else ""
    return {
        "family": description["family"],
        "shape": f"{shape.layers} layers{window}, {shape.heads} heads, width {shape.width}, context {shape.context}",
        "parameters": f"{sum(groups.values()):,}, of them {non_embedding(groups):,} not in embeddings",
        "vocabulary": f"{len(description['vocabulary'])} symbols, four of them special: [PAD], [BOS], [EOS], [UNK]",
        "SELFIES": f"version {description['selfies']}",
    }


def _training(metrics: dict, settings: dict) -> dict[str, str]:
    facts = {
        "trained on": f"{metrics['train_molecules']:,} molecules ({metrics['train_tokens']:,} predicted tokens) of the "
        f"dataset `{Path(settings['dataset']).name}`, study `{metrics['study']}`",
        "tokens seen": f"{metrics['units_seen']:,.0f}, {metrics['epochs']:.3g} epochs",
        "training": f"{metrics['status']}, {metrics['reason'] or metrics['ended']}",
    }
    if metrics["status"] == "finished":
        facts["test loss"] = (
            f"{metrics['test_loss']:.4f} ± {metrics['test_loss_se']:.4f} nats per token (standard error); "
            f"{metrics['unigram_entropy']:.4f} by the frequencies of symbols alone"
        )
    return facts
