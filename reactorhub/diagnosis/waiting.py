"""Explains what a queued run waits for: earlier runs of its schedule, or a slot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from reactorhub.model.run import Run
from reactorhub.model.schedule import Schedule
from reactorhub.policies.limits import Limits
from reactorhub.policies.overlap import starts_at_most

Show = Callable[[datetime], str]


def waits_for(run: Run, schedule: Schedule, unfinished: Sequence[Run], limits: Limits, show: Show) -> str:
    """Return the second half of "it waits ...".

    :param schedule: the schedule of the run.
    :param unfinished: all runs that are queued or hold a slot, in the order in which they were added.
    :param limits: the limits in force.
    :param show: turns a moment into text.
    """
    limit, before = starts_at_most(schedule, run), _before(run, unfinished)
    if limit is not None and len(before) >= limit:
        return f"for its turn: {_stands(before[0], show)}"
    queue, going = run.spec.queue, [other for other in unfinished if other.state.active]
    lane = [other for other in going if other.spec.queue == queue]
    width, limit = limits.queues.get(queue, limits.max_concurrent_runs), limits.max_concurrent_runs
    if len(lane) >= width:
        return f"for a slot of queue {queue} ({len(lane)} of {width} taken, {_longest(lane, show)})"
    if len(going) >= limit:
        return f"for a slot of the hub ({len(going)} of {limit} taken, {_longest(going, show)})"
    return f"for a slot of queue {queue}"


def _before(run: Run, unfinished: Sequence[Run]) -> list[Run]:
    """The runs of the same schedule that a run waits for: earlier runs, active runs and retries."""
    found, is_earlier = [], True
    for other in unfinished:
        is_earlier = is_earlier and other.id != run.id
        mate = other.id != run.id and other.spec.schedule == run.spec.schedule
        if mate and (is_earlier or other.state.active or other.spec.retry_of is not None):
            found.append(other)
    return found


def _longest(going: Sequence[Run], show: Show) -> str:
    oldest = min(going, key=lambda run: run.started_at or run.created_at)
    of = f"schedule {oldest.spec.schedule}" if oldest.spec.schedule else f"spider {oldest.spec.spider}"
    return f"the longest by run {oldest.id} of {of} since {show(oldest.started_at or oldest.created_at)}"


def _stands(run: Run, show: Show) -> str:
    if run.state.active:
        return f"run {run.id} is {run.state.value} since {show(run.started_at or run.created_at)}"
    if run.spec.retry_of is not None:
        return f"run {run.id} waits to be tried again, as attempt {run.spec.attempt}"
    return f"run {run.id} waits since {show(run.created_at)}"
