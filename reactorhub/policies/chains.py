"""The rules for schedules that run after others: which schedule follows a run, and with which arguments."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from graphlib import CycleError, TopologicalSorter

from reactorhub.model.placeholders import FACTS, UPSTREAM, with_upstream
from reactorhub.model.run import Run, RunSpec
from reactorhub.model.schedule import Schedule
from reactorhub.triggers.rules import After


def follows(schedule: Schedule, run: Run) -> bool:
    """Whether a schedule runs after a run that has ended. The run must be final and not be retried."""
    trigger = schedule.trigger
    if not isinstance(trigger, After):
        return False
    return run.spec.schedule in trigger.upstream and run.state.value in trigger.states


def spec_after(spec: RunSpec, upstream: Run | None, nominal_time: datetime | None = None) -> RunSpec:
    """Return the spec with the facts about ``upstream`` filled into its arguments.

    If ``upstream`` is None, as for a run that is started by hand, the placeholders become empty.
    """
    if upstream is None:
        facts = dict.fromkeys(FACTS[UPSTREAM], "")
    else:
        schedule = upstream.spec.schedule or ""
        facts = {"run_id": upstream.id, "schedule": schedule, "state": upstream.state.value}
    args = with_upstream(spec.args, facts)
    upstream_id = None if upstream is None else upstream.id
    return replace(spec, args=args, upstream=upstream_id, nominal_time=nominal_time)


def cycles(upstreams: Mapping[str, Collection[str]]) -> Iterator[list[str]]:
    """Yield cycles among schedules. Each cycle begins and ends with the same name.

    Not every cycle is found, but without the schedules that are named there is no cycle.

    :param upstreams: for each schedule, the names of the schedules after which it runs.
    """
    left = {name: set(names) for name, names in upstreams.items()}
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1]
        else:
            return
        yield _in_order(circle, list(upstreams))
        for name in circle:
            left[name] = set()


def _in_order(circle: list[str], names: list[str]) -> list[str]:
    """Rotate a cycle so that it begins with the schedule that is first in the file."""
    ring = circle[:-1]
    start = ring.index(min(ring, key=names.index))
    ring = ring[start:] + ring[:start]
    return [*ring, ring[0]]
