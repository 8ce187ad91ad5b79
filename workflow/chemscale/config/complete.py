"""From a study's YAML to a complete configuration, or to one error that names every problem of it and of its data."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from chemscale.arms import ARMS
from chemscale.config.study_models import ARM_MODELS, LanguageArm, PotentialArm, PotentialGrid, Study
from chemscale.data.entries import Entry, GeometryEntry, MoleculeEntry
from chemscale.data.sources import check_entry
from chemscale.errors import ChemscaleError
from chemscale.models.family import LanguageFamily, PotentialFamily
from chemscale.models.registry import FAMILIES, families_of
from chemscale.typed import check, report, stated, suggestion


def complete(config: dict, registry: dict[str, dict]) -> dict[str, Any]:
    """Check a study and the datasets it uses, its own and those of the `registry`; return it with all defaults.

    Raises ChemscaleError with all problems, one line each: `<key> = <value>: <what is wrong>; <how to fix it>`.
    """
    study, problems = check(Study, config)
    own = config["datasets"] if isinstance(config.get("datasets"), dict) else {}
    used = {name: registry[name] for name in _used(config) if name in registry and name not in own}
    entries: dict[str, Entry] = {}
    for name, entry in (own | used).items():
        typed, found = check_entry(entry, f"datasets.{name}" if name in own else f"resources/datasets.yaml: {name}")
        problems += found
        entries |= {name: typed} if typed else {}
    known = registry | own
    for arm in ARMS:
        problems += _unknown_names(arm, config.get(arm), known)
        options = getattr(study, arm) if study else check(ARM_MODELS[arm], config.get(arm))[0]
        if options:
            problems += _tuning_problems(arm, options)
            problems += _size_problems(arm, options)
            entry = entries.get(options.dataset)
            problems += _data_problems(arm, options, entry if entry and entry.arm == arm else None)
        if isinstance(options, PotentialArm):
            problems += _evaluation_problems(options, known)
    if problems or study is None:
        raise ChemscaleError(
            report("configuration", problems) + "\ndocs/reference/configuration.md explains every key."
        )
    name = f"{study.study}-repetition{study.repetition}" if study.repetition else study.study
    return study.model_dump(exclude_none=True) | {"study": name, "datasets": deepcopy(own)}


def _used(config: dict) -> list[str]:
    """Return the names of the datasets that a study names, as far as it can be read."""
    names: list[Any] = []
    for arm in ARMS:
        options = config.get(arm)
        if isinstance(options, dict):
            others = options.get("evaluate_on")
            names += [options.get("dataset"), *(others if isinstance(others, list) else [])]
    return [name for name in names if isinstance(name, str)]


def _of_arm(arm: str, known: dict[str, dict]) -> list[str]:
    return [name for name, entry in known.items() if isinstance(entry, dict) and entry.get("arm") == arm]


def _unknown_names(arm: str, options: Any, known: dict[str, dict]) -> Iterator[str]:
    """Yield families and a dataset that do not exist in the arm, whatever else is wrong with its `options`."""
    options = options if isinstance(options, dict) else {}
    families, name, fitting = options.get("families"), options.get("dataset"), _of_arm(arm, known)
    for family in families if isinstance(families, dict) else []:
        if family not in families_of(arm):
            yield f"{arm}.families.{family}: unknown family; {suggestion(str(family), families_of(arm))}"
    if isinstance(name, str) and name not in fitting:
        other = known.get(name, {}).get("arm") if isinstance(known.get(name), dict) else None
        what = f"belongs to the arm {other}" if other in ARMS else "unknown dataset"
        yield f"{stated(f'{arm}.dataset', name)}: {what}; {suggestion(name, fitting)}"


def _tuning_problems(arm: str, options: LanguageArm | PotentialArm) -> Iterator[str]:
    """Yield tuned families without a sweep, and sweeps whose batches do not go with those of training."""
    for name, choices in options.families.items():
        if choices.learning_rate == "tuned" and options.tune is None:
            yield f"{arm}.families.{name}.learning_rate = 'tuned': {arm}.tune is missing; add it, or give a number"
    swept = options.tune.batch_tokens if options.tune else None
    own = options.training.batch_tokens
    where = stated(f"{arm}.tune.batch_tokens", swept)
    if swept and own is None:
        yield f"{where}: batches are counted in atoms in this arm; leave it out"
    elif swept and own and own not in swept:
        yield f"{where}: lacks {own}, the batch_tokens of training; write {sorted([*swept, own])}"


def _size_problems(arm: str, options: LanguageArm | PotentialArm) -> Iterator[str]:
    """Yield widths and depths that a family does not have."""
    for name, choices in options.families.items():
        family = FAMILIES.get(name)
        tuned = options.tune.widths if options.tune and choices.learning_rate == "tuned" else []
        for width in dict.fromkeys([*choices.widths, *tuned]):
            where = f"{arm}.families.{name}.widths" if width in choices.widths else f"{arm}.tune.widths"
            try:
                if isinstance(family, LanguageFamily):
                    family.shape(width)
                elif isinstance(family, PotentialFamily) and isinstance(choices, PotentialGrid):
                    for depth in choices.depths:
                        family.parameters(depth, width)
            except ChemscaleError as error:
                yield f"{where} = {str(error).removeprefix('width = ')}"


def _data_problems(arm: str, options: LanguageArm | PotentialArm, entry: Entry | None) -> Iterator[str]:
    """Yield sizes that the data cannot give, and families that cannot read its longest molecule."""
    if isinstance(entry, MoleculeEntry):
        for name in options.families:
            family = FAMILIES.get(name)
            longest = family.shape(16).context + 1 if isinstance(family, LanguageFamily) else 0  # [EOS] is no input
            if 0 < longest < entry.max_tokens:
                yield (
                    f"language.families.{name}: reads {longest:,} tokens, but {options.dataset} keeps molecules of up "
                    f"to {entry.max_tokens:,}; lower its max_tokens, or choose another family"
                )
    available = entry.training_examples if isinstance(entry, MoleculeEntry | GeometryEntry) else None
    for key, size in {"data": max(options.data), "tune.data": options.tune.data if options.tune else 0}.items():
        if available is not None and size > available:
            most = f"{available:,} {ARMS[arm].examples} for training"
            yield f"{arm}.{key} = {size:,}: {options.dataset} has {most}; lower it"


def _evaluation_problems(options: PotentialArm, known: dict[str, dict]) -> Iterator[str]:
    """Yield datasets to be evaluated on that do not exist or cannot be compared."""
    fitting, own = _of_arm("potential", known), options.dataset
    for name in options.evaluate_on or []:
        where = stated("potential.evaluate_on", name)
        if name not in fitting:
            yield f"{where}: no dataset of the potential arm; {suggestion(name, fitting)}"
        elif name == own:
            yield f"{where}: is trained on, and its test errors are reported anyway; leave it out"
        elif own in fitting and known[name].get("method") != known[own].get("method"):
            labels = f"has labels of {known[name].get('method')}, {own} of {known[own].get('method')}"
            yield f"{where}: {labels}; choose one of the same method"
