"""A crawl in a process of its own, as the hub sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from reactorhub.engine.isolated.child.processes import kill_group
from reactorhub.engine.isolated.connections import Line
from reactorhub.engine.isolated.zygotes import Zygote, how_ended
from reactorhub.errors import MAX_LINE
from reactorhub.model.run import CrawlEnd
from reactorhub.policies.comparisons import count_of

EXIT_WITHIN = 10.0  # seconds a process has to end once its crawl has
_CLOSE_WITHIN = 3.0  # seconds a process over its memory limit has to close its spider
_DEAD_WITHIN = 2.0  # seconds in which the death of a killed process is waited for
_MIB = 1 << 20


class IsolatedCrawl:
    """See :class:`reactorhub.engine.protocols.Crawl`, and
    :class:`reactorhub.engine.isolated.connections.Job`.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, run_id: str, memory_limit: int | None = None) -> None:
        """:param memory_limit: in bytes."""
        self.opened: Deferred[None] = Deferred()
        self.done: Deferred[CrawlEnd] = Deferred()
        self.pid: int | None = None
        self.feeds = self.service = False
        self.isolated_because: str | None = None
        self._clock = clock
        self._run_id = run_id
        self._memory_limit = memory_limit
        self._zygote: Zygote | None = None
        self._line: Line | None = None
        self._timer: IDelayedCall | None = None
        self._figures: Mapping[str, Any] = {}
        self._closed: Mapping[str, Any] | None = None
        self._died_of: str | None = None
        self._over_memory: str | None = None
        self._over_timer: IDelayedCall | None = None
        self._status: int | None = None
        self._hung_up = False
        self._killed = False
        self._garbled = False

    def begin(self, zygote: Zygote, order: Mapping[str, Any]) -> None:
        """Have the process forked that crawls."""
        self._zygote = zygote
        self._line = zygote.fork(self._run_id, self, order, self._memory_limit)

    # -- what the hub asks

    def stats(self) -> Mapping[str, Any]:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        stats = self._figures.get("stats")
        return stats if isinstance(stats, dict) else {}

    def errors(self) -> int:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        return count_of(self._figures.get("errors"))

    def stop(self) -> None:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        self._tell("stop")

    def abort(self) -> None:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        self._tell("abort")

    def cancel_tasks(self) -> None:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        self._tell("cancel")

    def abandon(self) -> None:
        """Kill the process; ``done`` fires as soon as it is dead."""
        self._kill("the crawl did not end when told to and was killed")

    def _tell(self, rung: str) -> None:
        if self._line is not None and not self.done.called:
            self._line.send({"do": rung})

    # -- what the process says

    def forked(self, pid: int) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        self.pid = pid
        if self._killed:
            self._kill_process()

    def reported(self, report: Mapping[str, Any]) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        if self._garbled:
            return  # whoever wrote the garbage may have written this report
        if "opened" in report:
            self.feeds, self.service = bool(report.get("feeds")), bool(report.get("service"))
            if not self.opened.called:
                self.opened.callback(None)
        elif isinstance(report.get("live"), dict):
            self._figures = report["live"]
        elif isinstance(report.get("closed"), dict):
            self._closed = self._figures = report["closed"]
            self._expect_end(EXIT_WITHIN, "did not end after its crawl")
        else:
            self.garbled()

    def garbled(self) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        self._garbled = True
        self._kill("it sent the hub what is not a report; no spider may write to the hub's connection")

    def hung_up(self) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        self._hung_up = True
        if self._status is not None:
            self._end()
        elif self._closed is None:
            self._expect_end(_DEAD_WITHIN, "closed its connection to the hub and was killed")

    def over_memory(self, used: int) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        if self._over_memory is not None:
            return
        self._over_memory = f"used {used / _MIB:.0f} MiB of {(self._memory_limit or 0) / _MIB:.0f} MiB"
        if not self.done.called:
            self.abort()
            self._over_timer = self._clock.callLater(_CLOSE_WITHIN, self._kill, self._over_memory)

    def exited(self, status: int) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        self._status = status
        if self._hung_up:
            self._end()
        else:
            self._expect_end(_DEAD_WITHIN, "")

    def lost(self, reason: str) -> None:
        """See :class:`reactorhub.engine.isolated.connections.Job`."""
        self._died_of = self._died_of or reason
        self._kill_process()
        self._zygote = None
        self._end()

    # -- its end

    def _expect_end(self, seconds: float, complaint: str) -> None:
        self._disarm()
        if self.done.called:
            return
        self._timer = self._clock.callLater(seconds, self._overdue, complaint)

    def _overdue(self, complaint: str) -> None:
        """Kill a process that should be dead. If it is dead and others hold its connection, wait no more."""
        if self._status is not None or self._killed:
            self._end()
        else:
            self._kill(complaint)

    def _kill(self, reason: str) -> None:
        if self.done.called or self._killed:
            return
        self._killed = True
        self._died_of = self._died_of or reason
        self._kill_process()
        self._expect_end(_DEAD_WITHIN, reason)

    def _kill_process(self) -> None:
        """The zygote keeps the number of a dead process until it is told to reap: no other can be hit."""
        if self.pid is not None and self._status is None:
            kill_group(self.pid)

    def _disarm(self) -> None:
        _cancel(self._timer)

    def _end(self) -> None:
        if self.done.called:
            return
        self._disarm()
        _cancel(self._over_timer)
        if self._zygote is not None:
            self._zygote.reap(self._run_id)
        if self._line is not None:
            self._line.close()
        self._zygote = self._line = None
        self.done.callback(self._facts())

    def _facts(self) -> CrawlEnd:
        facts, stats = self._figures, dict(self.stats())
        return CrawlEnd(
            failure=_text(facts.get("failure")),
            lost=self._over_memory or (None if self._closed is not None else self._cause_of_death()),
            finish_reason=_text(facts.get("finish_reason")),
            items=count_of(stats.get("item_scraped_count")),
            errors=self.errors(),
            exceptions=max(count_of(facts.get("exceptions")), count_of(stats.get("spider_exceptions/count"))),
            error=_text(facts.get("error")),
            pages=count_of(facts["pages"]) if "pages" in facts else None,
            refused=_counts(facts.get("refused")),
            raised=_counts(facts.get("raised")),
            asked=facts.get("asked") is not False,
            no_request_why=_text(facts.get("no_request_why")),
            unstored=count_of(facts.get("unstored")),
            unstored_why=_text(facts.get("unstored_why")),
            stats=stats,
        )

    def _cause_of_death(self) -> str:
        if self._died_of is not None:
            return self._died_of
        return how_ended(self._status or 0) + (
            " before its crawl was over" if not (self._status or 0) < 0 else ""
        )


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()


def _text(value: object) -> str | None:
    """Return what should be a text; a process may have sent anything."""
    return value[:MAX_LINE] if isinstance(value, str) else None


def _counts(value: object) -> dict[str, int]:
    return {str(name): count_of(each) for name, each in value.items()} if isinstance(value, dict) else {}
