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
    for arm in ARMS:
        options = getattr(study, arm) if study else check(ARM_MODELS[arm], config.get(arm))[0]
        if options:
            problems += _family_problems(arm, options)
            problems += _tuning_problems(arm, options)
            problems += _data_problems(arm, options, registry | own, entries)
    if problems or study is None:
        raise ChemscaleError(report("configuration", problems) + "\ndocs/configuration.md explains every key.")
    return study.model_dump(exclude_none=True) | {"datasets": deepcopy(own)}


def _used(config: dict) -> list[str]:
    """Return the names of the datasets that a study names, as far as it can be read."""
    names: list[Any] = []
    for arm in ARMS:
        options = config.get(arm)
        if isinstance(options, dict):
            others = options.get("evaluate_on")
            names += [options.get("dataset"), *(others if isinstance(others, list) else [])]
    return [name for name in names if isinstance(name, str)]


def _family_problems(arm: str, options: LanguageArm | PotentialArm) -> Iterator[str]:
    """Yield the families that do not exist, and the sizes that they do not have."""
    for name, choices in options.families.items():
        where = f"{arm}.families.{name}"
        family = FAMILIES.get(name)
        if family is None or family.arm != arm:
            yield f"{where}: the {arm} arm has no such family; {suggestion(name, families_of(arm))}"
            continue
        if choices.learning_rate == "tuned" and options.tune is None:
            yield f"{where}.learning_rate = 'tuned': {arm}.tune is missing; add it, or give a number"
        tuned = options.tune.widths if options.tune and choices.learning_rate == "tuned" else []
        for width in dict.fromkeys([*choices.widths, *tuned]):
            try:
                if isinstance(family, LanguageFamily):
                    family.shape(width)
                elif isinstance(family, PotentialFamily) and isinstance(choices, PotentialGrid):
                    for depth in choices.depths:
                        family.parameters(depth, width)
            except ChemscaleError as error:
                yield f"{where}.widths: {error}"


def _tuning_problems(arm: str, options: LanguageArm | PotentialArm) -> Iterator[str]:
    """Yield the batches of the sweep that do not go with those of training."""
    swept = options.tune.batch_tokens if options.tune else None
    own = options.training.batch_tokens
    where = stated(f"{arm}.tune.batch_tokens", swept)
    if swept and own is None:
        yield f"{where}: batches are counted in atoms in this arm; leave it out"
    elif swept and own and own not in swept:
        yield f"{where}: lacks {own}, the batch_tokens of training; write {sorted([*swept, own])}"


def _data_problems(
    arm: str, options: LanguageArm | PotentialArm, known: dict[str, dict], entries: dict[str, Entry]
) -> Iterator[str]:
    """Yield datasets that are not there or of the other arm, and sizes that the data cannot give."""
    fitting = [name for name, entry in known.items() if isinstance(entry, dict) and entry.get("arm") == arm]
    name = options.dataset
    if name not in fitting:
        what = f"belongs to the arm {known[name].get('arm')}" if name in known else "no such dataset"
        yield f"{stated(f'{arm}.dataset', name)}: {what}; {suggestion(name, fitting)}"
    evaluated = options.evaluate_on or [] if isinstance(options, PotentialArm) else []
    for other in evaluated:
        where = stated("potential.evaluate_on", other)
        if other not in fitting:
            yield f"{where}: no dataset of the potential arm; {suggestion(other, fitting)}"
        elif other == name:
            yield f"{where}: is trained on, and its test errors are reported anyway; leave it out"
        elif name in fitting and known[other].get("method") != known[name].get("method"):
            labels = f"has labels of {known[other].get('method')}, {name} of {known[name].get('method')}"
            yield f"{where}: {labels}; choose one of the same method"
    entry = entries.get(name)
    if not isinstance(entry, MoleculeEntry | GeometryEntry) or entry.arm != arm:
        return
    if isinstance(entry, MoleculeEntry):
        yield from _context_problems(options, entry)
    available = entry.training_examples
    for key, size in {"data": max(options.data), "tune.data": options.tune.data if options.tune else 0}.items():
        if available is not None and size > available:
            yield f"{arm}.{key} = {size:,}: {name} has {available:,} {ARMS[arm].examples} for training; lower it"


def _context_problems(options: LanguageArm | PotentialArm, entry: MoleculeEntry) -> Iterator[str]:
    """Yield the families whose context is shorter than the longest molecule; [EOS] is no input."""
    for name in options.families:
        family = FAMILIES.get(name)
        longest = family.shape(16).context + 1 if isinstance(family, LanguageFamily) else entry.max_tokens
        if entry.max_tokens > longest:
            yield (
                f"language.families.{name}: reads {longest:,} tokens, but {options.dataset} keeps molecules of up to "
                f"{entry.max_tokens:,}; lower its max_tokens, or choose another family"
            )
