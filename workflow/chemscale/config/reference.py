"""The JSON schema for editors and docs/reference/configuration.md, generated from the models: `make reference`."""

import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from chemscale.arms import ARMS
from chemscale.config.study_models import Study
from chemscale.data.sources import SOURCES
from chemscale.files import atomic
from chemscale.geometries.formats import FORMATS
from chemscale.models.family import SYMMETRIES
from chemscale.models.registry import FAMILIES, charged_families, families_of
from chemscale.typed import Keys

SCHEMA = Path(__file__).with_name("schema.json")
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"
INTRODUCTION = """\
# Configuration reference

<!-- written by `make reference` from the models in workflow/chemscale; do not edit -->

Every key of a study and of a dataset. `config/README.md` says which studies ship and how to use
data of your own. An unknown key, a wrong value or a size that the data cannot give is an error; all problems are named
at once, before anything runs."""
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
TYPES = {"integer": "whole number", "number": "number", "string": "text", "null": "null", "boolean": "true or false"}


def schema() -> dict[str, Any]:
    """Return the JSON schema of a study file, its own datasets included."""
    kinds = [(arm, source.name, model) for source in SOURCES.values() for arm, model in source.entries.items()]
    models: list[type[Keys]] = [Study, *(model for *_, model in kinds)]
    definitions = models_json_schema([(model, "validation") for model in models])[1]["$defs"]
    for arm, source, model in kinds:
        for key, value in {"arm": arm, "source": source}.items():
            property = definitions[model.__name__]["properties"][key]
            definitions[model.__name__]["properties"][key] = {"description": property["description"], "const": value}
    for arm in ARMS:
        families = definitions[f"{arm.title()}Arm"]["properties"]["families"]
        families["propertyNames"] = {"enum": list(families_of(arm))}
    definitions["Dataset"] = {
        "type": "object",
        "required": ["arm", "source"],
        "properties": {"arm": {"enum": list(ARMS)}, "source": {"enum": list(SOURCES)}},
        "allOf": [
            {
                "if": {"properties": {"arm": {"const": arm}, "source": {"const": source}}},
                "then": _reference(model.__name__),
            }
            for arm, source, model in kinds
        ],
    }
    study = definitions.pop("Study")
    datasets = study["properties"]["datasets"]
    datasets |= {"patternProperties": dict.fromkeys(datasets["patternProperties"], _reference("Dataset"))}
    study["properties"]["datasets"] = datasets | {"additionalProperties": False}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **study, "$defs": definitions}


def page() -> str:
    """Return docs/reference/configuration.md: a table of keys per part of a study and per group of datasets."""
    study = schema()
    definitions = study["$defs"]
    parts = [INTRODUCTION, "## A study", study["description"], _keys(study, study["properties"])]
    for name, places in _places(study, definitions).items():
        part = definitions[name]
        parts += [f"### {', '.join(places)}", part["description"], _keys(part, part["properties"])]
    parts += ["## A dataset", "An entry of `resources/datasets.yaml`, or of `datasets` in a study."]
    for model, kinds in _owners().items():
        own = [name for name in model.__annotations__ if name in model.model_fields]
        if own:
            part = model.model_json_schema()
            if "source" in own:
                part["properties"]["source"]["enum"] = list(SOURCES)
            parts += [f"### {_heading(kinds)}", inspect.getdoc(model) or "", _keys(part, own)]
    charged = charged_families()
    families = [
        (f"`{name}`", f"`{one.arm}`", one.description, SYMMETRIES[one.symmetry], "yes" * (name in charged), one.source)
        for name, one in FAMILIES.items()
    ]
    head = ("family", "arm", "model", "symmetry", "charge and spin", "publication")
    parts += ["## Families", _table(head, families)]
    formats = [(f"`{one.name}`", one.layout, one.molecule) for one in FORMATS.values()]
    parts += ["## Formats of geometries", _table(("`format`", "file", "a molecule is"), formats)]
    return "\n\n".join(parts) + "\n"


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _places(study: dict, definitions: dict) -> dict[str, list[str]]:
    """Return the names of the parts of a study, each with the dotted places where it stands."""
    found: dict[str, list[str]] = {}

    def visit(part: dict, prefix: str) -> None:
        for key, value in part["properties"].items():
            items = value.get("additionalProperties") or {}
            inner, place = (value["$ref"], key) if "$ref" in value else (items.get("$ref"), f"{key}.*")
            if inner:
                name = inner.rsplit("/", 1)[1]
                found.setdefault(name, []).append(f"`{prefix}{place}`")
                visit(definitions[name], f"{prefix}{place}.")

    visit(study, "")
    return found


def _owners() -> dict[type[Keys], list[tuple[str, str]]]:
    """Return the models that entries are made of, general ones first, each with the (arm, source) it is for."""
    found: dict[type[Keys], list[tuple[str, str]]] = {}
    for source in SOURCES.values():
        for arm, model in source.entries.items():
            for one in model.__mro__:
                if issubclass(one, Keys) and one is not Keys:
                    found.setdefault(one, []).append((arm, source.name))
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _heading(kinds: list[tuple[str, str]]) -> str:
    arms, sources = ({kind[place]: None for kind in kinds} for place in (0, 1))
    everything = [(arm, source.name) for source in SOURCES.values() for arm in source.entries]
    if len(kinds) == len(everything):
        return "Every dataset"
    words = [f"`arm: {arm}`" for arm in arms if len(arms) == 1]
    if len(kinds) < sum(arm in arms for arm, _ in everything):
        words.append(f"`source: {'` or `'.join(sources)}`")
    return ", ".join(words)


def _keys(part: dict, names: Iterable[str]) -> str:
    """Return the table of some keys of a part."""
    rows, needed = [], part.get("required", [])
    for name in sorted(names, key=lambda name: name not in needed):
        value = part["properties"][name]
        given = value.get("default", "")
        given = str(given).lower() if isinstance(given, bool) else given
        default = "needed" if name in needed else f"`{given}`" if "default" in value else ""
        rows.append((f"`{name}`", _type(value), default, value.get("unit", ""), value.get("description", "")))
    return _table(("key", "type", "default", "unit", "meaning"), rows)


def _type(value: dict) -> str:
    if "anyOf" in value:
        return " or ".join(map(_type, value["anyOf"]))
    if "enum" in value or "const" in value:
        return ", ".join(f"`{one}`" for one in value.get("enum", [value.get("const")]))
    bounds = ", ".join(f"{sign} {value[bound]:g}" for bound, sign in BOUNDS.items() if bound in value)
    if value.get("type") == "array":
        least, most = value.get("minItems", 0), value.get("maxItems")
        return f"list of {_type(value['items'])}" + (f", {least}{' or more' * (least != most)}" if least > 1 else "")
    if value.get("type") in TYPES:
        return TYPES[value["type"]] + (f" {bounds}" if bounds else "")
    return "keys below" if "$ref" in value or "$ref" in str(value.get("additionalProperties")) else "keys by name"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def main() -> None:
    """Write both."""
    for path, text in {SCHEMA: json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", PAGE: page()}.items():
        with atomic(path) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    main()
