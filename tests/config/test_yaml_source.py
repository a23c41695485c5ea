"""YAML text becomes a plain tree with places; whatever a schedule file has no use for is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.config.substitution import substitute
from reactorhub.config.yaml_source import MAX_DEPTH, Kind, Scalar, kind_of, read_yaml
from reactorhub.errors import ConfigError

ENVIRON = {"NAME": "shop", "EMPTY": "", "COUNT": "4", "WORD": "on", "NESTED": "${NAME}", "BYTES": "a\udcff"}


def plain(tree: Any) -> Any:
    """The tree with each scalar's own value in its place."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [plain(value) for value in tree]
    return tree.value if isinstance(tree, Scalar) else tree


def mistakes(text: str) -> list[str]:
    """What reading ``text`` reports, file name aside."""
    try:
        read_yaml(text, "f", ENVIRON).report.conclude()
    except ConfigError as error:
        return [str(mistake).removeprefix("f:") for mistake in error.mistakes]
    return []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Kind.NULL),
        ("~", Kind.NULL),
        ("null", Kind.NULL),
        ("true", Kind.FLAG),
        ("false", Kind.FLAG),
        ("0", Kind.WHOLE),
        ("-12", Kind.WHOLE),
        ("0.5", Kind.FRACTION),
        ("1e3", Kind.FRACTION),
        ("1e999", Kind.TRAP),
        (".inf", Kind.TRAP),
        ("on", Kind.TRAP),
        ("No", Kind.TRAP),
        ("True", Kind.TRAP),
        ("010", Kind.TRAP),
        ("0x1F", Kind.TRAP),
        ("1_000", Kind.TRAP),
        ("12:30", Kind.TRAP),
        ("12:30:00", Kind.TRAP),
        ("2026-12-01", Kind.TRAP),
        ("=", Kind.TRAP),
        ("tcp:6800", Kind.TEXT),
        ("15m", Kind.TEXT),
        ("prices", Kind.TEXT),
        ("nullable", Kind.TEXT),
    ],
)
def test_kinds(text: str, kind: Kind) -> None:
    """Only true and false are truth values, numbers are decimal, and YAML 1.1's own readings are traps."""
    assert kind_of(text) is kind


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", None),
        ("# only a comment\n", None),
        ("---\n...\n", None),
        ("\ufeffa: 1", {"a": 1}),
        ("a: 1\r\nb: [true, null, 0.5, x]\r\n", {"a": 1, "b": [True, None, 0.5, "x"]}),
        ("a: {b: '1', c: \"true\"}", {"a": {"b": "1", "c": "true"}}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ("'on': 1\n\"5\": 2", {"on": 1, "5": 2}),
        ("a: ${COUNT}\nb: '${COUNT}'", {"a": 4, "b": "4"}),
        ("${NAME}: 1", {"${NAME}": 1}),
        ("a: ${EMPTY}", {"a": ""}),
    ],
)
def test_trees(text: str, tree: Any) -> None:
    """A document is read to dicts with text keys, lists and scalars; variables go into values only."""
    assert plain(read_yaml(text, "f", ENVIRON).tree) == tree
    assert mistakes(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", ["3:1: a: duplicate key 'a'; the first is on line 1"]),
        (
            "a: {b: 1}\na: {b: 2}\n",
            ["2:1: a: duplicate key 'a'; the first is on line 1"],
        ),
        ("a: &x 1", ["1:4: a: anchors are not supported; remove it, or put a text with & in quotes"]),
        (
            "a: [b, *x]",
            ["1:8: a[1]: aliases are not supported; write the value out, or put a text with * in quotes"],
        ),
        ("a:\n  <<: *x", ["2:3: a: merge keys (<<) are not supported; write the keys out"]),
        ("a: !!str 1", ["1:4: a: tags are not supported; remove it, or put a text with ! in quotes"]),
        (
            "a: !!python/object:os.system x",
            ["1:4: a: tags are not supported; remove it, or put a text with ! in quotes"],
        ),
        ("a: 1\n---\nb: 1", ["2:1: a second document starts here; write everything into the first"]),
        ("5: a", ['1:1: a key must be text; write "5" in quotes']),
        ("a:\n  off: b", ['2:3: a: a key must be text; write "off" in quotes']),
        ("[a]: b", ["1:1: a key must be a single text"]),
        ("a: ${NOPE} ${NO}", ["1:4: a: set the environment variable NOPE, NO, or write ${NOPE:-default}"]),
        ("a: ${BYTES}", ["1:4: a: the value is not valid Unicode; write it in UTF-8"]),
        (
            "a: '${1x}'",
            ["1:4: a: '${1x}' is not a variable; write ${NAME} or ${NAME:-default}; $${ gives ${ itself"],
        ),
        (
            "a: ${NAME",
            ["1:4: a: '${NAME' is not a variable; write ${NAME} or ${NAME:-default}; $${ gives ${ itself"],
        ),
        ("a: \x07", ["1:4: the character U+0007 is not allowed in YAML; remove it"]),
        ("a: 1\nb: \udcff", ["2:4: the character U+DCFF is not allowed in YAML; remove it"]),
    ],
)
def test_refusals(text: str, expected: list[str]) -> None:
    """What a schedule file has no use for is refused at its place."""
    assert mistakes(text) == expected


