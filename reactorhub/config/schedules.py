"""Makes Schedules from the checked keys, and checks keys that depend on each other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from reactorhub.config import values
from reactorhub.config.chains import after, check_chains, check_upstreams
from reactorhub.config.checking import Checked, check
from reactorhub.config.expect import merged
from reactorhub.config.keys import RetryKeys, ScheduleKeys
from reactorhub.config.notify import check_notify, check_whom, rule
from reactorhub.config.places import Report, noted, suggestion
from reactorhub.config.when import check_keys_of_trigger, narrowed
from reactorhub.config.yaml_source import Tree
from reactorhub.engine.projects import ProjectConfig
from reactorhub.model.isolation import NO_WISH, Isolation, IsolationWish
from reactorhub.model.run import RetryRule, RunSpec, RunState
from reactorhub.model.schedule import Overlap, Schedule
from reactorhub.policies.isolation import isolation_mistakes, isolation_of
from reactorhub.triggers.cron import Cron, instant
from reactorhub.triggers.durations import EPOCH
from reactorhub.triggers.rules import Interval, Once, Trigger

TRIGGERS = ("interval", "cron", "at", "after")
NO_DEFAULTS = (*TRIGGERS, "anchor", "after_state", "run_on_start")


@dataclass(frozen=True, slots=True)
class References:
    """What a schedule may refer to.

    ``projects``, ``queues`` and ``channels`` are None if their section in the file cannot be read. References
    to such a section are not checked, because the mistake is in the section.
    """

    timezone: str
    projects: Collection[str] | Mapping[str, ProjectConfig] | None
    queues: Collection[str] | None
    report: Report
    channels: Collection[str] | None = ()


def read_schedules(
    defaults: Tree, schedules: Mapping[str, Tree], references: References
) -> dict[str, Schedule]:
    """Return the schedules by name. Schedules with mistakes are reported and left out."""
    common = _defaults(defaults, references)
    found = {name: _schedule(name, tree, common, references, schedules) for name, tree in schedules.items()}
    read = {name: schedule for name, schedule in found.items() if schedule is not None}
    check_chains(read, references.report)
    return read


def _defaults(tree: Tree, references: References) -> Checked[ScheduleKeys]:
    path = ("defaults",)
    if isinstance(tree, dict):
        for key in NO_DEFAULTS:
            if key in tree:
                message = f"{key!r} cannot be a default; write it into each schedule"
                references.report.note((*path, key), message, at_key=True)
        tree = {key: value for key, value in tree.items() if key not in NO_DEFAULTS}
    common = check(ScheduleKeys, tree, path, references.report)
    _check_references(common, references)
    _check_rules(common, common.keys, references.report)
    return common


def _schedule(
    name: str, tree: Tree, common: Checked[ScheduleKeys], references: References, names: Collection[str]
) -> Schedule | None:
    report, path = references.report, ("schedules", name)
    noted(partial(values.name, name), path, report, at_key=True)
    own = check(ScheduleKeys, tree, path, report)
    _check_references(own, references)
    check_upstreams(own, names, report)
    keys = _merged(own.keys, common.keys)
    _check_rules(own, keys, report)
    timezone = keys.timezone or references.timezone
    trigger = narrowed(_trigger(own, timezone, report), own, common, timezone, report)
    broken = own.broken | common.broken
    if keys.spider is None and "spider" not in broken:
        report.note(path, "there is no spider; write spider: NAME", at_key=True)
    if keys.project is None and "project" not in broken and len(references.projects or ()) > 1:
        names = ", ".join(sorted(references.projects or ()))
        report.note(path, f"several projects are configured; write project: with one of {names}", at_key=True)
    if keys.spider is None or not references.projects:
        return None
    project = keys.project or next(iter(references.projects))
    isolation = _isolation(own, common, references, project)
    rules = _given(
        overlap=keys.overlap,
        max_instances=keys.max_instances,
        pause_on_failure=keys.pause_on_failure,
        max_runs=keys.max_runs,
        catchup=keys.catchup,
        catchup_window=keys.window,
        max_catchup=keys.max_catchup,
        jitter=keys.jitter,
        enabled=keys.enabled,
        run_on_start=keys.run_on_start,
        notify=rule(keys.notify),
    )
    spec = _spec(name, keys.spider, project, keys, isolation)
    return Schedule(name=name, spec=spec, trigger=trigger, **rules)


def _isolation(
    own: Checked[ScheduleKeys], common: Checked[ScheduleKeys], references: References, project: str
) -> Isolation:
    """Return where a schedule's runs crawl. What a project says goes before the defaults."""
    config = references.projects.get(project) if isinstance(references.projects, Mapping) else None
    wish = _wish(own.keys)
    chosen = isolation_of(wish, config.isolation if config else NO_WISH, _wish(common.keys))
    if references.projects is None or config is not None:
        for key, message in isolation_mistakes(wish, chosen, config.python if config else None).items():
            references.report.note((*own.path, key), message)
    return chosen


def _wish(keys: ScheduleKeys) -> IsolationWish:
    return IsolationWish(isolate=keys.isolate, memory_limit=keys.memory_limit)


