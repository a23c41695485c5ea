"""The schedule file as a JSON Schema, for editors. It is made from the keys, so it cannot lag behind them.

The schema takes every file that the hub takes, and refuses most of what the hub refuses; what it cannot say,
such as that a zone exists, ``reactorhub check`` says. It keeps to draft 7, which editors know best.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from enum import Enum
from inspect import getclosurevars
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BeforeValidator

from reactorhub.config import values
from reactorhub.config.expect import expectations
from reactorhub.config.keys import HubKeys, Keys, ScheduleKeys
from reactorhub.config.schedules import NO_DEFAULTS, TRIGGERS
from reactorhub.model.run import arg_name
from reactorhub.policies.expectations import FIELDS, FINISH_REASON

JsonSchema = dict[str, Any]
Reader = Callable[..., Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"
ARG_NAME = r"^(?!_)(?!(crawler|name|settings)$)[\s\S]"
_NUMBER = r"[0-9]{1,9}(\.[0-9]{1,6})?"
DURATION = rf"^(?=[0-9])({_NUMBER}d)?({_NUMBER}h)?({_NUMBER}m)?({_NUMBER}s)?$"
MOMENT = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?$"
)

_NOTHING: JsonSchema = {"type": "null"}
_VARIABLE: JsonSchema = {"type": "string", "pattern": r"\$\{"}


def _text(pattern: str) -> JsonSchema:
    """A text of this pattern, or one that a variable is part of."""
    return {"type": "string", "pattern": rf"{pattern}|\$\{{"}


def _optional(schema: JsonSchema) -> JsonSchema:
    """A section may be there with nothing in it."""
    return _any_of(schema, _NOTHING)


def _any_of(*schemas: JsonSchema) -> JsonSchema:
    return {"anyOf": list(schemas)}


_COMPARISON = _any_of({"type": "number"}, _text(r"^\s*([<>]|[=!]=)"))
_REASON: JsonSchema = {"type": "string", "pattern": r"\S"}
_EXPECT = _optional(
    {
        "type": "object",
        "properties": {
            FINISH_REASON: _any_of(_REASON, {"type": "array", "items": _REASON, "minItems": 1}),
            FIELDS: _optional({"type": "object", "additionalProperties": _COMPARISON}),
        },
        "additionalProperties": _COMPARISON,
    }
)

_READERS: dict[Reader, JsonSchema] = {
    values.line: {"type": "string", "pattern": r"\S"},
    values.secret_line: {"type": "string", "pattern": r"\S"},
    values.name: _text(NAME),
    values.zone: {"type": "string", "pattern": r"\S"},
    values.duration: _text(DURATION),
    values.moment: _text(MOMENT),
    values.cron: {"type": "string", "pattern": r"\S"},
    values.left_out: {"type": "string", "pattern": r"\S"},
    values.flag: {"anyOf": [{"type": "boolean"}, _VARIABLE]},
    values.as_written: {"type": ["string", "number", "boolean"]},
    values.plain: {},
    expectations: _EXPECT,
}
"""What each reader of a value takes, as the file says it: variables are not filled in yet."""

_KEY_READERS: dict[Reader, JsonSchema] = {
    values.name: {"pattern": NAME},
    arg_name: {"pattern": ARG_NAME},
}
"""What each reader of a key takes; variables do not stand in keys."""


def schema() -> JsonSchema:
    """Return the JSON Schema of the whole file."""
    defaults = {key: each for key, each in _properties(ScheduleKeys).items() if key not in NO_DEFAULTS}
    schedules = {
        "type": "object",
        "propertyNames": {"pattern": NAME},
        "additionalProperties": _optional({"$ref": "#/definitions/schedule"}),
    }
    return {
        "$schema": DRAFT,
        "title": "The schedule file of reactorhub",
        "definitions": {"schedule": {**_section(ScheduleKeys), "allOf": _between_keys()}},
        **_object(
            {
                "hub": _optional(_section(HubKeys)),
                "defaults": _optional(_object(defaults)),
                "schedules": _optional(schedules),
            }
        ),
        "type": ["object", "null"],
    }


def schema_text() -> str:
    """Return the JSON Schema as it is shipped."""
    return json.dumps(schema(), indent=2) + "\n"


def _between_keys() -> list[JsonSchema]:
    """A schedule has one trigger at most, and an anchor goes with an interval only."""
    pairs = [(one, other) for one in TRIGGERS for other in TRIGGERS if one < other]
    return [
        *({"not": {"required": list(pair)}} for pair in pairs),
        {"dependencies": {"anchor": ["interval"]}},
    ]


def _section(model: type[Keys]) -> JsonSchema:
    return _object(_properties(model))


def _object(properties: JsonSchema) -> JsonSchema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _properties(model: type[Keys]) -> JsonSchema:
    return {
        key: _value(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)
        for key, field in model.model_fields.items()
    }


def _value(kind: Any) -> JsonSchema:
    """Return the schema of a value by its annotation. None in it stands for a key that is left out."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        readers = [mark.func for mark in marks if isinstance(mark, BeforeValidator)]
        return _read(inner, readers[0]) if readers else _value(inner)
    alternatives = [each for each in get_args(kind) if each is not NoneType]
    if get_origin(kind) is list:
        return {"type": "array", "items": _value(alternatives[0])}
    if get_origin(kind) is dict:
        return _mapping(*alternatives)
    if NoneType in get_args(kind):
        return _value(alternatives[0]) if len(alternatives) == 1 else _any_of(*map(_value, alternatives))
    if isinstance(kind, type) and issubclass(kind, Keys):
        return _section(kind)
    raise TypeError(f"{kind!r} has no reader; give it one, and say in {__name__} what that takes")


