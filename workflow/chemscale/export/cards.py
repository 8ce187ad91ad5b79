"""Model cards: what an exported model is, was trained on and does, in as far as its record says so."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from chemscale import __version__
from chemscale.files import read_json
from chemscale.models.accounting import parameter_groups
from chemscale.models.chemgpt.network import ChemGPT
from chemscale.models.family import non_embedding
from chemscale.models.loading import Potential
from chemscale.models.registry import FAMILIES

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


POTENTIAL_CARD = """---
tags: [chemistry, interatomic-potential, ase]
---

# {family}, depth {depth}, width {width}, exported by chemscale {chemscale}

A neural potential of isolated molecules: energies in eV, references of the atoms included, and forces in eV/Å, their
exact negative gradient.

| | |
|---|---|
{rows}

## Use

With chemscale installed, in this folder:

```python
from ase.build import molecule
from ase.optimize import BFGS
from calculator import calculator

atoms = molecule("{example}")
atoms.calc = calculator()
BFGS(atoms, logfile=None).run(fmax=0.05, steps=100)
print(atoms.get_potential_energy(), "eV")
```

From anywhere: `PotentialCalculator("…/model.safetensors")` of `chemscale.simulation.calculator`.

## Limits

- No periodic boundary conditions, and no charges or spins unless the table has them; elements other than those above
  are refused.
- Energies are right for geometries like those trained on, and nothing warns of others. Energies of different methods
  differ by hundreds of eV: compare within the model only.
- The licence of the training data is not in the record, and it may bind this model: look it up before passing it on.
"""


def card(path: Path, model: ChemGPT, description: dict) -> str:
    """Markdown of `README.md` for the model of the record `path`, or of a weights file alone, which says less."""
    major = int(description["selfies"].split(".")[0])
    return CARD.format(
        width=model.shape.width,
        chemscale=__version__,
        rows=_rows(_facts(model, description), path, _training),
        selfies=description["selfies"],
        major=major,
        next=major + 1,
    )


def potential_card(path: Path, potential: Potential, description: dict) -> str:
    """Markdown of `README.md` for the potential of the record `path`, or of a weights file alone, which says less."""
    groups = parameter_groups(potential.model, FAMILIES[description["family"]].groups)
    known = [chemical_symbols[z] for z in np.flatnonzero(~np.isnan(potential.references))]
    facts = {
        "elements": ", ".join(known),
        "cutoff": f"{potential.cutoff} Å",
        **({"charge, spin": "of `atoms.info`: `charge`, `unpaired` electrons"} if potential.charged else {}),
        "parameters": f"{sum(groups.values()):,}, of them {non_embedding(groups):,} not in embeddings",
    }
    return POTENTIAL_CARD.format(
        **{name: description[name] for name in ("family", "depth", "width")},
        chemscale=__version__,
        rows=_rows(facts, path, _potential_training),
        example="CH4" if {"H", "C"} <= set(known) else known[0],
    )


def _rows(facts: dict[str, str], path: Path, training: Callable[[dict, dict], dict[str, str]]) -> str:
    """A table's rows: facts of the model, and of its training where the record is there."""
    record = path if path.is_dir() else path.parent
    if (record / "metrics.json").is_file():
        facts = facts | training(read_json(record / "metrics.json"), read_json(record / "settings.json"))
    return "\n".join(f"| {name} | {value} |" for name, value in facts.items())


def _facts(model: ChemGPT, description: dict) -> dict[str, str]:
    shape, groups = model.shape, parameter_groups(model, FAMILIES[description["family"]].groups)
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


def _potential_training(metrics: dict, settings: dict) -> dict[str, str]:
    facts = {
        "trained on": f"{metrics['train_structures']:,} structures ({metrics['train_force_labels']:,} components of "
        f"forces) of the dataset `{Path(settings['dataset']).name}`, study `{metrics['study']}`",
        "training": f"{metrics['status']}, {metrics['reason'] or metrics['ended']}",
    }
    if metrics["status"] == "finished":
        facts["test errors"] = (
            f"forces {metrics['test_force_mae']:.4f} ± {metrics['test_force_mae_se']:.4f} eV/Å (standard error); "
            f"{metrics['zero_force_mae']:.4f} without any; energies {1000 * metrics['test_energy_mae']:.2f} meV an atom"
        )
        facts["on molecules never trained on"] = (
            f"forces {metrics['unseen_force_mae']:.4f} ± {metrics['unseen_force_mae_se']:.4f} eV/Å, "
            f"energies {1000 * metrics['unseen_energy_mae']:.2f} meV an atom"
        )
    return facts
