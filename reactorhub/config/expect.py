"""Reads the key ``expect``: each expectation is checked, and kept as it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reactorhub.config.json_schema import LINE, JsonSchema, any_of, optional, text
from reactorhub.config.places import KeyPath
from reactorhub.config.values import NestedError, line, single
from reactorhub.config.yaml_source import Kind, Scalar, Tree
from reactorhub.policies.comparisons import EXAMPLES
from reactorhub.policies.expectations import FIELDS, FINISH_REASON, MAX_EXPECTATIONS, parse, parse_field

Found = list[tuple[KeyPath, str]]
Parse = Callable[[str, object], object]

_COMPARISON = any_of({"type": "number"}, text(r"^\s*([<>]|[=!]=)"))
EXPECT: JsonSchema = optional(
    {
        "type": "object",
        "properties": {
            FINISH_REASON: any_of(LINE, {"type": "array", "items": LINE, "minItems": 1}),
            FIELDS: optional({"type": "object", "additionalProperties": _COMPARISON}),
        },
        "additionalProperties": _COMPARISON,
    }
)
"""What :func:`expectations` accepts, in JSON Schema."""


def expectations(raw: Tree) -> dict[str, Any]:
    """Read the expectations of a schedule: texts and numbers by metric, and by field under ``fields``.

    :raises NestedError: with every mistake and its path.
    """
    found: Found = []
    tree = _mapping(raw, "metrics", (), found)
    expect = _read({key: value for key, value in tree.items() if key != FIELDS}, parse, (), found)
    if FIELDS in tree:
        fields = _mapping(tree[FIELDS], "fields", (FIELDS,), found)
        expect[FIELDS] = _read(fields, parse_field, (FIELDS,), found)
    if len(expect) + len(expect.get(FIELDS, ())) > MAX_EXPECTATIONS:
        found.append(((), f"has more than {MAX_EXPECTATIONS} expectations; write fewer"))
    if found:
        raise NestedError(found)
    return expect


def merged(own: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the expectations of a schedule into the defaults, metric by metric and field by field."""
    expect = {**common, **own}
    if FIELDS in expect:
        expect[FIELDS] = {**common.get(FIELDS, {}), **own.get(FIELDS, {})}
    return expect


def _mapping(raw: Tree, what: str, path: KeyPath, found: Found) -> dict[str, Tree]:
    if isinstance(raw, dict):
        return raw
    if not isinstance(raw, Scalar) or raw.kind not in (Kind.NULL, Kind.BROKEN):
        found.append((path, f"must be a mapping of {what} to expectations"))
    return {}


def _read(tree: dict[str, Tree], parse: Parse, path: KeyPath, found: Found) -> dict[str, Any]:
    expected: dict[str, Any] = {}
    for name, raw in tree.items():
        try:
            expected[name] = _expected(name, raw)
            parse(name, expected[name])
        except ValueError as error:
            if not isinstance(raw, Scalar) or raw.kind is not Kind.BROKEN:
                found.append(((*path, name), _said(str(error), raw)))
    return expected


def _expected(name: str, raw: Tree) -> object:
    """Return a text or a number, or a list of texts for several finish reasons."""
    if name == FINISH_REASON and isinstance(raw, list):
        return [line(each) for each in raw]
    scalar = single(raw)
    return scalar.value if scalar.kind in (Kind.WHOLE, Kind.FRACTION, Kind.FLAG) else scalar.text


def _said(message: str, raw: Tree) -> str:
    """Return the message, without the value of a variable, which may be a secret."""
    scalars = [each for each in (raw if isinstance(raw, list) else [raw]) if isinstance(each, Scalar)]
    hiding = next((each for each in scalars if each.text != each.written), None)
    return message if hiding is None else f"{hiding.shown} cannot be read; {EXAMPLES}"
