"""Every exception the hub raises. Each message says what is wrong and what to do."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class ReactorHubError(Exception):
    """The base of all errors that the hub raises on purpose."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake in the schedule file, with the place where to fix it."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ConfigError(ReactorHubError):
    """The schedule file cannot be used; ``mistakes`` has all of its mistakes, in file order."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class StartError(ReactorHubError):
    """The hub cannot start here: the data folder is in use, a port is taken, a program is missing."""


class UnreadableProject(ReactorHubError):
    """A project cannot be looked at: its folder is not there, or Scrapy does not start in it."""


class WrongReactor(ReactorHubError):
    """A reactor other than asyncio's was installed before the hub could install its own."""


class InvalidRequest(ReactorHubError):
    """A request has invalid fields; ``fields`` maps the name of each to a message."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{name}: {message}" for name, message in self.fields.items()))


class UnreadableBody(InvalidRequest):
    """The body of a request is neither JSON nor a form that can be read."""

    def __init__(self, message: str) -> None:
        super().__init__({"body": message})


class NotFound(ReactorHubError):
    """The hub does not have what the request names."""


class UnknownRun(NotFound):
    """There is no run with this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id!r}")


class UnknownSchedule(NotFound):
    """There is no schedule with this name in the schedule file."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no schedule {name!r}")


class UnknownBatch(NotFound):
    """There is no batch with this id."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"there is no batch {batch_id!r}")


class UnknownChannel(NotFound):
    """There is no channel with this name under ``hub.notify``."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no channel {name!r} under hub.notify")


class UnknownFeed(NotFound):
    """There is no feed with this key in Redis."""

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no feed {key!r}; GET /api/feeds lists all")


class UnknownSpider(NotFound):
    """No configured project has this spider, or several have it and the request names none of them."""


class IllegalTransition(ReactorHubError):
    """A run cannot move from its present state to the requested one."""


class QueueFull(ReactorHubError):
    """Too many runs wait already; try again later."""


class ShuttingDown(ReactorHubError):
    """The hub is stopping and accepts no new orders."""


class RedisError(ReactorHubError):
    """Redis did not answer, or refused a command."""


class LedgerError(ReactorHubError):
    """The ledger could not write or read; nothing of the order was recorded."""


class DeliveryError(ReactorHubError):
    """A channel could not deliver a notification. The message says why, without secrets of the channel.

    ``again`` says whether another attempt could succeed, and ``after`` how many seconds the receiver asks to
    wait first.
    """

    def __init__(self, message: str, *, again: bool, after: float | None = None) -> None:
        self.again = again
        self.after = after
        super().__init__(message)


class EscapedError(ReactorHubError):
    """Spider code raised an exception that would have ended the process, such as ``SystemExit``, or hung its
    crawl."""


MAX_LINE = 2000
"""The longest text of an exception that is kept, in characters: some exceptions contain a whole web page."""


def last_line(error: BaseException) -> str:
    """Return the last line that Python would print of this exception, its type and its message, cut to
    ``MAX_LINE`` characters."""
    return shortened(traceback.format_exception_only(error)[-1].strip(), MAX_LINE)


def shortened(text: str, limit: int = 60) -> str:
    """Return at most ``limit`` characters of a text; 60 of them fit into a message of one line.

    An ellipsis stands for the rest.
    """
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
