"""The schema for editors: it is the shipped one, it takes what the hub takes, and refuses the usual slips."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub import config
from reactorhub.config.keys import ARG_NAME, HubKeys, Keys, RetryKeys, ScheduleKeys
from reactorhub.config.schema import _value, schema, schema_text
from reactorhub.config.values import MOMENT, NAME, duration, moment, name
from reactorhub.config.yaml_source import Kind, Scalar, read_yaml
from reactorhub.model.run import arg_name
from reactorhub.triggers.durations import PATTERN as DURATION
from tests.docs.docs_runner import blocks
from tests.docs.test_docs import PAGES, whole_file

SHIPPED = Path(config.__file__).with_name("schema.json")
SCHEMA = schema()
KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "number": int | float,
    "integer": int,
    "null": type(None),
}
ANNOTATIONS = {"$schema", "title", "definitions"}
EXAMPLES = [
    pytest.param(whole_file(block), id=block.where)
    for page in PAGES
    for block in blocks(page)
    if block.kind == "yaml" and "broken" not in block.options
]


def faults(value: Any, rule: dict[str, Any], path: str = "") -> list[str]:
    """Return where a value breaks a rule of JSON Schema. It knows the words that our schema uses."""
    unknown = rule.keys() - JUDGES.keys() - ANNOTATIONS
    assert not unknown, f"teach this test {unknown}"
    return [fault for word in rule if word in JUDGES for fault in JUDGES[word](value, rule, path)]


def _type(value: Any, rule: dict[str, Any], path: str) -> list[str]:
    kinds = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
    fits = any(
        isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))
        for kind in kinds
    )
    return [] if fits else [f"{path} is not {kinds}"]


def _ref(value: Any, rule: dict[str, Any], path: str) -> list[str]:
    return faults(value, SCHEMA["definitions"][rule["$ref"].removeprefix("#/definitions/")], path)


def _any_of(value: Any, rule: dict[str, Any], path: str) -> list[str]:
    found = [faults(value, each, path) for each in rule["anyOf"]]
    return [] if not all(found) else found[0]


def _all_of(value: Any, rule: dict[str, Any], path: str) -> list[str]:
    return [fault for each in rule["allOf"] for fault in faults(value, each, path)]


def _properties(value: Any, rule: dict[str, Any], path: str) -> list[str]:
    if not isinstance(value, dict):
        return []
    known = rule["properties"]
    return [f for key in value if key in known for f in faults(value[key], known[key], f"{path}.{key}")]


def _others(value: Any, rule: dict[str, Any], path: str) -> list[str]:
    others = value.keys() - rule.get("properties", {}).keys() if isinstance(value, dict) else set()
    if rule["additionalProperties"] is False:
        return [f"{path}.{key} is unknown" for key in others]
    return [f for key in others for f in faults(value[key], rule["additionalProperties"], f"{path}.{key}")]


def _names(value: Any, rule: dict[str, Any], path: str) -> list[str]:
    return [
        f for key in (value if isinstance(value, dict) else ()) for f in faults(key, rule["propertyNames"])
    ]


def _items(value: Any, rule: dict[str, Any], path: str) -> list[str]:
    return [
        f for each in (value if isinstance(value, list) else ()) for f in faults(each, rule["items"], path)
    ]


def _dependencies(value: Any, rule: dict[str, Any], path: str) -> list[str]:
    needed = rule["dependencies"].items() if isinstance(value, dict) else ()
    return [f"{path}.{key} alone" for key, others in needed if key in value and set(others) - value.keys()]


def _simple(word: str, holds: Any) -> Any:
    return lambda value, rule, path: [] if holds(value, rule[word]) else [f"{path}: {word}"]


JUDGES: dict[str, Any] = {
    "type": _type,
    "$ref": _ref,
    "anyOf": _any_of,
    "allOf": _all_of,
    "properties": _properties,
    "additionalProperties": _others,
    "propertyNames": _names,
    "items": _items,
    "dependencies": _dependencies,
    "not": _simple("not", faults),
    "required": _simple(
        "required", lambda value, keys: not isinstance(value, dict) or set(keys) <= value.keys()
    ),
    "pattern": _simple("pattern", lambda value, text: not isinstance(value, str) or re.search(text, value)),
    "minimum": _simple("minimum", lambda value, low: not isinstance(value, int | float) or value >= low),
    "maximum": _simple("maximum", lambda value, high: not isinstance(value, int | float) or value <= high),
    "minItems": _simple("minItems", lambda value, least: not isinstance(value, list) or len(value) >= least),
    "enum": _simple("enum", lambda value, members: value in members),
    "const": _simple("const", lambda value, only: value == only),
}


def as_editors_see(tree: Any) -> Any:
    """Return a tree as an editor's parser has it: by the types of YAML 1.2, variables not filled in."""
    match tree:
        case dict():
            return {key: as_editors_see(value) for key, value in tree.items()}
        case list():
            return [as_editors_see(value) for value in tree]
        case Scalar():
            return tree.written if "${" in tree.written else tree.value
    return tree


def judged(text: str) -> list[str]:
    """Return what the schema has against a file."""
    return faults(as_editors_see(read_yaml(text, "schedule.yaml", AnyVariable()).tree), SCHEMA)


class AnyVariable(dict[str, str]):
    """An environment in which every variable is set."""

    def get(self, name: str, default: object = None) -> str:
        return name


