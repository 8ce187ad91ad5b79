"""Imports of the library run downwards only, and some stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

# from the top: a room imports its own tier's rooms to the right of it, and any room of a lower tier
TIERS = (
    ("cli",),
    ("figures", "embedding", "simulation"),
    ("analysis", "study", "tuning"),
    ("generation", "export", "training"),
    ("config", "data", "models"),
    ("geometries",),
    ("molecules",),
    ("scaling",),
    ("arms", "files", "typed", "rows", "processes", "progress", "errors"),
)
PLACE = {room: (tier, place) for tier, rooms in enumerate(TIERS) for place, room in enumerate(rooms)}


def room(module: str) -> str:
    return module.split(".")[1]


def arrows(package: Path) -> set[tuple[str, str]]:
    """Return (importing room, imported room) of every import in the package, with those inside functions."""
    found = set()
    for path in package.rglob("*.py"):
        own = path.relative_to(package).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("chemscale."):
                found.add((own, room(node.module)))
            elif isinstance(node, ast.ImportFrom) and node.module == "chemscale":
                found |= {(own, alias.name) for alias in node.names if alias.name != "__version__"}
            elif isinstance(node, ast.Import):
                found |= {(own, room(alias.name)) for alias in node.names if alias.name.startswith("chemscale.")}
    return {(a, b) for a, b in found if a != b and a != "__init__"}


def test_imports_run_downwards(checkout):
    upwards = {(a, b) for a, b in arrows(checkout / "workflow" / "chemscale") if PLACE[a] > PLACE[b]}
    assert not upwards


def test_every_room_has_a_place(checkout):
    package = checkout / "workflow" / "chemscale"
    rooms = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == set(PLACE)


def test_no_module_imports_snakemake(checkout):
    for path in (checkout / "workflow" / "chemscale").rglob("*.py"):
        imports = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = {getattr(node, "module", None) or node.names[0].name for node in imports}
        assert not {name for name in names if name.split(".")[0] == "snakemake"}, path


def imported(module: str, heavy: str) -> str:
    """Return which of the libraries `heavy` are imported with a module."""
    code = f"import sys, {module}; print(*sorted({{*{heavy.split(', ')!r}}} & set(sys.modules)))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "module", ["chemscale.cli", "chemscale.config", "chemscale.study", "chemscale.models.registry"]
)
def test_what_snakemake_parses_stays_light(module):
    assert imported(module, "torch, pytorch_lightning, pandas, scipy, rdkit, h5py, matplotlib") == ""


def test_a_training_imports_no_library_of_another_family():
    assert imported("chemscale.training.run", "nequip, allegro, e3nn, lightning, lmdb") == ""