def _read(inner: Any, reader: Reader) -> JsonSchema:
    """Return what a reader takes; ``inner`` is the annotation of what it gives."""
    if reader in _READERS:
        return _READERS[reader]
    maker = _MAKERS.get(reader.__qualname__.partition(".")[0])
    if maker is None:
        raise TypeError(f"the reader {reader.__qualname__} is new; say in {__name__} what it takes")
    return maker(inner, reader)


def _limited(kind: str, reader: Reader) -> JsonSchema:
    limits = getclosurevars(reader).nonlocals
    return _any_of({"type": kind, "minimum": limits["low"], "maximum": limits["high"]}, _VARIABLE)


def _one_of(members: Iterable[Enum]) -> JsonSchema:
    return _any_of({"enum": [member.value for member in members]}, _VARIABLE)


def _one_or_list(inner: Any) -> JsonSchema:
    several = {**_value(inner), "minItems": 1}
    return _any_of(several["items"], several)


def _whom(inner: Any) -> JsonSchema:
    keys = _value(inner)
    return _any_of(keys["properties"]["to"], keys)


_MAKERS: dict[str, Callable[[Any, Reader], JsonSchema]] = {
    "whole": lambda inner, reader: _limited("integer", reader),
    "number": lambda inner, reader: _limited("number", reader),
    "choice": lambda inner, reader: _one_of(getclosurevars(reader).nonlocals["kind"]),
    "mapping_or_nothing": lambda inner, reader: _optional(_value(inner)),
    "_one_or_list": lambda inner, reader: _one_or_list(inner),
    "_perhaps_none": lambda inner, reader: _any_of(_value(inner)["items"], _value(inner)),
    "_to_whom": lambda inner, reader: _whom(inner),
    "_embedded": lambda inner, reader: _any_of({"const": "embedded"}, _value(inner)),
}
"""What readers take that are made for a range or wrap another, by the name of the function they come from."""


def _mapping(key: Any, value: Any) -> JsonSchema:
    values_of = _value(value)
    names: JsonSchema = {}
    if get_origin(key) is Annotated:
        names = {"propertyNames": _KEY_READERS[get_args(key)[1].func]}
    return {"type": "object", **names, "additionalProperties": values_of}
