"""Base of everything that a user writes as keys and values, and the messages about what is wrong with them.

A model lists its keys with `key`: description, default, unit and bounds stand there and nowhere else. Numbers keep the
type that they were written with (22 stays an integer where 22.0 would do), since settings are compared as JSON.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError, core_schema

from chemscale.errors import ChemscaleError

NAME = r"^[a-z0-9][a-z0-9-]*$"  # a study or dataset names a folder and a part of files
MAX_SHOWN = 60  # characters of a value in a message
WRONG = "wrong"  # the type of errors that our own validators raise
MESSAGES = {  # one per type of error of pydantic
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "string_type": "expected text",
    "list_type": "expected a list",
    "dict_type": "expected a mapping of keys to values",
    "model_type": "expected a mapping of keys to values",
    "invalid_key": "expected text as a key",
    "literal_error": "expected one of {expected}",
    "string_pattern_mismatch": "use lower-case letters, digits and hyphens; do not begin with a hyphen",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "too_short": "needs at least {min_length} entries",
    "too_long": "needs at most {max_length} entries",
}
TEXT_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)  # YAML takes 1e-3 for text


class Keys(BaseModel):
    """A mapping whose keys are all known. Frozen; strict: text is never taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    NULLABLE: ClassVar[frozenset[str]] = frozenset()  # keys that may be null; any other is left out instead
    RENAMED: ClassVar[Mapping[str, str]] = {}  # former names of keys, with the present ones

    @field_validator("*", mode="before")
    @classmethod
    def _not_null(cls, value: object, info: Any) -> object:
        if value is None and info.field_name not in cls.NULLABLE:
            advice = "give one" if cls.model_fields[info.field_name].is_required() else "give one or leave the key out"
            raise wrong(f"has no value; {advice}")
        return value

    @model_validator(mode="after")
    def _follow_rules(self) -> Self:
        if broken := list(self.broken_rules()):
            raise PydanticCustomError("rules", "values do not go together", {"rules": broken})
        return self

    def broken_rules(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for values that do not go together; the key is empty where it is all of them."""
        yield from ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        """Return the JSON schema without titles, and without null where a key is left out instead."""
        content = handler.resolve_ref_schema(handler(core))
        content.pop("title", None)
        for name, value in content.get("properties", {}).items():
            value.pop("title", None)
            if value.get("default", 0) is None:
                del value["default"]
            if name not in cls.NULLABLE and {"type": "null"} in value.get("anyOf", []):
                (other,) = [one for one in value.pop("anyOf") if one != {"type": "null"}]
                content["properties"][name] = other | value
        return content

    @classmethod
    def from_json(cls, content: object, where: str = "settings") -> Self:
        """Return the model of plain JSON `content`; raise ChemscaleError that names `where` and every problem."""
        model, problems = check(cls, content)
        if model is None:
            raise ChemscaleError(report(where, problems))
        return model

    def to_json(self) -> dict[str, Any]:
        """Return what the model was made from, as plain JSON types: keys that were left out stay out."""
        return self.model_dump(exclude_unset=True)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other values of some keys."""
        return self.model_copy(update=changes)


M = TypeVar("M", bound=Keys)


def key(description: str, default: Any = ..., *, unit: str | None = None, **bounds: Any) -> Any:
    """Describe one key of a model.

    Without `default` it is required; with None it may be left out; a model as `default` stands for all its defaults.
    """
    bounds |= {"default_factory": default} if isinstance(default, type) else {"default": default}
    return Field(description=description, json_schema_extra={"unit": unit} if unit else None, **bounds)


def _as_written(value: Any, validate: Callable[[Any], Any]) -> Any:
    validate(value)
    return value


AsWritten = WrapValidator(_as_written)
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), AsWritten]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), AsWritten]
Share = Annotated[float, Field(ge=0, le=1), AsWritten]
Name = Annotated[str, Field(pattern=NAME)]


def wrong(message: str) -> PydanticCustomError:
    """Return the error of a value: `<what is wrong>; <how to fix it>`."""
    return PydanticCustomError(WRONG, "{message}", {"message": message})


