"""The schedule file as a JSON Schema, for editors. It is made from the keys, so it always has all of them.

The schema accepts every file that the hub accepts, and rejects most of what the hub rejects. What it cannot
know, such as whether a time zone exists, ``reactorhub check`` reports. It keeps to draft 7, which editors
support best.
"""

from __future__ import annotations

import json
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from reactorhub.config.json_schema import JsonSchema, Reads, optional
from reactorhub.config.keys import HubKeys, Keys, ScheduleKeys
from reactorhub.config.schedules import NO_DEFAULTS, TRIGGERS
from reactorhub.config.values import NAME

DRAFT = "http://json-schema.org/draft-07/schema#"


def schema() -> JsonSchema:
    """Return the JSON Schema of the whole file."""
    defaults = {key: each for key, each in _properties(ScheduleKeys).items() if key not in NO_DEFAULTS}
    schedules = {
        "type": "object",
        "propertyNames": {"pattern": NAME},
        "additionalProperties": optional({"$ref": "#/definitions/schedule"}),
    }
    return {
        "$schema": DRAFT,
        "title": "The schedule file of reactorhub",
        "definitions": {"schedule": {**_object(_properties(ScheduleKeys)), "allOf": _between_keys()}},
        **_object(
            {
                "hub": optional(_object(_properties(HubKeys))),
                "defaults": optional(_object(defaults)),
                "schedules": optional(schedules),
            }
        ),
        "type": ["object", "null"],
    }


def schema_text() -> str:
    """Return the JSON Schema as it is shipped."""
    return json.dumps(schema(), indent=2) + "\n"


def _between_keys() -> list[JsonSchema]:
    """A schedule has at most one trigger, and only an interval has an anchor."""
    pairs = [(one, other) for one in TRIGGERS for other in TRIGGERS if one < other]
    return [
        *({"not": {"required": list(pair)}} for pair in pairs),
        {"dependencies": {"anchor": ["interval"]}},
    ]


def _object(properties: JsonSchema) -> JsonSchema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _properties(model: type[Keys]) -> JsonSchema:
    return {
        key: _value(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)
        for key, field in model.model_fields.items()
    }


def _value(kind: Any) -> JsonSchema:
    """Return the schema of a value by its annotation. The file cannot say None: it leaves the key out."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        readers = [mark for mark in marks if isinstance(mark, Reads)]
        return readers[0].schema(lambda: _value(inner)) if readers else _value(inner)
    if get_origin(kind) is list:
        return {"type": "array", "items": _value(get_args(kind)[0])}
    if get_origin(kind) is dict:
        name, each = get_args(kind)
        names = {} if name is str else {"propertyNames": _value(name)}
        return {"type": "object", **names, "additionalProperties": _value(each)}
    if NoneType in get_args(kind):
        return _value(get_args(kind)[0])
    if isinstance(kind, type) and issubclass(kind, Keys):
        return _object(_properties(kind))
    raise TypeError(f"{kind!r} has no reader; mark it with {Reads.__name__} in reactorhub.config.keys")
