"""One thread for every test: what tiny models are trained with, and what makes their numbers repeatable."""

import json
import os
from pathlib import Path

import pytest
from helpers.settings import small_cell
from rdkit import RDConfig

from chemscale.config.cell_settings import CellSettings

os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0")


def pytest_collection_modifyitems(items):
    """Begin with whole studies: they take longest, and nobody should wait for the last of them alone."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Top of the repository."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def tiny_geometries(tmp_path_factory) -> Path:
    """A real store of small molecules, labelled here with GFN2-xTB in about a second."""
    from chemscale.geometries.labels import label

    directory = tmp_path_factory.mktemp("geometries")
    label("tiny", TINY_GEOMETRIES, directory, workers=1)
    return directory


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory) -> Path:
    """A real token store: the first 400 molecules of RDKit's NCI file."""
    from chemscale.data.sources import fetch
    from chemscale.molecules.corpus import encode

    directory = tmp_path_factory.mktemp("corpus")
    smiles = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    own = directory / "own.smi"
    own.write_text("\n".join(line.split("\t")[0] for line in smiles.read_text().splitlines()[:400]) + "\n")
    fetch("tiny", TINY_CORPUS | {"path": str(own)}, directory)
    encode(directory)
    return directory


@pytest.fixture(scope="session")
def trained_potential(tiny_geometries, tmp_path_factory) -> tuple[CellSettings, Path]:
    """Settings and record of a small SchNet, trained in seconds until bonds hold."""
    from chemscale.training.run import train_cell

    size = {"width": 16, "size": "d1-w16", "data": 100, "steps": 300}
    settings = small_cell("potential", tiny_geometries, **size, weight_decay=0.0, loss={"energy": 1.0, "force": 1.0})
    directory = tmp_path_factory.mktemp("potential")
    train_cell(settings, directory / "record", directory / "checkpoints")
    return settings, directory / "record"


@pytest.fixture(scope="session")
def write_model():
    """A function that puts an untrained ChemGPT into a directory as a run keeps it, and returns it.

    Its weights are larger than at initialisation, so that attention attends and outputs differ. Keywords change what is
    said of it.
    """
    import torch
    from safetensors.torch import save_file

    from chemscale.models.chemgpt.network import ChemGPT
    from chemscale.models.registry import language_family

    def write(directory: Path, family: str, width: int, vocabulary: list[str], **described) -> ChemGPT:
        torch.manual_seed(0)
        shape = language_family(family).shape(width)
        model = ChemGPT(shape, len(vocabulary)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
        description = {"arm": "language", "family": family, "width": width, "scaled": shape.scaled}
        description |= {"vocabulary": vocabulary, "selfies": "2.2.0"} | described
        directory.mkdir(parents=True, exist_ok=True)
        save_file(model.state_dict(), directory / "model.safetensors", metadata={"chemscale": json.dumps(description)})
        return model

    return write


TINY_GEOMETRIES = {
    "arm": "potential",
    "source": "thermal",
    "method": "GFN2-xTB",
    "max_heavy_atoms": 3,
    "molecules": 10,
    "conformers": 2,
    "geometries_per_molecule": 20,
    "temperature": [50, 1000],
    "unseen_molecules": 2,
    "validation": 30,
    "test": 30,
    "seed": 0,
    "max_failure_share": 0.05,
}
TINY_CORPUS = {
    "arm": "language",
    "source": "file",
    "format": "lines",
    "validation": 60,
    "test": 60,
    "seed": 0,
    "max_tokens": 64,
    "max_failure_share": 0.1,
}


@pytest.fixture
def cell_settings(request) -> CellSettings:
    """Settings of a small cell of the arm named by the test's parameter `arm`, trained in a second or two."""
    arm = request.getfixturevalue("arm")
    return small_cell(arm, request.getfixturevalue("tiny_corpus" if arm == "language" else "tiny_geometries"))