@dataclass(frozen=True)
class OneOf:
    """Restrict text to `names`, which may grow until they are asked for."""

    names: Callable[[], Iterable[str]]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Check the name after the type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        """List the names for editors."""
        return handler(schema) | {"enum": list(self.names())}

    def _check(self, name: str) -> str:
        if name not in self.names():
            raise wrong(f"unknown name; {suggestion(name, self.names())}")
        return name


def check(model: type[M], content: object, where: str = "") -> tuple[M | None, list[str]]:
    """Return the model of `content` and no problems, or None and one line for each problem.

    Lines read `<dotted key> = <value>: <what is wrong>; <how to fix it>`; `where` begins every dotted key.
    """
    try:
        return model.model_validate(content), []
    except ValidationError as error:
        return None, [line for one in error.errors() for line in _lines(model, one, where)]


def broken(rules: Iterable[tuple[str, str]], content: Any, where: str) -> list[str]:
    """Return one line for each (key, message) about keys of `content`; an empty key stands for all of them."""
    lines = []
    for name, message in rules:
        dotted = _dotted(where, [name] if name else [])
        begin = stated(dotted, content[name]) if name in content else dotted
        lines.append(f"{begin}: {message}".removeprefix(": "))
    return lines


def report(where: str, problems: list[str]) -> str:
    """Return one message of all `problems` of a file or an entry."""
    if len(problems) == 1:
        return f"{where}: {problems[0]}"
    return f"{where}: {len(problems)} problems\n" + "\n".join(f"  - {problem}" for problem in problems)


def stated(dotted: str, value: object) -> str:
    """Return `<key> = <value>` as it begins a message, long values cut."""
    text = "null" if value is None else repr(value)
    return f"{dotted} = {text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + '…'}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the known name that `name` is nearest to, or all of them, as the end of a message."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"use {'one of ' * (len(known) > 1)}{', '.join(known)}"


def _lines(model: type[Keys], error: ErrorDetails, where: str) -> list[str]:
    place, kind = [part for part in error["loc"] if part != "[key]"], error["type"]
    dotted = _dotted(where, place)
    description, _ = _described(model, place)
    if kind == "rules":
        return broken(error["ctx"]["rules"], error["input"], dotted)
    if kind == "missing":
        return [f"{dotted}: missing; add it ({description})"]
    if kind == "extra_forbidden":
        name = str(place[-1])
        owner = next(one for one in _described(model, place[:-1])[1] if name not in one.model_fields)
        if name in owner.RENAMED:
            return [f"{dotted}: this key is now called {owner.RENAMED[name]}; rename it"]
        return [f"{dotted}: unknown key; {suggestion(name, owner.model_fields)}"]
    begin = dotted if "[key]" in error["loc"] else stated(dotted, error["input"])
    if kind == WRONG:
        return [f"{begin}: {error['msg']}"]
    message = MESSAGES.get(kind, "is not valid").format(**error.get("ctx", {})).replace(" 1 entries", " 1 entry")
    if kind == "literal_error":
        message = message.replace("'", "").replace(" or ", ", ")
    if kind == "float_type" and isinstance(error["input"], str) and TEXT_NUMBER.fullmatch(error["input"]):
        message += "; YAML reads this as text: write it with a decimal point and no quotes"
    named = kind in ("literal_error", "string_pattern_mismatch") or not description
    return [f"{begin}: {message}" + ("" if named else f" ({description})")]


def _dotted(where: str, place: Iterable[str | int]) -> str:
    text = where
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _described(model: type[Keys], place: list[str | int]) -> tuple[str | None, list[type[Keys]]]:
    """Return the description of the key at `place`, and the models that its value may be of."""
    description, inner = None, [model]
    for part in place:
        owner = next((one for one in inner if part in one.model_fields), None)
        if owner:  # else a name that the user chose, or a number in a list
            field = owner.model_fields[str(part)]
            description, inner = field.description, _models_in(field.annotation)
    return description, inner


def _models_in(annotation: Any) -> list[type[Keys]]:
    if isinstance(annotation, type) and issubclass(annotation, Keys):
        return [annotation]
    return [found for one in get_args(annotation) for found in _models_in(one)]