def test_the_shipped_file_is_the_generated_one() -> None:
    """The file in the package is what ``reactorhub schema`` prints."""
    again = "the keys have changed: reactorhub schema > reactorhub/config/schema.json"
    assert SHIPPED.read_text("utf-8") == schema_text(), again
    assert json.loads(schema_text()) == SCHEMA


def test_the_shipped_schedule_file_passes() -> None:
    """The schedule file that comes with the project is right in an editor's eyes."""
    assert judged((Path(config.__file__).parents[2] / "schedule.yaml").read_text("utf-8")) == []


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_of_the_docs_pass(text: str) -> None:
    """Whatever the docs show as a schedule file, or as a part of one, is right in an editor's eyes."""
    assert judged(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hub:\ndefaults:\nschedules:\n",
        "schedules: {a: }",
        "hub: {max_concurrent_runs: '${N:-4}'}",
        "schedules: {a: {spider: s, enabled: '${ON}', interval: '${EVERY:-6h}', queue: 'q-${Q}'}}",
        "schedules: {a: {spider: s, args: {page: 1, deep: true, text: ''}, settings: {X: {y: [1, null]}}}}",
        "schedules: {a: {spider: s, cron: ['@daily', '0 0 * * *'], tags: []}}",
        "schedules: {a: {spider: s, at: 2026-12-01T08:00:00, run_on_start: false}}",
        "schedules: {a: {spider: s, retry: {delay: 1m, backoff: 1.5, on: failed}, exclude: 2026-12-24}}",
        "schedules: {a: {spider: s, expect: {items: '>= 9', errors: 0, finish_reason: [a], x: '${X}'}}}",
        "defaults: {expect: {finish_reason: finished, fields: {price: '>= 95%', 'a.b': 1}}}",
        "defaults: {expect: {fields: }}",
        "hub: {redis: embedded, projects: {p: }}",
        "hub: {redis: {embedded: true}}",
        "hub: {retention: {runs: 90d, logs: '${LOGS:-14d}'}}",
        "hub: {retention: }",
    ],
)
def test_good_files_pass(text: str) -> None:
    """Empty sections, variables and every kind of value pass."""
    assert judged(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "hubs: {}",
        "hub: {max_concurrent_runs: many}",
        "hub: {max_concurrent_runs: 0}",
        "hub: {redis: builtin}",
        "hub: {retention: 90d}",
        "hub: {retention: {runs: 90}}",
        "defaults: {interval: 6h}",
        "schedules: {'a b': {spider: s}}",
        "schedules: {a: {spidr: s}}",
        "schedules: {a: {spider: 7}}",
        "schedules: {a: {spider: s, interval: 90}}",
        "schedules: {a: {spider: s, interval: '90'}}",
        "schedules: {a: {spider: s, interval: 6h, cron: '@daily'}}",
        "schedules: {a: {spider: s, anchor: 2026-12-01T08:00:00}}",
        "schedules: {a: {spider: s, at: tomorrow}}",
        "schedules: {a: {spider: s, enabled: 'true'}}",
        "schedules: {a: {spider: s, overlap: never}}",
        "schedules: {a: {spider: s, cron: []}}",
        "schedules: {a: {spider: s, args: {name: x}}}",
        "schedules: {a: {spider: s, args: {x: null}}}",
        "schedules: {a: {spider: s, retry: {on: [succeeded]}}}",
        "schedules: {a: {spider: s, retry: {backoff: 0.5}}}",
        "schedules: {a: {spider: s, expect: {items: 100 or more}}}",
        "schedules: {a: {spider: s, expect: {items: true}}}",
        "schedules: {a: {spider: s, expect: {finish_reason: 3}}}",
        "schedules: {a: {spider: s, expect: {fields: {price: [1]}}}}",
        "schedules: [a]",
    ],
)
def test_slips_are_marked(text: str) -> None:
    """What an editor can know to be a mistake, it marks."""
    assert judged(text)


def test_every_key_is_in_the_schema() -> None:
    """Every key of every section can be completed."""
    schedule = SCHEMA["definitions"]["schedule"]["properties"]
    assert schedule.keys() == ScheduleKeys.model_fields.keys()
    assert schedule["retry"]["anyOf"][0]["properties"].keys() == RetryKeys.model_fields.keys()
    hub = SCHEMA["properties"]["hub"]["anyOf"][0]["properties"]
    assert hub.keys() == HubKeys.model_fields.keys()


def takes(reader: Any, text: str) -> bool:
    """Whether a reader takes a text."""
    try:
        reader(text if reader is arg_name else Scalar(text, Kind.TEXT, text))
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("reader", "pattern"), [(duration, DURATION), (moment, MOMENT), (name, NAME), (arg_name, ARG_NAME)]
)
@given(data=st.data())
def test_no_pattern_is_narrower_than_its_reader(reader: Any, pattern: str, data: st.DataObject) -> None:
    """A text that the hub takes matches the pattern an editor checks it by; most others do not."""
    alphabet = "0123456789.dhmsTZ:+-_ abc\nü"
    text = data.draw(st.one_of(st.text(alphabet, max_size=12), st.from_regex(pattern, fullmatch=True)))
    if takes(reader, text):
        assert re.search(pattern, text)


class NewKeys(Keys):
    """A section with a key that has no reader."""

    since: timedelta | None = None


def test_a_key_without_a_reader_is_an_error() -> None:
    """A key whose schema is not known is an error here, not a gap in the editor."""
    with pytest.raises(TypeError, match="timedelta'> has no reader"):
        _value(NewKeys)
