"""What is generated from the models is up to date, and says what the models say."""

import json
import sys
from subprocess import run

import yaml
from jsonschema import Draft202012Validator  # snakemake brings it

from chemscale.config.reference import PAGE, SCHEMA, page, schema
from chemscale.data.sources import registry


def test_the_schema_and_the_page_are_up_to_date():
    assert json.loads(SCHEMA.read_text()) == schema(), "run `make reference`"
    assert PAGE.read_text() == page(), "run `make reference`"


def test_shipped_studies_and_the_registry_obey_the_schema(checkout):
    validator = Draft202012Validator(schema())
    files = [checkout / "config" / "config.yaml", *(checkout / "config" / "studies").glob("*.yaml")]
    studies = [yaml.safe_load(file.read_text()) for file in files]
    for study in [*studies, {"study": "own", "datasets": registry()}]:
        assert not [error.message for error in validator.iter_errors(study)]
    wrong = {"study": "x", "langauge": {}, "datasets": {"mine": {"arm": "potential", "source": "file", "path": "a.h5"}}}
    found = {error.message for error in validator.iter_errors(wrong)}
    assert any("langauge" in message for message in found)
    assert {f"'{key}' is a required property" for key in ("format", "energy", "forces", "method")} <= found


def test_every_key_has_a_meaning():
    def undescribed(part: dict, place: str) -> list[str]:
        below = part.get("properties", {})
        return [f"{place}.{key}" for key, value in below.items() if "description" not in value]

    content = schema()
    parts = {"study": content, **content["$defs"]}
    del parts["Dataset"]
    assert not [key for name, part in parts.items() for key in undescribed(part, name)]


def test_defaults_and_units_are_in_the_page():
    lines = page().splitlines()
    assert "| `cutoff` | number > 0 | `5.0` | Å | radius of an atom's neighbourhood |" in lines
    assert any(line.startswith("| `learning_rates` | list of number > 0, 3 or more | needed |") for line in lines)
    assert "### `language.training.steps`, `potential.training.steps`" in lines
    assert "### `arm: potential`, `source: file` or `download`" in lines


def test_reading_a_configuration_imports_nothing_heavy():
    code = "import sys, chemscale.config.complete, chemscale.config.reference, chemscale.study; print(*sys.modules)"
    loaded = run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "rdkit", "pandas", "numpy", "h5py", "ase", "jsonschema"} & set(loaded)
