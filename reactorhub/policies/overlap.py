"""The rules for a due tick that meets unfinished runs of its own schedule.

A run that waits to be tried again is unfinished too: the next tick finds the schedule busy.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile

from reactorhub.model.run import Run, RunState, Stop
from reactorhub.model.schedule import Overlap, Schedule, at_once

PAUSED = "the schedule is paused: "
"""What the reason begins with of a tick that is skipped for a pause."""

WAITING = frozenset({Overlap.BUFFER_ONE, Overlap.BUFFER_ALL, Overlap.CANCEL_OTHER})
"""The policies under which a run waits for its turn."""


def skip_reason(schedule: Schedule, unfinished: Sequence[Run]) -> str | None:
    """Return why a tick is to be skipped, or None where it becomes a run.

    :param unfinished: the runs of the same schedule that are not final, oldest first.
    """
    limit, policy = at_once(schedule), schedule.overlap
    if limit is None or len(unfinished) < limit or policy in (Overlap.BUFFER_ALL, Overlap.CANCEL_OTHER):
        return None
    if policy is Overlap.BUFFER_ONE:
        waiting = [run for run in unfinished if run.state is RunState.QUEUED and run.spec.retry_of is None]
        return f"overlap is buffer_one and run {waiting[0].id} already waits" if waiting else None
    return _busy(policy, limit, unfinished)


def _busy(policy: Overlap, limit: int, unfinished: Sequence[Run]) -> str:
    oldest = unfinished[0]
    if limit > 1 or policy is Overlap.ALLOW_ALL:
        still = f"{len(unfinished)} runs are" if len(unfinished) > 1 else "a run is"
        return f"max_instances is {limit} and {still} not over; the oldest, {oldest.id}, {_stands(oldest)}"
    return f"overlap is {policy.value} and run {oldest.id} {_stands(oldest)}"


def _stands(run: Run) -> str:
    if run.state is RunState.QUEUED and run.spec.retry_of is not None:
        return f"waits to be tried again, as attempt {run.spec.attempt}"
    return f"is still {run.state.value}"


def starts_at_most(schedule: Schedule | None, run: Run) -> int | None:
    """Return among how many a run waits for its turn; None where it waits for nobody.

    A retry waits for nobody: its first attempt has had its turn, and the others wait for it. Nor does a run
    that no tick has brought about.

    :param schedule: the run's schedule; None where it has none, or none any more.
    """
    first = run.spec.retry_of is None and run.spec.nominal_time is not None
    if schedule is None or schedule.overlap not in WAITING or not first:
        return None
    return at_once(schedule)


def replaces_others(schedule: Schedule | None, run: Run) -> bool:
    """Whether the runs before this one are to be cancelled for its sake."""
    policy = None if schedule is None else schedule.overlap
    return policy is Overlap.CANCEL_OTHER and run.spec.retry_of is None


def older(run: Run, unfinished: Sequence[Run]) -> list[Run]:
    """Return the runs that stand for earlier ticks than ``run`` does, or were started by hand before it.

    :param unfinished: the runs of the same schedule that are not final, oldest first.
    """
    before = {mate.id for mate in takewhile(lambda mate: mate.id != run.id, unfinished)}
    return [mate for mate in unfinished if _is_earlier(mate, run, mate.id in before)]


def _is_earlier(run: Run, than: Run, was_made_before: bool) -> bool:
    mine, its = run.spec.nominal_time, than.spec.nominal_time
    return was_made_before if mine is None or its is None else mine < its


def replacement(nominal_time: datetime | None) -> Stop:
    """Return the order that ends a run for the sake of the tick of ``nominal_time``."""
    tick = "a newer run" if nominal_time is None else f"the tick of {nominal_time:%Y-%m-%dT%H:%M:%SZ}"
    reason = f"overlap is cancel_other and {tick} takes this run's place"
    return Stop(state=RunState.CANCELLED, reason=reason)
