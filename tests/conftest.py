"""One thread for every test: what tiny models are trained with, and what makes their numbers repeatable."""

import json
import os
from pathlib import Path

import pytest
from rdkit import RDConfig

os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0")


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
def trained_potential(tiny_geometries, tmp_path_factory) -> tuple[dict, Path]:
    """Settings and record of a small SchNet, trained in seconds until bonds hold."""
    from chemscale.training.run import train_cell

    steps = {"per_sqrt_example": 0, "epochs": 0, "minimum": 300, "maximum": 300}
    training = {"steps": steps, "evaluations": 5, "patience": 5, "weight_decay": 0.0, "warmup": 0.05, "clip": 1.0}
    training |= {"schedule": "cosine", "batch_atoms": 60, "cutoff": 4.0, "loss": {"energy": 1.0, "force": 1.0}}
    cell = {"study": "test", "arm": "potential", "family": "schnet", "depth": 1, "width": 16, "size": "d1-w16"}
    settings = {**cell, "data": 100, "seed": 0, "learning_rate": 0.01, "tuning": None, "recipe": 1}
    settings |= {"dataset": str(tiny_geometries), "training": training}
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
def cell_settings(request) -> dict:
    """Settings of a small cell of the arm named by the test's parameter `arm`, trained in a second or two."""
    arm = request.getfixturevalue("arm")
    common = {
        "study": "test",
        "arm": arm,
        "size": "small",
        "width": 8,
        "data": 60,
        "seed": 0,
        "tuning": None,
        "recipe": 1,
    }
    training = {
        "steps": {"per_sqrt_example": 0, "epochs": 0, "minimum": 60, "maximum": 60},
        "evaluations": 5,
        "patience": 5,
        "weight_decay": 0.1,
        "warmup": 0.05,
        "schedule": "cosine",
        "clip": 1.0,
    }
    if arm == "language":
        dataset = request.getfixturevalue("tiny_corpus")
        own = {"family": "chemgpt-slim", "learning_rate": 0.01}
        training |= {"batch_tokens": 500}
    else:
        dataset = request.getfixturevalue("tiny_geometries")
        own = {"family": "schnet", "depth": 1, "learning_rate": 0.01}
        training |= {"batch_atoms": 60, "cutoff": 4.0, "loss": {"energy": 0.05, "force": 0.95}}
    return {**common, **own, "dataset": str(dataset), "training": training}
