"""The registry of families: its records, and a family added from outside."""

import importlib
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from chemscale.arms import ARMS
from chemscale.config.complete import complete
from chemscale.config.reference import page, schema
from chemscale.data.sources import registry
from chemscale.errors import ChemscaleError
from chemscale.figures.curves import loss_against_data
from chemscale.models.accounting import parameter_groups
from chemscale.models.family import SYMMETRIES, non_embedding
from chemscale.models.potentials import build_potential
from chemscale.models.registry import (
    FAMILIES,
    charged_families,
    families_of,
    language_family,
    potential_family,
)
from chemscale.study import cells

RECORD = '''"""A potential of distances to the power of -2."""

from chemscale.models.family import PotentialFamily


def parameters(depth, width):
    return {"embedding": 100 * width, "body": depth, "head": width}


FAMILY = PotentialFamily(
    name="toy",
    label="Toy",
    colour="#123456",
    symmetry="invariant",
    description="inverse square distances",
    source="none",
    network="toy_family.network:Toy",
    groups={"embedding": ("elements.",), "head": ("readout.",)},
    parameters=parameters,
)
'''
NETWORK = """import torch
from torch import nn

from chemscale.geometries import keys


class Toy(nn.Module):
    def __init__(self, depth, width, cutoff, radial):
        super().__init__()
        self.elements, self.readout = nn.Embedding(100, width), nn.Linear(width, 1, bias=False)
        self.scales = nn.Parameter(torch.ones(depth))

    def forward(self, batch):
        i, j, positions = batch[keys.PAIR_I], batch[keys.PAIR_J], batch[keys.POSITIONS]
        atomic = self.readout(self.elements(batch[keys.Z]))[:, 0]
        pairs = self.scales.sum() / (positions[i] - positions[j]).square().sum(1)
        atomic = atomic.index_add(0, i, pairs)
        return atomic.new_zeros(len(batch[keys.N_ATOMS])).index_add(0, batch[keys.MOLECULE], atomic)
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A family in a package of its own, registered by one line."""
    (tmp_path / "toy_family").mkdir()
    (tmp_path / "toy_family" / "__init__.py").write_text(RECORD)
    (tmp_path / "toy_family" / "network.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    record = importlib.import_module("toy_family").FAMILY
    monkeypatch.setitem(FAMILIES, "toy", record)
    yield record
    for name in [name for name in sys.modules if name.startswith("toy_family")]:
        del sys.modules[name]


def study(families: dict) -> dict:
    arm = {"dataset": "gfn2-tiny", "families": families, "data": [10, 100]}
    return complete({"study": "s", "potential": arm}, registry())


def test_a_family_from_outside_is_accepted_documented_sized_built_and_drawn(toy):
    config = study({"toy": {"widths": [8, 16], "depths": [3], "learning_rate": 0.01}})
    assert {(cell.family, cell.size, cell.work.parameters) for cell in cells(config)} == {
        ("toy", "d3-w8", 3 + 8),
        ("toy", "d3-w16", 3 + 16),
    }
    assert "toy" in schema()["$defs"]["PotentialArm"]["properties"]["families"]["propertyNames"]["enum"]
    assert "| `toy` | `potential` | inverse square distances | invariant features only |  | none |" in page()
    model = build_potential("toy", 3, 8, 4.0)
    groups = parameter_groups(model, potential_family("toy").groups)
    assert groups["embedding"] == 800 and groups["head"] == 8 and non_embedding(groups) == 11
    assert "toy" in families_of("potential")

    rows = {"arm": "potential", "family": "toy", "size": "d3-w8", "status": "finished", "parameters": 11}
    runs = pd.DataFrame([{**rows, "data": data, "test_force_mae": 1 / data} for data in (10, 100)])
    figure = loss_against_data(runs, {"curves": []}, "potential")
    assert figure.axes[0].get_legend().get_texts()[0].get_text() == "Toy d3-w8, N = 11"
    red, green, blue = figure.axes[0].lines[-1].get_color()[:3]
    np.testing.assert_allclose([red, green, blue], np.array([0x12, 0x34, 0x56]) / 255, atol=0.01)


def test_without_its_line_the_family_is_refused():
    with pytest.raises(ChemscaleError, match=r"potential\.families\.toy.* mpnn, schnet, painn"):
        study({"toy": {"widths": [8], "learning_rate": 0.01}})


def test_records_are_complete_and_can_be_told_apart():
    assert list(families_of("language")) == ["chemgpt", "chemgpt-slim"]
    nequip = {"nequip-l0", "nequip-l1", "nequip-l2"}  # records that share a folder
    assert set(families_of("potential")) == {"mpnn", "schnet", "painn", "spookynet", "allegro", *nequip}
    for field in ("name", "label", "colour"):
        assert len({getattr(family, field) for family in FAMILIES.values()}) == len(FAMILIES)
    for name, family in FAMILIES.items():
        assert name == family.name and family.arm in ARMS and family.symmetry in SYMMETRIES
        assert re.fullmatch("#[0-9a-f]{6}", family.colour) and family.description and family.source
        assert set(family.groups) <= {"embedding", "position", "head", "matrices"}
    assert charged_families() == ["spookynet"]


def test_a_family_of_the_other_arm_is_refused_with_those_there_are():
    with pytest.raises(ChemscaleError, match=r"family = 'painn': .* arm language; choose one of chemgpt, chemgpt-slim"):
        language_family("painn")
    with pytest.raises(ChemscaleError, match=r"family = 'chemgpt': .* choose one of mpnn, schnet, painn"):
        potential_family("chemgpt")


def test_sizes_a_family_does_not_have_are_refused_before_its_network_is_imported():
    with pytest.raises(ChemscaleError, match="width = 15: allegro"):
        build_potential("allegro", 2, 15, 4.0)
    with pytest.raises(ChemscaleError, match=r"schnet: cannot represent charge or unpaired .*; choose spookynet"):
        build_potential("schnet", 2, 16, 4.0, charged=True)


def test_the_registry_imports_neither_torch_nor_any_network():
    code = "import sys, chemscale.models.registry; print([m for m in sys.modules if m == 'torch' or 'network' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
