"""Export of a potential to ASE: its weights as they are, with a module that makes a calculator of them."""

import json
from pathlib import Path

from safetensors.torch import save_file

from chemscale import __version__
from chemscale.export.cards import potential_card
from chemscale.files import atomic, write_json
from chemscale.models.loading import load_potential, read_model

CALCULATOR = '''"""The potential of this folder as an ASE calculator; needs chemscale."""

from pathlib import Path

from chemscale import PotentialCalculator


def calculator(**options) -> PotentialCalculator:
    """Return energies in eV, forces in eV/Å; dtype="float64" for tight relaxations and finite differences."""
    return PotentialCalculator(Path(__file__).with_name("model.safetensors"), **options)
'''


def export_ase(path: Path, out: Path) -> None:
    """Write a folder with the weights of a potential, a module that makes an ASE calculator of them, and a card."""
    potential = load_potential(path)
    description, weights = read_model(path, "potential")
    # the configuration first: it marks the folder as an export, which may be written again after an interruption
    write_json(out / "config.json", {"chemscale": {"version": __version__}, **description})
    with atomic(out / "model.safetensors") as temporary:
        save_file(weights, temporary, metadata={"chemscale": json.dumps(description)})
    with atomic(out / "calculator.py") as temporary:
        temporary.write_text(CALCULATOR)
    with atomic(out / "README.md") as temporary:
        temporary.write_text(potential_card(path, potential, description))
