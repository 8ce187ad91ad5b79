"""Hold, tie and bound the parameters of a form, as a user asks in Python or on a command line."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.forms.laws import Form, named_form

Range = tuple[float | None, float | None]  # lowest and highest value; None for the usual one
OF_ANY_SIGN = ("exponent", "change")


def constrain(
    form: "str | Form",
    fix: Mapping[str, float] | None = None,
    tie: Mapping[str, str] | None = None,
    bounds: Mapping[str, Range] | None = None,
) -> Form:
    """Return a form with parameters held at a value (`fix`), equal to another (`tie`), or within `bounds`.

    An exponent may be negative, for a loss that rises, where its lower bound is. Raises ChemscaleError, with all
    problems, for names that the form does not have and for values that they cannot take.
    """
    form = named_form(form)
    if not (fix or tie or bounds):
        return form
    fix, tie, bounds = dict(fix or {}), dict(tie or {}), dict(bounds or {})
    problems = [
        f"{option}: {form.name} has no parameter {name!r}; it has {', '.join(form.parameters)}"
        for option, names in (("fix", fix), ("tie", [*tie, *tie.values()]), ("bounds", bounds))
        for name in names
        if name not in form.parameters
    ]
    if not problems:
        problems = [
            *_wrong_ties(form, tie, [*fix, *bounds]),
            *_wrong_values(form, fix),
            *_wrong_bounds(form, bounds, fix),
        ]
    if problems:
        raise ChemscaleError("\n".join(problems))
    terms = form.terms
    for name, other in tie.items():
        terms = tuple(term.renamed(name, other) for term in terms)
    made = replace(form, terms=terms, fixed=fix, limits=bounds, tied=tie)
    if not made.free:
        raise ChemscaleError(f"fix: holds every parameter of {form.name}; leave one to fit")
    return made


def _wrong_ties(form: Form, tie: Mapping[str, str], others: list[str]) -> Iterable[str]:
    for name, other in tie.items():
        owners = [[term for term in form.terms if one in term.parameters] for one in (name, other)]
        if name == other or other in tie:
            yield f"tie: {name}={other}: does not lead to a free parameter; tie to one that is not tied itself"
        elif form.kinds[name] != form.kinds[other]:
            yield f"tie: {name}={other}: a {form.kinds[name]} cannot equal a {form.kinds[other]}"
        elif owners[0] == owners[1] or any(term.tied_inside for term in (*owners[0], *owners[1])):
            yield (
                f"tie: {name}={other}: both stand in one term of {form.formula}; write the formula of the law with one "
                "name instead, as form"
            )
        elif name in others:
            yield f"tie: {name}={other}: {name} is also held or bounded; hold or bound {other}"


def _wrong_values(form: Form, fix: Mapping[str, float]) -> Iterable[str]:
    for name, value in fix.items():
        if not np.isfinite(value):
            yield f"fix: {name}={value}: must be a number"
        elif form.kinds[name] == "floor" and value == 0:
            yield f"fix: {name}=0: has no logarithm; choose a form without a floor, such as {_without_floor(form)}"
        elif form.kinds[name] not in OF_ANY_SIGN and value <= 0:
            yield f"fix: {name}={value:g}: must be above 0"


def _wrong_bounds(form: Form, bounds: Mapping[str, Range], fix: Mapping[str, float]) -> Iterable[str]:
    for name, (low, high) in bounds.items():
        ends = [end for end in (low, high) if end is not None]
        if not ends or not np.isfinite(ends).all() or (len(ends) == 2 and ends[0] >= ends[1]):
            yield f"bounds: {name}={_end(low)}:{_end(high)}: give a lowest value below the highest, or one of them"
        elif name in fix:
            yield f"bounds: {name}: is also held at {fix[name]:g}; do one of the two"
        elif form.kinds[name] not in OF_ANY_SIGN and min(ends) < 0:
            yield f"bounds: {name}={_end(low)}:{_end(high)}: {name} is a {form.kinds[name]}, which is above 0"
        elif high is not None and high <= 0 and form.kinds[name] not in OF_ANY_SIGN:
            yield f"bounds: {name}={_end(low)}:{_end(high)}: must leave values above 0"
        elif form.terms[0].tied_inside and form.name.startswith("kaplan") and name in ("A", "B"):
            yield f"bounds: {name}: the scales of {form.name} cannot be bounded; hold them, or bound its exponents"
        elif form.name.startswith("kaplan") and form.kinds[name] == "exponent" and low is not None and low < 0:
            yield f"bounds: {name}={_end(low)}:{_end(high)}: exponents of {form.name} must be positive"


def _end(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _without_floor(form: Form) -> str:
    return {
        "power_floor": "power",
        "joint": "joint_no_floor",
        "shifted_floor": "shifted",
        "kaplan_floor": "kaplan",
    }.get(form.name, "power or joint_no_floor")


def parse_fixed(texts: Iterable[str]) -> dict[str, float]:
    """Return values written as E=1.69 on a command line; raise ChemscaleError if one is not."""
    try:
        return {name.strip(): float(value) for name, value in (text.split("=") for text in texts)}
    except ValueError:
        raise ChemscaleError(f"--fix {' '.join(texts)}: write a name and its value, such as --fix E=1.69") from None


def parse_ties(texts: Iterable[str]) -> dict[str, str]:
    """Return names written as beta=alpha on a command line; raise ChemscaleError if one is not."""
    try:
        return {name.strip(): other.strip() for name, other in (text.split("=") for text in texts)}
    except ValueError:
        raise ChemscaleError(f"--tie {' '.join(texts)}: write two names, such as --tie beta=alpha") from None


def parse_bounds(texts: Iterable[str]) -> dict[str, Range]:
    """Return bounds written as alpha=-1:2, alpha=-1: or alpha=:2 on a command line; raise ChemscaleError if not."""
    try:
        found: dict[str, Range] = {}
        for text in texts:
            name, ends = text.split("=")
            low, high = (float(end) if end.strip() else None for end in ends.split(":"))
            found[name.strip()] = low, high
        return found
    except ValueError:
        raise ChemscaleError(
            f"--bounds {' '.join(texts)}: write lowest and highest value, such as --bounds alpha=-1:2 or alpha=-1:"
        ) from None


def constraints_text(form: Form) -> str:
    """Return what a form's user demands, such as "with E = 1.69 held, beta = alpha"; nothing if nothing."""
    parts = [f"{name} = {value:g} held" for name, value in form.fixed.items()]
    parts += [f"{name} = {other}" for name, other in form.tied.items()]
    for name, (low, high) in form.limits.items():
        below, above = (f"{low:g} ≤ " if low is not None else ""), (f" ≤ {high:g}" if high is not None else "")
        parts.append(f"{below}{name}{above}")
    return f"with {', '.join(parts)}" if parts else ""
