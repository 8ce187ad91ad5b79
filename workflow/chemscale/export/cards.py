"""Model cards: what an exported model is, was trained on and does, as far as its record says."""

from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from jinja2 import Environment, PackageLoader, StrictUndefined

from chemscale import __version__
from chemscale.files import read_json
from chemscale.models.accounting import parameter_groups
from chemscale.models.chemgpt.network import ChemGPT
from chemscale.models.family import non_embedding
from chemscale.models.loading import Potential
from chemscale.models.registry import FAMILIES


def chemgpt_card(path: Path, model: ChemGPT, description: dict) -> str:
    """Return the card of the ChemGPT of the record `path`, or of a weights file alone, which says less."""
    major = int(description["selfies"].split(".")[0])
    return _card("chemgpt.md.j2", path, model, description, shape=model.shape, selfies_major=major)


def potential_card(path: Path, potential: Potential, description: dict) -> str:
    """Return the card of the potential of the record `path`, or of a weights file alone, which says less."""
    elements = [chemical_symbols[z] for z in np.flatnonzero(~np.isnan(potential.references))]
    facts = {"elements": elements, "charged": potential.charged}
    return _card("potential.md.j2", path, potential.model, description, **facts)


def _card(template: str, path: Path, model: Any, description: dict, **facts: Any) -> str:
    groups = parameter_groups(model, FAMILIES[description["family"]].groups)
    record = path if path.is_dir() else path.parent
    metrics, dataset = None, None
    if (record / "metrics.json").is_file():
        metrics = read_json(record / "metrics.json")
        dataset = Path(read_json(record / "settings.json")["dataset"]).name
    environment = Environment(loader=PackageLoader("chemscale.export"), undefined=StrictUndefined, trim_blocks=True)
    environment.filters["count"] = "{:,.0f}".format
    text = environment.get_template(template).render(
        version=__version__,
        description=description,
        parameters=sum(groups.values()),
        non_embedding=non_embedding(groups),
        metrics=metrics,
        dataset=dataset,
        **facts,
    )
    return text + "\n"
