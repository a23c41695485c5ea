"""What the inbox needs of whoever turns its entries into runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Wanted:
    """The entry can become a run here. ``id`` is the sender's; None if the entry has none."""

    id: str | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The entry may be for another hub: there is no such spider here."""

    spider: str
    reason: str


@dataclass(frozen=True, slots=True)
class Bad:
    """The entry cannot become a run anywhere."""

    reason: str


Verdict = Wanted | Unknown | Bad


@dataclass(frozen=True, slots=True)
class Accepted:
    """The run of an entry is on disk. ``run_id`` is empty if that run has been deleted since."""

    run_id: str


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run that may not start yet. ``young`` says whether its id must still be known to Redis."""

    id: str
    run_id: str
    young: bool


class NotNow(Exception):
    """The entries cannot be accepted now, but later or elsewhere. The message says why.

    ``trouble`` is whether that is worth a line in the log: a full queue is not.
    """

    def __init__(self, message: str, *, trouble: bool) -> None:
        super().__init__(message)
        self.trouble = trouble


class InboxOwner(Protocol):
    """Turns the entries of the inbox into runs."""

    def places(self) -> int:
        """Return how many more entries can be accepted now."""

    def spiders(self) -> tuple[str, ...]:
        """Return what the spiders here are called, as :class:`Unknown` calls them."""

    def judge(self, entry: bytes) -> Verdict:
        """Return what is to be done with an entry."""

    def with_id(self, entry: bytes, entry_id: str) -> bytes:
        """Return an entry that is as good as this one and has this id."""

    async def accept(self, entries: Sequence[tuple[str, bytes]]) -> list[Accepted | Bad | Unknown]:
        """Make the runs of entries, given with their ids, durable. They may not start yet.

        The same id always gives the same run, whatever the entry says now.

        :raises NotNow: if not one of the runs is on disk.
        """

    def held(self) -> Sequence[HeldRun]:
        """Return the runs that may not start yet."""

    def confirm(self, run_ids: Sequence[str]) -> None:
        """Let runs start."""

    def withdraw(self, run_id: str, reason: str) -> None:
        """Cancel a run that may not start yet, so that it never does."""


class LimitsOwner(Protocol):
    """Takes the limits that are set in Redis."""

    async def hear_limits(self, words: Mapping[str, str], *, data_lost: bool) -> None:
        """Take what Redis says now.

        :param words: all limits, by name, as texts.
        :param data_lost: whether Redis has lost its data, so that a limit that is gone means nothing.
        :raises NotNow: if they cannot be taken now. They come again.
        """
