"""From a study's YAML to a complete configuration, or to one error that names every problem."""

import math
from copy import deepcopy
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from chemscale.errors import ChemscaleError
from chemscale.models.registry import families_of, language_family, potential_family
from chemscale.training.schedule import PLATEAU_EVALUATIONS as PLATEAU

SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"
ARMS = ("language", "potential")
EXAMPLES = {"language": "molecules", "potential": "structures"}


def complete(config: dict, registry: dict[str, dict]) -> dict:
    """Check `config` against the schema and the `registry` of datasets; return it with every default filled in.

    Raises ChemscaleError with all problems at once, each with its key, its value and what would be right.
    """
    schema = yaml.safe_load(SCHEMA.read_text())
    problems = _schema_problems(config, schema)
    if not problems:
        config = _with_defaults(deepcopy(config), schema, schema)
        registry = registry | config["datasets"]
        problems = [problem for arm in ARMS if arm in config for problem in _arm_problems(arm, config[arm], registry)]
        if not any(arm in config for arm in ARMS):
            problems = ["neither language nor potential is there: a study needs at least one arm"]
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise ChemscaleError(
            f"the configuration has {len(problems)} problem(s):\n{lines}\nconfig/README.md explains every key."
        )
    return config


def _schema_problems(config: dict, schema: dict) -> list[str]:
    problems = []
    for error in sorted(
        Draft202012Validator(schema).iter_errors(config), key=lambda e: list(map(str, e.absolute_path))
    ):
        key = ".".join(map(str, error.absolute_path)) or "top level"
        about = error.schema.get("description")
        if error.validator == "additionalProperties":
            known = ", ".join(error.schema["properties"])
            problems.append(f"{key}: {error.message}; known here: {known}")
        elif error.validator == "oneOf":
            problems.append(f"{key}: {error.instance!r} is wrong; right would be: {about}")
        else:
            problems.append(f"{key}: {error.message}" + (f"; right would be: {about}" if about else ""))
    return problems


def _with_defaults(value, node: dict, schema: dict):
    """`value` with the defaults of schema `node` filled in, recursively."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    if not isinstance(value, dict) or node.get("type") != "object":
        return value
    known = node.get("properties", {})
    for key, child in known.items():
        target = schema["$defs"][child["$ref"].rsplit("/", 1)[1]] | child if "$ref" in child else child
        if key not in value and "default" in target:
            value[key] = deepcopy(target["default"])
    others = node.get("additionalProperties") or {}
    return {key: _with_defaults(item, known.get(key, others), schema) for key, item in value.items()}


def _arm_problems(arm: str, settings: dict, registry: dict[str, dict]) -> list[str]:
    """What the schema cannot see: names, orders, and sizes against the data."""
    problems = []
    for family, choices in settings["families"].items():
        where = f"{arm}.families.{family}"
        if family not in families_of(arm):
            problems.append(f"{where}: no such family; right would be one of {', '.join(families_of(arm))}")
            continue
        if choices["learning_rate"] == "tuned" and "tune" not in settings:
            problems.append(f"{where}.learning_rate: tuned, but {arm}.tune is missing; add it or give a number")
        tuned = settings["tune"]["widths"] if "tune" in settings and choices["learning_rate"] == "tuned" else []
        for width in dict.fromkeys([*choices["widths"], *tuned]):
            try:
                if arm == "language":
                    language_family(family).shape(width)
                else:
                    potential_family(family).parameters(choices["depths"][0], width)
            except ChemscaleError as error:
                problems.append(f"{where}.widths: {error}")

    def rising(key: str, values: list) -> None:
        if sorted(set(values)) != values:
            problems.append(f"{arm}.{key}: {values} is not strictly rising; right would be {sorted(set(values))}")

    rising("data", settings["data"])
    if "tune" in settings:
        rising("tune.learning_rates", settings["tune"]["learning_rates"])
        batches, own = settings["tune"].get("batch_tokens"), settings["training"].get("batch_tokens")
        if batches and own not in batches:
            right = f"{sorted([*batches, own])}" if own else "to leave it out, for batches are counted in atoms here"
            problems.append(f"{arm}.tune.batch_tokens: {batches} lacks the {own} of training; right would be {right}")
    steps = settings["training"]["steps"]
    if steps["minimum"] > steps["maximum"]:
        problems.append(f"{arm}.training.steps: minimum {steps['minimum']} is above maximum {steps['maximum']}")

    training = settings["training"]
    for key, least in {"patience": PLATEAU + 1, "evaluations": PLATEAU + 2}.items():
        if training["schedule"] == "plateau" and training[key] < least:
            problems.append(
                f"{arm}.training.{key}: {training[key]} ends a run before a plateau of {PLATEAU} evaluations has "
                f"lowered its rate; right would be {least} or more, or another schedule"
            )

    dataset = registry.get(settings["dataset"])
    fitting = [name for name, entry in registry.items() if entry.get("arm") == arm]
    if dataset is None or dataset.get("arm") != arm:
        what = "no such dataset" if dataset is None else f"a dataset of the arm {dataset.get('arm')}"
        problems.append(f"{arm}.dataset: {settings['dataset']}: {what}; right would be one of {', '.join(fitting)}")
        return problems
    if arm == "language":
        problems += _context_problems(settings, dataset)
        if "max_tokens" not in dataset:
            problems.append(f"datasets.{settings['dataset']}: lacks max_tokens, the longest molecule kept; such as 128")
    problems += _evaluation_problems(settings, dataset, {name: registry[name] for name in fitting})
    available = training_examples(arm, dataset)
    wanted = {"data": max(settings["data"]), "tune.data": settings.get("tune", {}).get("data", 0)}
    for key, size in wanted.items():
        if available is not None and size > available:
            problems.append(
                f"{arm}.{key}: {size:,} is more than {settings['dataset']} has for training,"
                f" {available:,} {EXAMPLES[arm]}"
            )
    return problems


def _evaluation_problems(settings: dict, dataset: dict, known: dict[str, dict]) -> list[str]:
    """Datasets to be evaluated on that are not among the `known` ones of the arm, or not comparable."""
    problems = []
    for name in settings.get("evaluate_on", []):
        where, entry = f"potential.evaluate_on: {name}", known.get(name, {})
        if name not in known:
            problems.append(f"{where}: no dataset of the arm potential; right would be one of {', '.join(known)}")
        elif name == settings["dataset"]:
            problems.append(f"{where}: what is trained on, whose test errors are there anyway; right would be another")
        elif entry.get("method") != dataset.get("method"):
            problems.append(
                f"{where}: labelled with {entry.get('method')}, but {settings['dataset']} with {dataset.get('method')};"
                " right would be one of the same method"
            )
    return problems


def _context_problems(settings: dict, dataset: dict) -> list[str]:
    """Families whose longest sequence is shorter than the dataset's longest molecule; [EOS] is no input."""
    problems = []
    for family in settings["families"]:
        longest = language_family(family).shape(16).context + 1 if family in families_of("language") else math.inf
        if dataset.get("max_tokens", 0) > longest:
            problems.append(
                f"language.families.{family}: sees {longest:,} tokens, but {settings['dataset']} keeps molecules of"
                f" {dataset['max_tokens']:,}; right would be max_tokens of at most {longest:,}, or chemgpt"
            )
    return problems


def training_examples(arm: str, dataset: dict) -> int | None:
    """Examples of a dataset's training split, where its registry entry tells; None where only the data can."""
    total = dataset.get(EXAMPLES[arm] if arm == "language" else "training_structures")
    if total is None or arm == "potential":
        return total
    return total - dataset["validation"] - dataset["test"]
