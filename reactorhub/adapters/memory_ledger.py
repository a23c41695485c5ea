"""A ledger in memory: the double that ships with the hub. It does what the one on disk does, until exit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count, islice
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute, succeed
from twisted.logger import Logger

from reactorhub import ledger_rows as rows
from reactorhub.alerts import OWN_MISTAKES, Fact, Notice, announce
from reactorhub.boundaries import Ledger, LedgerCounts, NoticeCounts, Page, RunFilter
from reactorhub.errors import LedgerError, UnknownBatch, UnknownRun
from reactorhub.memory_shelf import MemoryShelf
from reactorhub.model import (
    NO_SEQUEL,
    Batch,
    Run,
    RunState,
    ScheduleMark,
    Sequel,
    Start,
    Tick,
    TickOutcome,
)
from reactorhub.notice_log import say

R = TypeVar("R")


def matches(which: RunFilter, run: Run) -> bool:
    """Return whether the filter lets this run through: from ``since`` on, and before ``until``."""
    spec = run.spec
    return (
        (not which.states or run.state in which.states)
        and which.spider in (None, spec.spider)
        and which.project in (None, spec.project)
        and which.schedule in (None, spec.schedule)
        and which.batch in (None, spec.batch)
        and (which.tag is None or which.tag in spec.tags)
        and (which.since is None or which.since <= run.created_at)
        and (which.until is None or run.created_at < which.until)
    )


def _kept(run: Run) -> Run:
    """The run as it would come back from a file."""
    return rows.read_run(rows.write_run(run))


def _gives_way(kept: Tick, new: Tick) -> bool:
    """Whether a row was written under a clock that was ahead, and its tick comes only now."""
    missed = TickOutcome.MISSED
    return kept.outcome is missed and kept.until is None and new.outcome is not missed


class MemoryLedger:
    """A :class:`reactorhub.boundaries.Ledger` whose Deferreds fire at once.

    It works without :meth:`open`, and keeps what it has over a :meth:`close` and the next open, as a restart
    would find it. Set ``fail_writes`` to an exception and each write fails with it, as with a full disk.
    """

    log = Logger()

    def __init__(self) -> None:
        self.fail_writes: Exception | None = None
        self._closed = False
        self._runs: dict[str, Run] = {}  # in the order of adding: replacing a value keeps its place
        self._places: dict[str, int] = {}  # never used again, so that cursors stay true
        self._next_place = count(1)
        self._ticks: dict[tuple[str, int], Tick] = {}
        self._marks: dict[str, ScheduleMark] = {}
        self._overrides: dict[str, str] = {}
        self._batches: dict[str, Batch] = {}
        self._shelf = MemoryShelf()

    def open(self) -> Deferred[None]:
        """Take orders (again)."""
        self._closed = False
        return succeed(None)

    def close(self) -> Deferred[None]:
        """Take no more orders."""
        self._closed = True
        return succeed(None)

    def add_run(self, run: Run) -> Deferred[None]:
        """Keep a new run."""
        return self._write(lambda: self._add_run(run))

    def _add_run(self, run: Run) -> None:
        self._check_new([run])
        self._runs[run.id] = _kept(run)
        self._places[run.id] = next(self._next_place)

    def _check_new(self, runs: Sequence[Run]) -> None:
        for number, run in enumerate(runs):
            if run.id in self._runs or run.id in [other.id for other in runs[:number]]:
                raise LedgerError(f"run {run.id} is in the ledger already: give each run an id of its own")
            _kept(run)

    def save_run(self, run: Run) -> Deferred[None]:
        """Replace what is kept of a known run, but not its place and ``created_at``."""
        return self._write(lambda: self._save_run(run))

    def _save_run(self, run: Run) -> None:
        self._check_known(run)
        self._runs[run.id] = replace(_kept(run), created_at=self._runs[run.id].created_at)

    def _check_known(self, run: Run) -> None:
        if run.id not in self._runs:
            raise LedgerError(f"run {run.id} is not in the ledger: add it before saving it")

    def finish_run(self, run: Run, sequel: Sequel = NO_SEQUEL) -> Deferred[Sequel]:
        """Replace what is kept of a run that has ended, and keep what its end brings about; or do neither."""
        return self._write(lambda: self._finish_run(run, sequel))

    def _finish_run(self, run: Run, sequel: Sequel) -> Sequel:
        self._check_known(run)
        self._check_new(sequel.runs)
        self._save_run(run)
        if sequel.attempt is not None:
            self._add_run(sequel.attempt)
        starts = tuple(self._started(start) for start in sequel.starts)
        completes = self._completes(run, sequel.completion)
        completion = sequel.completion if completes else None
        self._tell(sequel.fact)
        return replace(sequel, starts=starts, completes=completes, completion=completion)

    def _started(self, start: Start) -> Start:
        while not self._record_tick(start.tick, start.run, None):
            start = start.later()
        return start

    def _completes(self, run: Run, completion: Run | None) -> bool:
        batch = self._batches.get(run.spec.batch or "")
        mates = (mate for mate in self._runs.values() if mate.spec.batch == run.spec.batch)
        if batch is None or batch.finished_at is not None or not all(mate.state.final for mate in mates):
            return False
        wanted = None if completion is None else completion.id
        done = replace(batch, finished_at=run.finished_at, completion=wanted)
        self._batches[batch.id] = done
        if completion is not None:
            self._add_run(completion)
        return True

    def add_batch(self, batch: Batch, runs: Sequence[Run]) -> Deferred[None]:
        """Keep a batch and all its runs, or nothing."""
        return self._write(lambda: self._add_batch(batch, runs))

    def _add_batch(self, batch: Batch, runs: Sequence[Run]) -> None:
        self._check_new(runs)
        self._batches[batch.id] = rows.read_batch(rows.write_batch(batch))
        for run in runs:
            self._add_run(run)

    def record_tick(
        self, tick: Tick, run: Run | None = None, fact: Fact | None = None, after: datetime | None = None
    ) -> Deferred[bool]:
        """Keep a tick's row, its run, its schedule's progress and what is to be told; or fire with False."""
        return self._write(lambda: self._record_tick(tick, run, fact, after))

    def _record_tick(
        self, tick: Tick, run: Run | None, fact: Fact | None, after: datetime | None = None
    ) -> bool:
        key = tick.schedule, rows.to_number(tick.nominal_time)
        if key in self._ticks and not _gives_way(self._ticks[key], tick):
            self._put_right(tick, after)
            return False
        kept = rows.read_tick(rows.write_tick(tick))
        if run is not None:
            self._add_run(run)
        self._ticks[key] = kept
        if mark := self._marks.get(tick.schedule):
            reached = mark.reached(tick.until or tick.nominal_time, tick.recorded_at, after)
            ran = tick.outcome is TickOutcome.RUN
            self._marks[tick.schedule] = replace(reached, runs=mark.runs + ran)
        self._tell(fact)
        return True

    def _put_right(self, tick: Tick, after: datetime | None) -> None:
        """Let a mark follow a tick that has its row already, but no further than that row."""
        if mark := self._marks.get(tick.schedule):
            self._marks[tick.schedule] = mark.reached(tick.nominal_time, tick.recorded_at, after)

    def _tell(self, fact: Fact | None) -> None:
        if fact is None:
            return
        try:
            say(announce(fact, self._shelf))
        except OWN_MISTAKES:
            self.log.failure(
                "nobody is told that {name} has {happening}", name=fact.schedule, happening=fact.happening
            )

    def set_marks(
        self, keep: Sequence[ScheduleMark], forget: Sequence[str] = (), fact: Fact | None = None
    ) -> Deferred[None]:
        """Forget some schedules' marks, replace others, and keep what is to be told."""
        return self._write(lambda: self._set_marks(keep, forget, fact))

    def _set_marks(self, keep: Sequence[ScheduleMark], forget: Sequence[str], fact: Fact | None) -> None:
        kept = {mark.name: rows.read_mark(rows.write_mark(mark)) for mark in keep}
        for name in forget:
            self._marks.pop(name, None)
        for name, mark in kept.items():
            old = self._marks.get(name)
            same = old is not None and old.fingerprint == mark.fingerprint
            self._marks[name] = replace(mark, runs=old.runs) if old is not None and same else mark
        self._tell(fact)

    def set_override(self, name: str, value: Any) -> Deferred[None]:
        """Keep an override; None removes it."""
        return self._write(lambda: self._set_override(name, value))

    def _set_override(self, name: str, value: Any) -> None:
        self._overrides.pop(name, None)
        if value is not None:
            self._overrides[name] = rows.json_text(value)

    def prune(self, before: datetime, most: int) -> Deferred[int]:
        """Forget at most so many rows of what was over before this moment; fire with how many went."""
        return self._write(lambda: self._prune(before, most))

    def _prune(self, before: datetime, most: int) -> int:
        gone = 0
        for _, run_id in sorted(self._ended(before)):
            if gone + 2 > most:
                return gone
            gone += 1 + self._forget(run_id)
        loose = [
            key for key, tick in self._ticks.items() if tick.run_id is None and tick.recorded_at < before
        ]
        for key in sorted(loose, key=lambda key: self._ticks[key].recorded_at)[: most - gone]:
            del self._ticks[key]
            gone += 1
        ends = [(batch.finished_at, batch.id) for batch in self._batches.values() if batch.finished_at]
        for _, batch_id in sorted(end for end in ends if end[0] < before)[: most - gone]:
            del self._batches[batch_id]
            gone += 1
        return gone

    def _ended(self, before: datetime) -> list[tuple[datetime, str]]:
        final = [run for run in self._runs.values() if run.state.final]
        return [(run.finished_at, run.id) for run in final if run.finished_at and run.finished_at < before]

    def _forget(self, run_id: str) -> int:
        """Forget a run and its tick; return how many ticks that were."""
        spec = self._runs.pop(run_id).spec
        key = spec.schedule or "", rows.to_number(spec.nominal_time) if spec.nominal_time else 0
        tick = self._ticks.get(key)
        if tick is None or tick.run_id != run_id:
            return 0
        del self._ticks[key]
        return 1

    def run(self, run_id: str) -> Deferred[Run]:
        """Look a run up. Fails with UnknownRun."""
        return self._read(lambda: self._run(run_id))

    def _run(self, run_id: str) -> Run:
        if run_id not in self._runs:
            raise UnknownRun(run_id)
        return self._runs[run_id]

    def runs(self, which: RunFilter, limit: int, cursor: str | None = None) -> Deferred[Page[Run]]:
        """List runs, newest first. ``since`` is the first moment listed, ``until`` the first one beyond."""
        return self._read(lambda: self._list_runs(which, limit, cursor))

    def _list_runs(self, which: RunFilter, limit: int, cursor: str | None) -> Page[Run]:
        before = rows.read_cursor("runs", cursor)
        placed = ((self._places[run.id], run) for run in reversed(self._runs.values()))
        earlier = ((place, run) for place, run in placed if before is None or place < before)
        return _first(limit, "runs", ((place, run) for place, run in earlier if matches(which, run)))

    def batch(self, batch_id: str) -> Deferred[tuple[Batch, Mapping[RunState, int]]]:
        """Look a batch up, and count its runs by state. Fails with UnknownBatch."""
        return self._read(lambda: self._batch(batch_id))

    def _batch(self, batch_id: str) -> tuple[Batch, Mapping[RunState, int]]:
        if batch_id not in self._batches:
            raise UnknownBatch(batch_id)
        states = Counter(run.state for run in self._runs.values() if run.spec.batch == batch_id)
        return self._batches[batch_id], dict(states)

    def open_batches(self) -> Deferred[list[Batch]]:
        """The batches whose runs are not all final."""
        return self._read(lambda: [each for each in self._batches.values() if each.finished_at is None])

    def active_runs(self) -> Deferred[list[Run]]:
        """All runs that hold a slot, in the order in which they were added."""
        return self._read(lambda: [run for run in self._runs.values() if run.state.active])

    def waiting_runs(self) -> Deferred[list[Run]]:
        """All queued runs, in the order in which they were added."""
        return self._read(lambda: [run for run in self._runs.values() if run.state is RunState.QUEUED])

    def last_runs(self) -> Deferred[dict[str, Run]]:
        """The newest run of each schedule that ever had one."""
        return self._read(
            lambda: {run.spec.schedule: run for run in self._runs.values() if run.spec.schedule is not None}
        )

    def ticks(self, schedule: str, limit: int, cursor: str | None = None) -> Deferred[Page[Tick]]:
        """List a schedule's ticks, newest nominal time first."""
        return self._read(lambda: self._list_ticks(schedule, limit, cursor))

    def _list_ticks(self, schedule: str, limit: int, cursor: str | None) -> Page[Tick]:
        before = rows.read_cursor("ticks", cursor)
        places = sorted((place for name, place in self._ticks if name == schedule), reverse=True)
        earlier = (place for place in places if before is None or place < before)
        return _first(limit, "ticks", ((place, self._ticks[schedule, place]) for place in earlier))

    def counts(self) -> Deferred[LedgerCounts]:
        """How much is kept."""
        return self._read(
            lambda: LedgerCounts(
                runs=dict(Counter(run.state for run in self._runs.values())), ticks=len(self._ticks)
            )
        )

    def marks(self) -> Deferred[dict[str, ScheduleMark]]:
        """What is remembered of each schedule, by name."""
        return self._read(lambda: dict(self._marks))

    def overrides(self) -> Deferred[dict[str, Any]]:
        """What operators have set at run time."""
        return self._read(lambda: {name: json.loads(value) for name, value in self._overrides.items()})

    def next_notices(self) -> Deferred[list[Notice]]:
        """The oldest waiting notice of each channel that has one."""
        return self._read(self._shelf.next_notices)

    def try_notice(self, notice_id: str) -> Deferred[Notice]:
        """Count one more try of a notice; fires with the notice."""
        return self._write(lambda: self._shelf.try_notice(notice_id))

    def settle_notice(self, notice: Notice) -> Deferred[None]:
        """Replace what is kept of a notice."""
        return self._write(lambda: self._shelf.put(notice))

    def notice_counts(self) -> Deferred[NoticeCounts]:
        """How the notices fare."""
        return self._read(self._shelf.counts)

    def tidy_alerts(self, schedules: Collection[str], channels: Collection[str]) -> Deferred[None]:
        """Forget the incidents of all other schedules; give up what waits in channels that are no more."""
        return self._write(lambda: say(self._shelf.tidy(schedules, channels)))

    def _write(self, change: Callable[[], R]) -> Deferred[R]:
        def unless_failing() -> R:
            if self.fail_writes is not None:
                raise self.fail_writes
            try:
                return change()
            except (TypeError, ValueError) as error:
                raise LedgerError(f"the ledger cannot hold a value of this write: {error}") from error

        return self._read(unless_failing)

    def _read(self, question: Callable[[], R]) -> Deferred[R]:
        def unless_closed() -> R:
            if self._closed:
                raise LedgerError("the ledger is closed and takes no more orders: open it again")
            return question()

        return execute(unless_closed)


def _first(limit: int, kind: str, found: Iterator[tuple[int, R]]) -> Page[R]:
    return rows.make_page(kind, list(islice(found, limit + 1)), limit)


_: type[Ledger] = MemoryLedger
