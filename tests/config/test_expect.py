"""The key ``expect`` of the schedule file: what is kept of it, and where its mistakes are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.config.expect import expectations, merged
from reactorhub.config.yaml_source import read_yaml
from reactorhub.policies.expectations import MAX_EXPECTATIONS, read
from tests.config.config_cases import in_schedule, mistakes, only
from tests.config.config_cases import read as read_file

LIKE = 'write it like ">= 100", "< 30m", ">= 95%" or ">= 0.7 * median(10)"'
BEGINS = f"does not begin with one of ==, !=, <, <=, >, >=; {LIKE}"
REASON = "must be a reason to finish, or a list of them, such as finished"
SHARE = 'a share is at most 100%; write it with a %, like ">= 95%"'


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("{items: '>= 100'}", {"items": ">= 100"}),
        ("{items: 100, errors: 0.5}", {"items": 100, "errors": 0.5}),
        ("{finish_reason: finished}", {"finish_reason": "finished"}),
        ("{finish_reason: [finished, closespider_x]}", {"finish_reason": ["finished", "closespider_x"]}),
        ("{response/404: '< 5'}", {"response/404": "< 5"}),
        ("{fields: {price: '>= 95%', a.b: 1}}", {"fields": {"price": ">= 95%", "a.b": 1}}),
        ("{items: '<= ${N}'}", {"items": "<= 4"}),
        ("{fields: }", {"fields": {}}),
        ("{}", {}),
        ("", {}),
    ],
)
def test_it_is_kept_as_it_is_written(text: str, kept: dict[str, Any]) -> None:
    """A run carries texts and numbers, with variables filled in."""
    assert only(f"expect: {text}").spec.expect == kept
    read(kept)


def test_over_defaults() -> None:
    """Metrics are merged one by one, and fields too; without either nothing is expected."""
    text = "defaults: {expect: {items: '>= 1', errors: 0, fields: {price: '>= 95%', name: 1}}}\n"
    text += "schedules: {a: {spider: s, expect: {items: '>= 9', fields: {name: '>= 50%'}}}, b: {spider: s}}"
    schedules = read_file(text).schedules
    assert schedules["a"].spec.expect == {
        "items": ">= 9",
        "errors": 0,
        "fields": {"price": ">= 95%", "name": ">= 50%"},
    }
    assert schedules["b"].spec.expect["items"] == ">= 1"
    assert only("queue: default").spec.expect == {}
    assert merged({"items": 1}, {}) == {"items": 1}


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("{items: 100 or more}", f"items: '100 or more' {BEGINS}"),
        ("{items: '>= 0.7 * medain(10)'}", "items: there is no function 'medain'; did you mean 'median'?"),
        ("{items: '>= 3 / 0'}", f"items: it divides by zero; {LIKE}"),
        ("{items: true}", f"items: must be a comparison; {LIKE}"),
        ("{items: }", "items: is empty; write a value, or remove the key"),
        ("{items: [1]}", "items: must be one value, not a list"),
        ("{items: {min: 1}}", "items: must be one value, not a mapping"),
        ("{errors: 1_000}", f"errors: '1_000' {BEGINS}"),
        ("{item: 1}", "item: there is no metric 'item'; did you mean 'items'?"),
        ("{finish_reason: 3}", f"finish_reason: {REASON}"),
        ("{finish_reason: [3]}", "finish_reason: must be text; put '3' in quotes"),
        ("{fields: {price: '>= 95'}}", f"fields.price: {SHARE}"),
        ("{fields: {a..b: 1}}", "fields.a..b: 'a..b' is not a field; write name, or outer.inner"),
        ("{fields: '>= 95%'}", "fields: must be a mapping of fields to expectations"),
    ],
)
def test_mistakes(text: str, mistake: str) -> None:
    """Each is told with the place of the very value, in a sentence."""
    assert in_schedule(f"expect: {text}") == [f"schedules.a.expect.{mistake}"]


def test_a_section_that_is_none() -> None:
    """A list, or a text, where the metrics should be."""
    message = "schedules.a.expect: must be a mapping of metrics to expectations"
    assert in_schedule("expect: '>= 100'") == in_schedule("expect: [items]") == [message]


def test_all_mistakes_at_once() -> None:
    """Every value has its own line and column, in defaults too."""
    text = "defaults:\n  expect: {items: many}\nschedules:\n  a:\n    spider: s\n"
    text += "    expect:\n      errors: '== '\n      fields: {price: 7}\n"
    assert [line.rpartition(" write it")[0].split(": ")[:2] for line in mistakes(text)] == [
        ["2:19", "defaults.expect.items"],
        ["7:15", "schedules.a.expect.errors"],
        ["8:23", "schedules.a.expect.fields.price"],
    ]


def test_too_many() -> None:
    """There is a bound, fields included, and what is just within it is read."""
    fields = ", ".join(f"f{n}: 1" for n in range(MAX_EXPECTATIONS - 1))
    assert len(only(f"expect: {{fields: {{{fields}}}}}").spec.expect["fields"]) == MAX_EXPECTATIONS - 1
    (mistake,) = in_schedule(f"expect: {{items: 1, fields: {{{fields}}}}}")
    assert mistake == f"schedules.a.expect: has more than {MAX_EXPECTATIONS} expectations; write fewer"


def test_secrets_are_not_shown() -> None:
    """What a variable held stands in no mistake."""
    (mistake,) = in_schedule("expect: {items: '>= ${SECRET}'}")
    assert mistake == f"schedules.a.expect.items: the value of >= ${{SECRET}} cannot be read; {LIKE}"
    (listed,) = in_schedule("expect: {finish_reason: [finished, '=${SECRET}']}")
    assert "hunter2" not in listed


def test_what_was_refused_before_is_not_told_again() -> None:
    """A variable that is not set is one mistake."""
    (mistake,) = in_schedule("expect: {items: '${GONE}'}")
    assert "GONE" in mistake and "does not begin" not in mistake


def mapped(entries: dict[str, str]) -> str:
    """The text of a mapping."""
    return "{" + ", ".join(f"'{name}': {value}" for name, value in entries.items()) + "}"


names = st.sampled_from(["items", "fields", "finish_reason", "x", "item", ""])
values = st.recursive(
    st.sampled_from(["'>= 3'", "'== 95%'", "3", "0.5", "true", "~", "finished", "'>'", "08", "''"]),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda found: f"[{', '.join(found)}]")
        | st.dictionaries(names, inner, max_size=2).map(mapped)
    ),
    max_leaves=5,
)


@given(values)
def test_anything_is_read_or_refused(text: str) -> None:
    """Whatever stands there is kept so that a run can be judged by it, or refused with sentences."""
    tree = read_yaml(f"a: {text}", "schedule.yaml", {}).tree["a"]
    try:
        expect = expectations(tree)
    except ValueError as error:
        assert str(error)
    else:
        read(expect)