@pytest.mark.parametrize(
    ("text", "place", "advice"),
    [
        ("cron: */15 * * * *", "1:7", "put a value that starts with * in quotes"),
        ("a: 1\ncron: @daily", "2:7", "put a value that starts with @ in quotes"),
        ("a: {b: ${NAME}}", "1:9", "inside { } and [ ] put ${NAME} in quotes"),
        ("a:\n\t- b", "2:1", "indent with spaces, not with tabs"),
        ("a: b: c", "1:5", "put a value that contains a colon and a space in quotes"),
        ("a:\n  - 1\n b: 2", "3:2", "mind the indentation, and close every quote and bracket"),
        ("a: 1\nb: {c: 'd}\ne: 2\n", "2:8", "mind the indentation, and close every quote and bracket"),
        ('a: "b\nc: "d"\n', "2:5", "mind the indentation, and close every quote and bracket"),
    ],
)
def test_syntax(text: str, place: str, advice: str) -> None:
    """Text that is no YAML is one mistake at its place, with advice for the usual slips."""
    (mistake,) = mistakes(text)
    assert mistake.startswith(f"{place}: this is not YAML (")
    assert mistake.endswith(advice)


def test_what_is_not_closed_is_named() -> None:
    """Where a bracket is missed only later, the line on which it was opened is told."""
    (mistake,) = mistakes("a: 1\nb: {c: d\ne: 2\n")
    assert mistake.startswith(
        "3:2: this is not YAML (while parsing a flow mapping from line 2 on did not find"
    )


def test_mistakes_come_together() -> None:
    """Several refusals in one file are reported at once, in file order."""
    places = [mistake.split(" ")[0] for mistake in mistakes("a: &x 1\nb: *x\na: !t 2\n")]
    assert places == ["1:4:", "2:4:", "3:1:", "3:4:"]


@pytest.mark.parametrize("text", ["[" * 100_000, "a: " + "{a: " * 50_000, "? " * 100_000])
def test_depth_is_capped(text: str) -> None:
    """Nesting costs nothing beyond the cap: reading stops there."""
    (mistake,) = mistakes(text)
    assert f"at most {MAX_DEPTH} levels deep" in mistake


def test_size_is_capped() -> None:
    """A file with too many values is refused."""
    (mistake,) = mistakes("a: [" + "1," * 400_000 + "]")
    assert "at most 300000 values" in mistake


def test_mistakes_are_capped() -> None:
    """Nobody reads ten thousand mistakes: after a thousand the report ends and says so."""
    found = mistakes("a: 1\n" * 10_000)
    assert len(found) == 1_001
    assert any("there may be more mistakes" in mistake for mistake in found)


def test_places() -> None:
    """A scalar's place is its own, a section's is its name; an absent path has its nearest parent's."""
    positions = read_yaml("hub:\n  queues: {a: 1}\n  tags:\n    - x\n", "f", {}).report.positions
    where = {
        path: str(positions.mistake(path, "m"))
        for path in [
            ("hub",),
            ("hub", "queues", "a"),
            ("hub", "tags", 0),
            ("hub", "queues", "b", "c"),
            ("z",),
        ]
    }
    assert list(where.values()) == [
        "f:1:1: hub: m",
        "f:2:15: hub.queues.a: m",
        "f:4:7: hub.tags[0]: m",
        "f:2:3: hub.queues.b.c: m",
        "f:1:1: z: m",
    ]
    assert str(positions.mistake(("hub", "queues", "a"), "m", at_key=True)) == "f:2:12: hub.queues.a: m"


def test_a_mistake_stays_a_line() -> None:
    """Keys with line breaks or without end do not break the one-line format."""
    (mistake,) = mistakes('"a\\nb": *x')
    assert mistake.startswith("1:9: 'a\\nb': aliases")
    assert len(mistakes(f"{'k' * 900}: *x")[0]) < 250


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("no variables $ { } $NAME", "no variables $ { } $NAME"),
        ("${NAME}-${COUNT}", "shop-4"),
        ("${NOPE:-a b}", "a b"),
        ("${NOPE:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-x}", "x"),
        ("$${NAME}", "${NAME}"),
        ("$$${NAME}", "$${NAME}"),
        ("${NESTED}", "${NAME}"),
    ],
)
def test_substitution(text: str, filled: str) -> None:
    """Variables are filled in once, as in a shell; a doubled dollar keeps the reference."""
    assert substitute(text, ENVIRON) == filled


@given(st.text(st.characters(exclude_characters="$")))
def test_substitution_leaves_plain_text(text: str) -> None:
    """Text without a dollar sign is never changed."""
    assert substitute(text, {}) == text


@given(st.text())
def test_substitution_gives_the_value_untouched(value: str) -> None:
    """What a variable holds arrives as it is, whatever it looks like."""
    assert substitute("<${X}>", {"X": value}) == f"<{value}>"
