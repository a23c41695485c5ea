"""Narrows the trigger of a schedule by its keys ``start_time``, ``end_time`` and ``exclude``."""

from __future__ import annotations

from datetime import date, datetime
from functools import partial

from reactorhub.config.checking import Checked
from reactorhub.config.keys import ScheduleKeys
from reactorhub.config.places import KeyPath, Report, noted
from reactorhub.triggers.cron import instant
from reactorhub.triggers.durations import EPOCH, INSTANT
from reactorhub.triggers.rules import Once, Trigger
from reactorhub.triggers.window import ExcludedDays, ExcludedTimes, Exclusion, Window

TIMED = ("interval", "cron", "at")
NEED_A_TIME = ("start_time", "end_time", "exclude", "jitter")

Sections = tuple[Checked[ScheduleKeys], Checked[ScheduleKeys]]


def check_keys_of_trigger(own: Checked[ScheduleKeys], report: Report) -> None:
    """Report keys about times in a schedule whose trigger has no times."""
    timed, chained = any(key in own.given for key in TIMED), "after" in own.given
    for keys, wanted, there in (
        (NEED_A_TIME, "interval, cron or at", timed),
        (("max_runs",), "interval, cron, at or after", timed or chained),
        (("after_state",), "after", chained),
    ):
        for key in () if there else keys:
            if key in own.given:
                message = f"{key!r} is only allowed with {wanted}; remove it"
                report.note((*own.path, key), message, at_key=True)


def narrowed(
    rule: Trigger | None,
    own: Checked[ScheduleKeys],
    common: Checked[ScheduleKeys],
    timezone: str,
    report: Report,
) -> Trigger | None:
    """Return the trigger, narrowed by the keys of the schedule or of the defaults.

    Times without offset, days and crons are read in ``timezone``. A trigger that has no ticks left is a
    mistake.
    """
    if not any(key in own.given for key in TIMED):
        return rule
    start, end = (_moment(key, (own, common), timezone) for key in ("start_time", "end_time"))
    exclude = _exclusions((own, common), timezone)
    if start is None and end is None and not exclude:
        return rule
    narrow = partial(Window, rule or Once(EPOCH), start, end, exclude)  # any rule will do to find mistakes
    window = noted(narrow, _path("end_time", (own, common)), report)
    if rule is None:
        return None
    if window is not None and _is_idle(window) and not _is_idle(rule):
        _complain(window, (own, common), report)
    return window


def _complain(window: Window, sections: Sections, report: Report) -> None:
    """Report which key leaves no time; for a default, also which schedule."""
    if not _is_idle(Window(window.rule, window.start, window.end)):
        key, message = "exclude", "excludes every time at which {} could run; exclude less"
    elif window.end is None:
        key, message = "start_time", "{} has no time from then on; choose an earlier start_time"
    else:
        since = " after start_time" if window.start is not None else ""
        key, message = "end_time", f"{{}} has no time{since} up to then; choose a later end_time"
    own, said = sections[0], _setter(key, sections)
    whom = "the schedule" if said is own else f"schedule {own.path[-1]!r}"
    report.note((*said.path, key), message.format(whom))


def _is_idle(trigger: Trigger) -> bool:
    return trigger.next_after(EPOCH - INSTANT) is None


def _setter(key: str, sections: Sections) -> Checked[ScheduleKeys]:
    """The section that sets a key: the schedule, or else the defaults."""
    own, common = sections
    return own if key in own.given else common


def _path(key: str, sections: Sections) -> KeyPath:
    return (*_setter(key, sections).path, key)


def _moment(key: str, sections: Sections, timezone: str) -> datetime | None:
    moment = getattr(_setter(key, sections).keys, key)
    return None if moment is None else instant(moment, timezone)


def _exclusions(sections: Sections, timezone: str) -> tuple[Exclusion, ...]:
    entries = _setter("exclude", sections).keys.exclude or []
    return tuple(_exclusion(entry, timezone) for entry in entries)


def _exclusion(entry: str | tuple[date, date], timezone: str) -> Exclusion:
    return ExcludedDays(*entry, timezone) if isinstance(entry, tuple) else ExcludedTimes(entry, timezone)
