"""What a ledger in memory keeps, and what one write or one question does to it; nothing here waits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count, islice
from typing import Any, TypeVar

from reactorhub.errors import LedgerError, UnknownBatch, UnknownRun
from reactorhub.model.batch import Batch
from reactorhub.model.follow_up import ChainedTick, FollowUp
from reactorhub.model.run import Run, RunState
from reactorhub.model.schedule import ScheduleProgress, Tick, TickOutcome
from reactorhub.storage import rows
from reactorhub.storage.ledger import LedgerCounts, Page, RunFilter

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
    return rows.RUNS.read(rows.RUNS.write(run))


def _gives_way(kept: Tick, new: Tick) -> bool:
    """Whether a row was written under a clock that was ahead, and its tick comes only now."""
    missed = TickOutcome.MISSED
    return kept.outcome is missed and kept.until is None and new.outcome is not missed


class MemoryTables:
    """Runs, ticks, marks, overrides and batches.

    A write that fails keeps nothing. What was kept comes back as it would from a file.
    """

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}  # in the order of adding: replacing a value keeps its place
        self._places: dict[str, int] = {}  # never used again, so that cursors stay true
        self._next_place = count(1)
        self._ticks: dict[tuple[str, int], Tick] = {}
        self._progress: dict[str, ScheduleProgress] = {}
        self._overrides: dict[str, str] = {}
        self._batches: dict[str, Batch] = {}

    def add_run(self, run: Run) -> None:
        """Keep a new run.

        :raises LedgerError: if there is a run with this id already.
        """
        self._check_new([run])
        self._runs[run.id] = _kept(run)
        self._places[run.id] = next(self._next_place)

    def _check_new(self, runs: Sequence[Run]) -> None:
        for number, run in enumerate(runs):
            if run.id in self._runs or run.id in [other.id for other in runs[:number]]:
                raise LedgerError(f"run {run.id} is in the ledger already: give each run an id of its own")
            _kept(run)

    def save_run(self, run: Run) -> None:
        """Replace what is kept of a known run, but not its place and ``created_at``.

        :raises LedgerError: if there is no run with this id.
        """
        self._check_known(run)
        self._runs[run.id] = replace(_kept(run), created_at=self._runs[run.id].created_at)

    def _check_known(self, run: Run) -> None:
        if run.id not in self._runs:
            raise LedgerError(f"run {run.id} is not in the ledger: add it before saving it")

    def finish_run(self, run: Run, follow_up: FollowUp) -> FollowUp:
        """Replace what is kept of a run that has ended, and keep what its end brings about; return that.

        :raises LedgerError: if there is no run with its id, or one with an id of the sequel's.
        """
        self._check_known(run)
        self._check_new(follow_up.runs)
        self.save_run(run)
        if follow_up.attempt is not None:
            self.add_run(follow_up.attempt)
        starts = tuple(self._started(start) for start in follow_up.starts)
        completes = self._completes(run, follow_up.completion)
        completion = follow_up.completion if completes else None
        return replace(follow_up, starts=starts, completes=completes, completion=completion)

    def _started(self, start: ChainedTick) -> ChainedTick:
        while not self.record_tick(start.tick, start.run):
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
            self.add_run(completion)
        return True

    def add_batch(self, batch: Batch, runs: Sequence[Run]) -> None:
        """Keep a batch and its runs.

        :raises LedgerError: if there is a run with the id of one of them already.
        """
        self._check_new(runs)
        self._batches[batch.id] = rows.BATCHES.read(rows.BATCHES.write(batch))
        for run in runs:
            self.add_run(run)

    def record_tick(self, tick: Tick, run: Run | None, after: datetime | None = None) -> bool:
        """Keep a tick, its run and the schedule's progress; False if it has its row already.

        Then the progress is kept all the same, but no further than that row.

        :param after: how far the progress must be by then; otherwise it stays there.
        """
        key = tick.schedule, rows.to_number(tick.nominal_time)
        if key in self._ticks and not _gives_way(self._ticks[key], tick):
            self._put_right(tick, after)
            return False
        kept = rows.TICKS.read(rows.TICKS.write(tick))
        if run is not None:
            self.add_run(run)
        self._ticks[key] = kept
        if progress := self._progress.get(tick.schedule):
            reached = progress.reached(tick.until or tick.nominal_time, tick.recorded_at, after)
            ran = tick.outcome is TickOutcome.RUN
            self._progress[tick.schedule] = replace(reached, runs=progress.runs + ran)
        return True

    def _put_right(self, tick: Tick, after: datetime | None) -> None:
        """Let a mark follow a tick that has its row already, but no further than that row."""
        if progress := self._progress.get(tick.schedule):
            self._progress[tick.schedule] = progress.reached(tick.nominal_time, tick.recorded_at, after)

    def set_progress(self, keep: Sequence[ScheduleProgress], forget: Sequence[str]) -> None:
        """Forget some schedules' marks, then replace others."""
        kept = {progress.name: rows.PROGRESS.read(rows.PROGRESS.write(progress)) for progress in keep}
        for name in forget:
            self._progress.pop(name, None)
        for name, progress in kept.items():
            old = self._progress.get(name)
            same = old is not None and old.fingerprint == progress.fingerprint
            self._progress[name] = replace(progress, runs=old.runs) if old is not None and same else progress

    def set_override(self, name: str, value: Any) -> None:
        """Keep an override; None removes it."""
        self._overrides.pop(name, None)
        if value is not None:
            self._overrides[name] = rows.json_text(value)

    def prune(self, before: datetime, limit: int) -> int:
        """Forget at most so many rows of what was over before this moment; return how many went."""
        gone = 0
        for _, run_id in sorted(self._ended(before)):
            if gone + 2 > limit:
                return gone
            gone += 1 + self._forget(run_id)
        loose = [
            key for key, tick in self._ticks.items() if tick.run_id is None and tick.recorded_at < before
        ]
        for key in sorted(loose, key=lambda key: self._ticks[key].recorded_at)[: limit - gone]:
            del self._ticks[key]
            gone += 1
        ends = [(batch.finished_at, batch.id) for batch in self._batches.values() if batch.finished_at]
        for _, batch_id in sorted(end for end in ends if end[0] < before)[: limit - gone]:
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

    def run(self, run_id: str) -> Run:
        """Return the run with this id.

        :raises UnknownRun: if there is none.
        """
        if run_id not in self._runs:
            raise UnknownRun(run_id)
        return self._runs[run_id]

    def runs(self, which: RunFilter, limit: int, cursor: str | None) -> Page[Run]:
        """Return a page of runs, newest first."""
        before = rows.read_cursor("runs", cursor)
        placed = ((self._places[run.id], run) for run in reversed(self._runs.values()))
        earlier = ((place, run) for place, run in placed if before is None or place < before)
        return _first(limit, "runs", ((place, run) for place, run in earlier if matches(which, run)))

    def batch(self, batch_id: str) -> tuple[Batch, Mapping[RunState, int]]:
        """Return a batch, and how many of its runs are in each state that occurs.

        :raises UnknownBatch: if there is none.
        """
        if batch_id not in self._batches:
            raise UnknownBatch(batch_id)
        states = Counter(run.state for run in self._runs.values() if run.spec.batch == batch_id)
        return self._batches[batch_id], dict(states)

    def ticks(self, schedule: str, limit: int, cursor: str | None) -> Page[Tick]:
        """Return a page of a schedule's ticks, newest nominal time first."""
        before = rows.read_cursor("ticks", cursor)
        places = sorted((place for name, place in self._ticks if name == schedule), reverse=True)
        earlier = (place for place in places if before is None or place < before)
        return _first(limit, "ticks", ((place, self._ticks[schedule, place]) for place in earlier))

    def all_runs(self) -> list[Run]:
        """Return every run, in the order in which they were added."""
        return [*self._runs.values()]

    def open_batches(self) -> list[Batch]:
        """Return the batches whose runs are not all final."""
        return [each for each in self._batches.values() if each.finished_at is None]

    def counts(self) -> LedgerCounts:
        """Return how much is kept."""
        return LedgerCounts(
            runs=dict(Counter(run.state for run in self._runs.values())), ticks=len(self._ticks)
        )

    def progress(self) -> dict[str, ScheduleProgress]:
        """Return what is remembered of each schedule, by name."""
        return dict(self._progress)

    def overrides(self) -> dict[str, Any]:
        """Return what operators have set at run time, by name."""
        return {name: json.loads(value) for name, value in self._overrides.items()}


def _first(limit: int, kind: str, found: Iterator[tuple[int, R]]) -> Page[R]:
    return rows.make_page(kind, list(islice(found, limit + 1)), limit)
