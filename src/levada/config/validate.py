"""pydantic's errors -> one ConfigError with file, line, field and the nearest valid name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from levada.config.places import KeyPath, Place, Problem, fault, nearest

Model = TypeVar("Model", bound=BaseModel)

_KINDS: Mapping[type, str] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a mapping",
    type(None): "empty",
}


def validate_settings(model: type[Model], raw: Mapping[str, Any], place: Place) -> Model:
    """Validate the raw settings of a connection or a step.

    Args:
        model: the settings model; extra fields should be forbidden there.
        raw: the settings as the project file holds them.
        place: where they stand (`ProjectFile.place`).

    Raises:
        ConfigError: with file, line, field and the nearest valid name.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise fault(problems(error, model, raw, place)) from None


def problems(error: ValidationError, model: type[BaseModel], raw: Any, place: Place) -> list[Problem]:
    """The problems of a validation, in the file's words; values are not repeated, they may be secret."""
    return [_problem(details, model, raw, place) for details in error.errors(include_url=False)]


def _problem(details: ErrorDetails, model: type[BaseModel], raw: Any, place: Place) -> Problem:
    loc, kind = details["loc"], details["type"]
    context = details.get("ctx", {})
    here = place.below(_path(loc, raw))
    if kind == "levada":
        key, path = context.get("key"), context.get("path", ())
        return Problem((here / key if key else here).below(path), context["what"], context.get("hint"))
    if kind == "extra_forbidden":
        return Problem(here, f"unknown field {loc[-1]!r}", nearest(str(loc[-1]), _fields(model, loc[:-1])))
    if kind == "missing":
        return Problem(here / loc[-1], f"missing field {loc[-1]!r}", f"fields: {_listed(model, loc[:-1])}")
    if kind in _CHOICES:
        return _CHOICES[kind](details, here)
    if loc and loc[-1] == "[key]":
        return Problem(here, f"bad name {details['input']!r}", "letters, digits, _ and -, no digit first")
    return Problem(here, _reason(details))


def _choice(details: ErrorDetails, here: Place) -> Problem:
    expected = str(details.get("ctx", {}).get("expected", ""))
    names = re.findall(r"'([^']*)'", expected) or [expected]
    return Problem(here, f"{details['input']!r} is not valid here", nearest(str(details["input"]), names))


def _tag(details: ErrorDetails, here: Place) -> Problem:
    """A kind of setting that there is not, among those that a `type` tells apart."""
    context = details.get("ctx", {})
    tag, names = str(context.get("tag")), re.findall(r"'([^']*)'", str(context.get("expected_tags")))
    return Problem(here, f"{tag!r} is not valid here", nearest(tag, names))


def _no_tag(details: ErrorDetails, here: Place) -> Problem:
    name = str(details.get("ctx", {}).get("discriminator", "")).strip("'")
    return Problem(here, f"missing field {name!r}")


_CHOICES: Mapping[str, Callable[[ErrorDetails, Place], Problem]] = {
    "literal_error": _choice,
    "enum": _choice,
    "union_tag_invalid": _tag,
    "union_tag_not_found": _no_tag,
}


def _reason(details: ErrorDetails) -> str:
    message = details["msg"]
    if details["type"] in ("value_error", "assertion_error"):
        return message.split(", ", 1)[1]
    message = message.replace("Input should be", "should be").replace("valid dictionary", "mapping")
    message = re.sub(r"\bvalid (tuple|list|set|array)\b", "list", message).replace("valid string", "text")
    return f"{message}, not {_KINDS.get(type(details['input']), 'this')}"


def _path(loc: Sequence[str | int], raw: Any) -> KeyPath:
    """The part of pydantic's location that is in the file: union members and `[key]` are not."""
    path: list[str | int] = []
    for key in loc:
        if isinstance(raw, Mapping) and key in raw:
            raw = raw[str(key)]
        elif isinstance(raw, Sequence) and isinstance(key, int) and key < len(raw):
            raw = raw[key]
        else:
            continue
        path.append(key)
    return tuple(path)


def _listed(model: type[BaseModel], loc: Sequence[str | int]) -> str:
    return ", ".join(_fields(model, loc))


def _fields(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Names, as written in the file, of the fields of the model that stands at a location."""
    found: list[Any] = [model]
    for key in loc:
        found = [inner for annotation in found for inner in _step(annotation, key)] or found
    models = [option for annotation in found for option in _options(annotation) if _is_model(option)]
    return [field.alias or name for item in models for name, field in item.model_fields.items()]


def _step(annotation: Any, key: str | int) -> Iterator[Any]:
    for option in _options(annotation):
        if _is_model(option) and _has_tag(option, key):
            yield option
        elif _is_model(option):
            yield from (
                field.annotation
                for name, field in option.model_fields.items()
                if (field.alias or name) == key
            )
        elif (arguments := get_args(option)) and isinstance(origin := get_origin(option), type):
            yield arguments[-1] if issubclass(origin, Mapping) else arguments[0]


def _has_tag(model: Any, key: str | int) -> bool:
    """Whether a model is the member of a union that this `type` names."""
    field = model.model_fields.get("type")
    return field is not None and get_args(field.annotation) == (key,)


def _options(annotation: Any) -> Iterator[Any]:
    """The annotation itself, or the members of a union; `Annotated` and aliases are looked through."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _options(member)
    elif hasattr(annotation, "__metadata__"):
        yield from _options(get_args(annotation)[0])
    else:
        yield annotation


def _is_model(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)
