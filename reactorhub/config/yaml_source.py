"""Reads YAML text into a tree that keeps how each value was written, and all positions.

The tree consists of dicts with text keys, lists, and :class:`Scalar` values. Aliases, anchors, tags,
duplicate keys and keys that are not text are mistakes. This module does not know what keys mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import yaml

from reactorhub.config.places import KeyPath, Place, Positions, Report, shown_path
from reactorhub.config.substitution import substitute
from reactorhub.errors import ConfigError, Mistake, shortened

Tree = Any  # dict[str, Tree] | list[Tree] | Scalar, or None for an empty file

MAX_DEPTH = 20  # a Scrapy setting may nest; the tree is built by recursion
MAX_NODES = 300_000  # 10,000 schedules with 30 values each; more would block the reactor for long

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is about ten times faster
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
_FRACTION = re.compile(r"[-+]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)")
_TEXT_TAG = "tag:yaml.org,2002:str"
_tag_of: Callable[..., str] = yaml.SafeLoader("").resolve


class Kind(Enum):
    """The type of a scalar."""

    TEXT = "text"
    NULL = "nothing"
    FLAG = "a truth value"
    WHOLE = "a whole number"
    FRACTION = "a number"
    TRAP = "what YAML 1.1 reads in a way of its own, such as on, 12:30, 010 or 1_000"
    BROKEN = "refused already"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value: ``text`` has variables filled in, ``written`` is the text in the file."""

    text: str
    kind: Kind
    written: str

    @property
    def value(self) -> str | bool | int | float | None:
        """The value as its Python type; text if it has no other."""
        match self.kind:
            case Kind.NULL:
                return None
            case Kind.FLAG:
                return self.text == "true"
            case Kind.WHOLE:
                return int(self.text)
            case Kind.FRACTION:
                return float(self.text)
        return self.text

    @property
    def shown(self) -> str:
        """The value as mistakes show it, without the value of a variable, which may be a secret."""
        if self.text != self.written:
            return f"the value of {shortened(self.written)}"
        return repr(shortened(self.text))


@dataclass(frozen=True, slots=True)
class Source:
    """The tree of a document, and a report with its positions and the mistakes found so far."""

    tree: Tree
    report: Report


def read_yaml(text: str, file: str, environ: Mapping[str, str]) -> Source:
    """Read one document. Variables from ``environ`` are filled into values, not into keys.

    :raises ConfigError: if the text is not YAML, or is nested too deeply or too large.
    """
    text = text.removeprefix("\ufeff")
    if bad := _NOT_YAML.search(text):
        line, start = text.count("\n", 0, bad.start()) + 1, text.rfind("\n", 0, bad.start())
        message = f"the character U+{ord(bad.group()):04X} is not allowed in YAML; remove it"
        raise ConfigError([Mistake(file, line, bad.start() - start, "", message)])
    report = Report(Positions(file))
    try:
        return Source(_Builder(text, environ, report).document(), report)
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_mistake(error, text, file)]) from error


@lru_cache(maxsize=10_000)  # thousands of schedules share keys, spiders and times
def kind_of(text: str) -> Kind:
    """Return the type of ``text`` without quotes.

    As in YAML 1.2, only ``true`` and ``false`` are truth values and whole numbers are decimal. Text that YAML
    1.1 reads as something else is a trap.
    """
    if text in _NULLS:
        return Kind.NULL
    if text in ("true", "false"):
        return Kind.FLAG
    if _WHOLE.fullmatch(text):
        return Kind.WHOLE
    if _FRACTION.fullmatch(text):
        return Kind.FRACTION if math.isfinite(float(text)) else Kind.TRAP
    return Kind.TEXT if _tag_of(yaml.ScalarNode, text, (True, False)) == _TEXT_TAG else Kind.TRAP


