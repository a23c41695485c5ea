"""Turns the entries of the inbox into runs of the hub, and the limits in Redis into limits of the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from reactorhub.engine.protocols import Engine
from reactorhub.errors import InvalidRequest, LedgerError, QueueFull, ShuttingDown, UnknownSpider
from reactorhub.hub.hub import Hub
from reactorhub.model.run import Run, RunSpec
from reactorhub.redis.inbox.owner import (
    Accepted,
    Bad,
    HeldRun,
    InboxOwner,
    LimitsOwner,
    NotNow,
    Unknown,
    Verdict,
    Wanted,
)
from reactorhub.runs.dispatcher import Dispatcher
from reactorhub.runs.keyed import KeyedOrder
from reactorhub.wire.inbox import read_entry, why_not, with_id

_KEY = "inbox:"
_YOUNG = timedelta(days=6)  # less than the 7 days for which the inbox knows an id


class HubLimits:
    """The limits of a hub, for Redis to change."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def hear_limits(self, words: Mapping[str, str], *, data_lost: bool) -> None:
        """See LimitsOwner.hear_limits."""
        try:
            await self._hub.hear_limits(words, data_lost=data_lost)
        except LedgerError as error:
            raise NotNow(str(error), trouble=True) from error


class HubInbox:
    """The runs of a hub, for the inbox to add to."""

    def __init__(self, hub: Hub, dispatcher: Dispatcher, engine: Engine, now: Callable[[], datetime]) -> None:
        self._hub = hub
        self._dispatcher = dispatcher
        self._engine = engine
        self._now = now

    def places(self) -> int:
        """See InboxOwner.places."""
        return 0 if self._dispatcher.stopping else self._dispatcher.places

    def spiders(self) -> tuple[str, ...]:
        """See InboxOwner.spiders: each spider with its project, and alone where only one project has it."""
        spiders = self._engine.catalog().spiders
        alone = Counter(each.name for each in spiders)
        full = [_called(each.name, each.project) for each in spiders]
        return tuple(sorted([*full, *(name for name, count in alone.items() if count == 1)]))

    def judge(self, entry: bytes) -> Verdict:
        """See InboxOwner.judge."""
        read = self._read(entry)
        return read if isinstance(read, Bad | Unknown) else Wanted(read[0])

    def with_id(self, entry: bytes, entry_id: str) -> bytes:
        """See InboxOwner.with_id. An entry that cannot be read stays as it is."""
        try:
            return with_id(entry, entry_id)
        except InvalidRequest:
            return entry

    async def accept(self, entries: Sequence[tuple[str, bytes]]) -> list[Accepted | Bad | Unknown]:
        """See InboxOwner.accept."""
        orders = [self._order(entry_id, entry) for entry_id, entry in entries]
        refused = [
            _KEY + entry_id
            for (entry_id, _), order in zip(entries, orders, strict=True)
            if not isinstance(order, KeyedOrder)
        ]
        try:
            there = await self._dispatcher.keyed_runs(refused)
            runs = await self._dispatcher.submit_keyed(
                [order for order in orders if isinstance(order, KeyedOrder)], held=True
            )
        except (QueueFull, ShuttingDown) as error:
            raise NotNow(str(error), trouble=False) from error
        except LedgerError as error:
            raise NotNow(str(error), trouble=True) from error
        found = iter(runs)
        outcomes: list[Accepted | Bad | Unknown] = []
        for (entry_id, _), order in zip(entries, orders, strict=True):
            if isinstance(order, KeyedOrder):
                outcomes.append(_accepted(next(found)))
            elif _KEY + entry_id in there:
                outcomes.append(_accepted(there[_KEY + entry_id]))
            else:
                outcomes.append(order)
        return outcomes

    def held(self) -> list[HeldRun]:
        """See InboxOwner.held."""
        oldest = self._now() - _YOUNG
        return [
            HeldRun(run.key.removeprefix(_KEY), run.id, run.created_at > oldest)
            for run in self._dispatcher.held()
            if run.key is not None and run.key.startswith(_KEY)
        ]

    def confirm(self, run_ids: Sequence[str]) -> None:
        """See InboxOwner.confirm."""
        self._dispatcher.release(run_ids)

    def withdraw(self, run_id: str, reason: str) -> None:
        """See InboxOwner.withdraw."""
        self._dispatcher.withdraw(run_id, reason)

    def withdraw_all(self, reason: str) -> None:
        """Cancel all runs that wait for the inbox: it is not read any more."""
        for run in self.held():
            self.withdraw(run.run_id, reason)

    def _order(self, entry_id: str, entry: bytes) -> KeyedOrder | Bad | Unknown:
        read = self._read(entry)
        return read if isinstance(read, Bad | Unknown) else KeyedOrder(_KEY + entry_id, read[1])

    def _read(self, entry: bytes) -> tuple[str | None, RunSpec] | Bad | Unknown:
        """Return the id of an entry and the spec of its run, or what is wrong with it."""
        try:
            read = read_entry(entry)
        except InvalidRequest as error:
            return Bad(why_not(error))
        try:
            self._engine.resolve(read.order.spider, read.order.project)
            return read.id, self._hub.spec_of(read.order)
        except UnknownSpider as error:
            return Unknown(_called(read.order.spider, read.order.project), str(error))
        except InvalidRequest as error:
            return Bad(why_not(error))


def _accepted(run: Run | None) -> Accepted:
    return Accepted("" if run is None else run.id)


def _called(spider: str, project: str | None) -> str:
    return spider if project is None else f"{project}/{spider}"


_: type[InboxOwner] = HubInbox
__: type[LimitsOwner] = HubLimits
