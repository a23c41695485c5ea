"""Reads and checks the schedules that run after others."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from reactorhub.config.checking import Checked
from reactorhub.config.keys import AfterState, ScheduleKeys
from reactorhub.config.places import Report, suggestion
from reactorhub.model.placeholders import FACTS, UPSTREAM, placeholders_in
from reactorhub.model.run import FINAL, RunState
from reactorhub.model.schedule import Schedule
from reactorhub.policies.chains import cycles
from reactorhub.triggers.rules import After

_STATES = tuple(state.value for state in RunState if state in FINAL)


def after(keys: ScheduleKeys) -> After:
    """Return the trigger. By default only a success of the upstream starts the schedule."""
    chosen = {state.value for state in keys.after_state or [AfterState.SUCCEEDED]}
    states = tuple(state for state in _STATES if state in chosen or AfterState.ANY.value in chosen)
    return After(tuple(dict.fromkeys(keys.after or ())), states)


def check_upstreams(own: Checked[ScheduleKeys], names: Collection[str], report: Report) -> None:
    """Report upstreams that do not exist.

    :param names: all schedules of the file, including those with mistakes.
    """
    path = (*own.path, "after")
    for place, upstream in enumerate(own.keys.after or ()):
        if upstream not in names:
            message = f"there is no schedule {upstream!r}{suggestion(upstream, names)}"
            report.note(report.positions.item(path, place), message)


def check_chains(schedules: Mapping[str, Schedule], report: Report) -> None:
    """Report schedules that run after themselves, and placeholders that name nothing."""
    upstreams = {
        name: schedule.trigger.upstream if isinstance(schedule.trigger, After) else ()
        for name, schedule in schedules.items()
    }
    for schedule in schedules.values():
        _check_placeholders(schedule, report)
    known = {name: [each for each in found if each in schedules] for name, found in upstreams.items()}
    for circle in cycles(known):
        message = f"runs after itself: {' -> '.join(circle)}; remove one of them"
        report.note(("schedules", circle[0], "after"), message)


def _check_placeholders(schedule: Schedule, report: Report) -> None:
    path, chained = ("schedules", schedule.name, "args"), isinstance(schedule.trigger, After)
    for name, part, fact in placeholders_in(schedule.spec.args):
        if part == UPSTREAM and not chained:
            message = "'{upstream...}' is only allowed with after, which names the upstream"
            report.note((*path, name), message)
        elif fact not in FACTS[part]:
            near = suggestion(fact, FACTS[part]) or f"; there are: {', '.join(FACTS[part])}"
            report.note((*path, name), f"there is no {{{part}.{fact}}}{near}")
