"""Where the keys and values of a file stand, and the mistakes found at these places."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeVar

from reactorhub.errors import ConfigError, Mistake

KeyPath = tuple[str | int, ...]
Place = tuple[int, int]

MAX_MISTAKES = 1_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Positions:
    """Where the keys and values of a file stand. Lines and columns count from 1."""

    file: str
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    filled: dict[KeyPath, tuple[str, str]] = field(default_factory=dict)
    """Values that variables are part of: what they are, and how a mistake may name them."""

    def mistake(self, path: KeyPath, message: str, *, at_key: bool = False) -> Mistake:
        """Return a mistake at the value that ``path`` leads to, or at its key; at the nearest parent where
        the file has no such place."""
        line, column = self._nearest(path, at_key)
        held, shown = self.filled.get(path, ("", ""))
        hidden = message.replace(repr(held), shown) if held else message  # it may be a secret
        return Mistake(self.file, line, column, shown_path(path), hidden)

    def item(self, path: KeyPath, index: int) -> KeyPath:
        """Return the way to one of several values, which may stand in a list, or alone in place of one."""
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
        """Note a mistake; the same one twice counts once.

        :raises ConfigError: with all that was found, once there are more than anybody would read.
        """
        self._found[mistake] = None
        if len(self._found) >= MAX_MISTAKES:
            last = max(self._found)
            message = "there may be more mistakes; fix these first"
            more = Mistake(last.file, last.line, last.column, "", message)
            raise ConfigError([*self._found, more])

    def note(self, path: KeyPath, message: str, *, at_key: bool = False) -> None:
        """Note a mistake at the place that ``path`` leads to."""
        self.add(self.positions.mistake(path, message, at_key=at_key))

    def conclude(self) -> None:
        """Return if all is well.

        :raises ConfigError: with all that was found.
        """
        if self._found:
            raise ConfigError(self._found)


def noted(build: Callable[[], T], path: KeyPath, report: Report, *, at_key: bool = False) -> T | None:
    """Return what ``build`` gives; put what it complains of into the report and return None."""
    try:
        return build()
    except ValueError as error:
        report.note(path, str(error), at_key=at_key)
        return None


def shorten(text: str, limit: int = 60) -> str:
    """Return ``text`` cut to ``limit`` characters, so that a message stays a line."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shown_path(path: KeyPath) -> str:
    """Return ``path`` as people write it: ``schedules.prices.tags[0]``."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            name = part if part.isprintable() else ascii(part)
            shown += ("." if shown else "") + shorten(name, 100)
    return shown


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the known word next to ``word``, or nothing."""
    by_small = {each.lower(): each for each in known}
    near = get_close_matches(word.lower(), by_small, n=1) if len(word) <= 100 else []
    return f"; did you mean {by_small[near[0]]!r}?" if near else ""
