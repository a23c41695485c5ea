"""The positions of keys and values in a file, and the mistakes found there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeVar

from reactorhub.errors import ConfigError, Mistake, shortened

KeyPath = tuple[str | int, ...]
Place = tuple[int, int]

MAX_MISTAKES = 1_000  # more than anybody reads; a file of another kind may have millions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Positions:
    """The positions of keys and values in a file. Lines and columns count from 1."""

    file: str
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    filled: dict[KeyPath, tuple[str, str]] = field(default_factory=dict)
    """Values with variables in them: the value, and the text that mistakes show."""

    def mistake(self, path: KeyPath, message: str, *, at_key: bool = False) -> Mistake:
        """Return a mistake at the value of ``path``, or at its key.

        If the file does not have it, the mistake is at the nearest parent.
        """
        line, column = self._nearest(path, at_key)
        held, shown = self.filled.get(path, ("", ""))
        hidden = message.replace(repr(held), shown) if held else message  # it may be a secret
        return Mistake(self.file, line, column, shown_path(path), hidden)

    def item(self, path: KeyPath, index: int) -> KeyPath:
        """Return the path of an item of a list, or of the single value that stands for a list of one."""
        return (*path, index) if (*path, index) in self.values else path

    def _nearest(self, path: KeyPath, at_key: bool) -> Place:
        first, second = (self.keys, self.values) if at_key else (self.values, self.keys)
        for end in range(len(path), -1, -1):
            place = first.get(path[:end]) or second.get(path[:end])
            if place:
                return place
        return (1, 1)


class Report:
    """The mistakes found so far in one file."""

    def __init__(self, positions: Positions) -> None:
        self.positions = positions
        self._found: dict[Mistake, None] = {}

    def add(self, mistake: Mistake) -> None:
        """Add a mistake, unless it has been added before.

        :raises ConfigError: with all mistakes, once there are ``MAX_MISTAKES``.
        """
        self._found[mistake] = None
        if len(self._found) >= MAX_MISTAKES:
            last = max(self._found)
            message = "there may be more mistakes; fix these first"
            more = Mistake(last.file, last.line, last.column, "", message)
            raise ConfigError([*self._found, more])

    def note(self, path: KeyPath, message: str, *, at_key: bool = False) -> None:
        """Add a mistake at the position of ``path``."""
        self.add(self.positions.mistake(path, message, at_key=at_key))

    def conclude(self) -> None:
        """Raise if there are mistakes.

        :raises ConfigError: with all of them.
        """
        if self._found:
            raise ConfigError(self._found)


def noted(build: Callable[[], T], path: KeyPath, report: Report, *, at_key: bool = False) -> T | None:
    """Return the result of ``build``; if it raises :exc:`ValueError`, report the mistake and return None."""
    try:
        return build()
    except ValueError as error:
        report.note(path, str(error), at_key=at_key)
        return None


def shown_path(path: KeyPath) -> str:
    """Return ``path`` as people write it: ``schedules.prices.tags[0]``."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            name = part if part.isprintable() else ascii(part)
            shown += ("." if shown else "") + shortened(name, 100)
    return shown


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that suggests the known word closest to ``word``, if there is one."""
    by_small = {each.lower(): each for each in known}
    near = get_close_matches(word.lower(), by_small, n=1) if len(word) <= 100 else []
    return f"; did you mean {by_small[near[0]]!r}?" if near else ""