class _Builder:
    """Builds the tree from the parser's events one at a time, so that a limit also stops the parser."""

    def __init__(self, text: str, environ: Mapping[str, str], report: Report) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._environ = environ
        self._report = report
        self._positions = report.positions
        self._nodes = 0

    def document(self) -> Tree:
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        tree = self._node(next(self._events), ())
        next(self._events)
        further = next(self._events)
        if isinstance(further, yaml.DocumentStartEvent):
            self._refuse(further, (), "a second document starts here; write everything into the first")
        return tree

    def _node(self, event: yaml.Event, path: KeyPath) -> Tree:
        self._guard(event, path)
        place = _place(event)
        if isinstance(event, yaml.CollectionStartEvent):  # a block's own mark is that of its first entry
            place = self._positions.keys.get(path, place)
        self._positions.values.setdefault(path, place)
        match event:
            case yaml.MappingStartEvent():
                return self._mapping(path)
            case yaml.SequenceStartEvent():
                return self._sequence(path)
            case yaml.ScalarEvent():
                return self._scalar(event, path)
        self._refuse(
            event, path, "aliases are not supported; write the value out, or put a text with * in quotes"
        )
        return Scalar("", Kind.BROKEN, "")

    def _guard(self, event: yaml.Event, path: KeyPath) -> None:
        """Report anchors and tags; give up if the file exceeds a limit."""
        self._nodes += 1
        if len(path) > MAX_DEPTH:
            self._give_up(event, f"values nest at most {MAX_DEPTH} levels deep; make the file flatter")
        if self._nodes > MAX_NODES:
            self._give_up(event, f"a file may have at most {MAX_NODES} values; make it smaller")
        if isinstance(event, yaml.AliasEvent):
            return
        if getattr(event, "anchor", None):
            self._refuse(event, path, "anchors are not supported; remove it, or put a text with & in quotes")
        if getattr(event, "tag", None):
            self._refuse(event, path, "tags are not supported; remove it, or put a text with ! in quotes")

    def _mapping(self, path: KeyPath) -> dict[str, Tree]:
        tree: dict[str, Tree] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key is None:
                self._skip((*path, "?"))
                continue
            inner = (*path, key)
            line, _ = self._positions.keys.setdefault(inner, _place(event))
            if key in tree:
                self._refuse(event, inner, f"duplicate key {shortened(key)!r}; the first is on line {line}")
            value = self._node(next(self._events), inner)
            tree.setdefault(key, value)
        return tree

    def _skip(self, path: KeyPath) -> None:
        """Skip the value of a key that was reported."""
        event = next(self._events)
        if not isinstance(event, yaml.AliasEvent):
            self._node(event, path)

    def _key(self, event: yaml.Event, path: KeyPath) -> str | None:
        """Return the text of a key, or None if the key was reported as a mistake."""
        if not isinstance(event, yaml.ScalarEvent):
            self._node(event, (*path, "?"))
            self._refuse(event, path, "a key must be a single text")
            return None
        self._guard(event, path)
        text: str = event.value
        if event.implicit[0] and text == "<<":
            self._refuse(event, path, "merge keys (<<) are not supported; write the keys out")
            return None
        if event.implicit[0] and kind_of(text) is not Kind.TEXT and text != "on":  # a key of retry
            self._refuse(event, path, f'a key must be text; write "{shortened(text)}" in quotes')
            return None
        return text

    def _sequence(self, path: KeyPath) -> list[Tree]:
        tree: list[Tree] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            tree.append(self._node(event, (*path, len(tree))))
        return tree

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> Scalar:
        written: str = event.value
        try:
            text = substitute(written, self._environ)
            if _SURROGATE.search(text):
                raise ValueError("the value is not valid Unicode; write it in UTF-8")
        except ValueError as error:
            self._refuse(event, path, str(error))
            return Scalar("", Kind.BROKEN, written)
        kind = kind_of(text) if event.implicit[0] else Kind.TEXT
        if kind is Kind.NULL and text != written:
            kind = Kind.TEXT  # an empty variable is an empty text, not a value left out
        scalar = Scalar(text, kind, written)
        if text != written:
            self._positions.filled[path] = (text, scalar.shown)
        return scalar

    def _refuse(self, event: yaml.Event, path: KeyPath, message: str) -> None:
        self._report.add(Mistake(self._positions.file, *_place(event), shown_path(path), message))

    def _give_up(self, event: yaml.Event, message: str) -> None:
        raise ConfigError([Mistake(self._positions.file, *_place(event), "", message)])


def _place(event: yaml.Event) -> Place:
    assert event.start_mark is not None
    return event.start_mark.line + 1, event.start_mark.column + 1


def _syntax_mistake(error: yaml.YAMLError, text: str, file: str) -> Mistake:
    """Word an error of the parser, with advice for common slips."""
    context, problem = getattr(error, "context", None) or "", getattr(error, "problem", None) or str(error)
    mark = getattr(error, "problem_mark", None)
    begun = getattr(error, "context_mark", None)
    if "alias" in context or "quoted scalar" in context:
        mark = begun
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines()
    rest = lines[line][max(column - 1, 0) :] if line < len(lines) else ""
    since = f" from line {begun.line + 1} on" if begun and begun.line != line else ""
    complaint = shortened(" ".join(f"{context}{since} {problem}".split()), 150)
    message = f"this is not YAML ({complaint}){_advice(rest, column, problem)}"
    return Mistake(file, line + 1, column + 1, "", message)


def _advice(rest: str, column: int, problem: str) -> str:
    """Say how to fix a common slip. ``rest`` is the line, from one character before the position."""
    before, at = (rest[:1], rest[1:2]) if column else ("", rest[:1])
    if before + at == "${":
        return "; inside { } and [ ] put ${NAME} in quotes"
    if at == "\t":
        return "; indent with spaces, not with tabs"
    if at in ("*", "@", "%", "`"):
        return f"; put a value that starts with {at} in quotes"
    if "mapping values" in problem:
        return "; put a value that contains a colon and a space in quotes"
    return "; mind the indentation, and close every quote and bracket"