def _spec(name: str, spider: str, project: str, keys: ScheduleKeys, isolation: Isolation) -> RunSpec:
    choices = _given(
        args=keys.args,
        settings=keys.settings,
        queue=keys.queue,
        priority=keys.priority,
        timeout=keys.timeout and keys.timeout.total_seconds(),
        stop_grace=keys.stop_grace and keys.stop_grace.total_seconds(),
        tags=keys.tags and tuple(keys.tags),
        retry=keys.retry and _retry(keys.retry),
        expect=keys.expect,
        isolate=isolation.isolate,
        memory_limit=isolation.memory_limit,
    )
    return RunSpec(spider=spider, project=project, schedule=name, **choices)


def _retry(keys: RetryKeys) -> RetryRule:
    """Return the rule. Without ``max_delay``, a ``delay`` above the default maximum is the maximum."""
    spans = ("delay", "max_delay", "jitter")
    seconds = {key: span.total_seconds() for key in spans if (span := getattr(keys, key)) is not None}
    if keys.max_delay is None:
        seconds["max_delay"] = max(RetryRule().max_delay, seconds.get("delay", 0.0))
    on = keys.on and frozenset(RunState(end.value) for end in keys.on)
    return RetryRule(**_given(max_retries=keys.max_retries, backoff=keys.backoff, on=on, **seconds))


def _given(**values: Any) -> dict[str, Any]:
    """Leave out what the file does not set: the model has the default."""
    return {key: value for key, value in values.items() if value is not None}


def _merged(own: ScheduleKeys, common: ScheduleKeys) -> ScheduleKeys:
    """Merge the keys of a schedule into the defaults; nested sections are merged key by key."""
    changes = _given(**{key: getattr(own, key) for key in own.model_fields_set})
    if own.window is not None:
        changes["catchup_window"] = own.window
    for key in {"args", "settings"} & changes.keys():
        changes[key] = {**(getattr(common, key) or {}), **changes[key]}
    if own.expect is not None and common.expect is not None:
        changes["expect"] = merged(own.expect, common.expect)
    if own.retry is not None and common.retry is not None:
        changes["retry"] = common.retry.model_copy(update=_given(**dict(own.retry)))
    if own.notify is not None and common.notify is not None:
        changes["notify"] = common.notify.model_copy(update=_given(**dict(own.notify)))
    return common.model_copy(update=changes)


def _check_references(section: Checked[ScheduleKeys], references: References) -> None:
    """Check the references of a section to other sections."""
    keys = section.keys
    for key, kind, chosen, known in (
        ("project", "project", keys.project, references.projects),
        ("queue", "queue", keys.queue, references.queues),
    ):
        if chosen is not None and known is not None and chosen not in known:
            message = f"there is no {kind} {chosen!r} under hub.{kind}s{suggestion(chosen, known)}"
            references.report.note((*section.path, key), message)
    check_notify(section, references.channels, references.report)
    if {"catchup_window", "misfire_grace_time"} <= set(section.given):
        message = "is another name for catchup_window; keep one of the two"
        references.report.note((*section.path, "misfire_grace_time"), message, at_key=True)


def _check_rules(section: Checked[ScheduleKeys], keys: ScheduleKeys, report: Report) -> None:
    """Check rules between keys, if the section sets one of these keys.

    :param keys: the keys of the section, merged into the defaults.
    """
    places = [key for key in ("overlap", "max_instances") if key in section.given]
    if places and keys.overlap is Overlap.CANCEL_OTHER and (keys.max_instances or 1) > 1:
        message = "cancel_other allows one run at a time; remove max_instances, or choose another overlap"
        report.note((*section.path, places[0]), message)
    check_whom(section, keys, report)
    if "retry" in section.given and keys.retry is not None and _too_long(keys.retry):
        message = "is longer than max_delay; make it shorter, or max_delay longer"
        report.note((*section.path, "retry", "delay"), message)


def _too_long(retry: RetryKeys) -> bool:
    delay, longest = retry.delay, retry.max_delay
    return delay is not None and longest is not None and delay > longest


def _trigger(own: Checked[ScheduleKeys], timezone: str, report: Report) -> Trigger | None:
    """Return the trigger; None if the schedule is only run by hand, or its trigger has mistakes."""
    chosen = [key for key in own.given if key in TRIGGERS]
    for extra in chosen[1:]:
        message = f"{extra!r} cannot be combined with {chosen[0]!r}; keep one of interval, cron, at and after"
        report.note((*own.path, extra), message, at_key=True)
    if "anchor" in own.given and "interval" not in chosen:
        report.note((*own.path, "anchor"), "'anchor' is only allowed with interval; remove it", at_key=True)
    check_keys_of_trigger(own, report)
    built = [_built(key, own, timezone, report) for key in chosen if key not in own.broken]
    return built[0] if built else None


def _built(key: str, own: Checked[ScheduleKeys], timezone: str, report: Report) -> Trigger | None:
    keys, path = own.keys, (*own.path, key)
    if keys.after is not None and key == "after":
        return after(keys)
    if keys.cron is not None and key == "cron":
        return Cron(tuple(keys.cron), timezone)
    if keys.at is not None and key == "at":
        return Once(instant(keys.at, timezone))
    every, anchor = keys.interval or timedelta(), keys.anchor
    start = instant(anchor, timezone) if anchor else EPOCH
    return noted(partial(Interval, every, start), path, report)
