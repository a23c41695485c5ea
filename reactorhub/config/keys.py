"""The keys of the schedule file, section by section.

Every key is optional; a missing key is None. :mod:`reactorhub.config.values` reads the values, and
:mod:`reactorhub.config.schedules` checks keys that depend on each other. Each key has the JSON Schema of its
value beside the reader, see :class:`~reactorhub.config.json_schema.Reads`.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, create_model, model_validator

from reactorhub.config.expect import EXPECT, expectations
from reactorhub.config.json_schema import LINE, VARIABLE, JsonSchema, Reads, any_of, optional, text
from reactorhub.config.values import (
    MOMENT,
    NAME,
    as_written,
    choice,
    cron,
    duration,
    flag,
    left_out,
    line,
    moment,
    name,
    number,
    plain,
    secret_line,
    size,
    whole,
    zone,
)
from reactorhub.config.yaml_source import Kind, Scalar, Tree
from reactorhub.model.code import CodeReload
from reactorhub.model.isolation import Isolate
from reactorhub.model.notification import NotificationKind
from reactorhub.model.run import RunState, arg_name
from reactorhub.model.schedule import Catchup, Overlap
from reactorhub.model.sizes import PATTERN as SIZE
from reactorhub.policies.limits import MAX_LIMIT
from reactorhub.triggers.durations import PATTERN as DURATION


class Retriable(str, Enum):
    """The final states of a run after which it may be retried."""

    FAILED = RunState.FAILED.value
    TIMED_OUT = RunState.TIMED_OUT.value
    INTERRUPTED = RunState.INTERRUPTED.value


class AfterState(str, Enum):
    """The final states of a run after which another schedule may run."""

    SUCCEEDED = RunState.SUCCEEDED.value
    FAILED = RunState.FAILED.value
    TIMED_OUT = RunState.TIMED_OUT.value
    CANCELLED = RunState.CANCELLED.value
    INTERRUPTED = RunState.INTERRUPTED.value
    ANY = "any"


class NotifyOn(str, Enum):
    """The events of a schedule that people can be notified of."""

    FAILED = NotificationKind.FAILED.value
    RECOVERED = NotificationKind.RECOVERED.value
    MISSED = NotificationKind.MISSED.value
    PAUSED = NotificationKind.PAUSED.value


def mapping_or_nothing(raw: Tree) -> Tree:
    """Read a section. A section whose lines are all commented out is empty."""
    return {} if isinstance(raw, Scalar) and raw.kind is Kind.NULL else raw


def _one_or_list(raw: Tree) -> Tree:
    if raw == []:
        raise ValueError("the list is empty; write at least one, or remove the key")
    return [raw] if isinstance(raw, Scalar) else raw


def _to_whom(raw: Tree) -> Tree:
    """A channel, or a list of channels, is short for ``to``."""
    return raw if isinstance(raw, dict) else {"to": raw}


def _perhaps_none(raw: Tree) -> Tree:
    return [raw] if isinstance(raw, Scalar) else raw


def _embedded(raw: Tree) -> Tree:
    if not isinstance(raw, Scalar) or raw.kind is Kind.BROKEN:
        return raw
    if raw.text != "embedded":
        raise ValueError("write redis: embedded, or redis: {url: ...}")
    return {"embedded": Scalar("true", Kind.FLAG, "true")}


def _whole(low: int, high: int) -> Reads:
    limits = {"type": "integer", "minimum": low, "maximum": high}
    return Reads(whole(low, high), any_of(limits, VARIABLE))


def _choice(kind: type[Enum]) -> Reads:
    return Reads(choice(kind), any_of({"enum": [member.value for member in kind]}, VARIABLE))


def _one_or_list_schema(several: JsonSchema) -> JsonSchema:
    return any_of(several["items"], {**several, "minItems": 1})


ARG_NAME = r"^(?!_)(?!(crawler|name|settings)$)[\s\S]"

Line = Annotated[str, Reads(line, LINE)]
SecretLine = Annotated[str, Reads(secret_line, LINE)]
Name = Annotated[str, Reads(name, text(NAME))]
NameKey = Annotated[str, Reads(name, {"pattern": NAME})]  # keys have no variables
Flag = Annotated[bool, Reads(flag, any_of({"type": "boolean"}, VARIABLE))]
Limit = Annotated[int, _whole(1, MAX_LIMIT)]
Size = Annotated[int, Reads(size, text(SIZE))]
Span = Annotated[timedelta, Reads(duration, text(DURATION))]
Moment = Annotated[datetime, Reads(moment, text(MOMENT))]
CronText = Annotated[str, Reads(cron, LINE)]
LeftOut = Annotated[str | tuple[date, date], Reads(left_out, LINE)]
Zone = Annotated[str, Reads(zone, LINE)]
ArgName = Annotated[str, Reads(arg_name, {"pattern": ARG_NAME})]
AsWritten = Annotated[str, Reads(as_written, {"type": ["string", "number", "boolean"]})]
Setting = Annotated[Any, Reads(plain, {})]

Section = Reads(mapping_or_nothing, optional)
OneOrList = Reads(_one_or_list, _one_or_list_schema)


class Keys(BaseModel):
    """A section of the file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ProjectKeys(Keys):
    """``hub.projects.<name>``."""

    path: Line | None = None
    spider_modules: list[Line] | None = None
    settings: Line | None = None
    python: Line | None = None
    isolate: Annotated[Isolate, _choice(Isolate)] | None = None
    memory_limit: Size | None = None
    reload: Annotated[CodeReload, _choice(CodeReload)] | None = None


class RedisKeys(Keys):
    """``hub.redis``."""

    url: Line | None = None
    embedded: Flag | None = None
    prefix: Line | None = None
    inbox: Flag | None = None

    @model_validator(mode="after")
    def _one_server(self) -> RedisKeys:
        if bool(self.url) == bool(self.embedded):
            raise ValueError("write either url, or embedded: true")
        return self


class RetentionKeys(Keys):
    """``hub.retention``."""

    runs: Span | None = None
    logs: Span | None = None
    items: Span | None = None


class RetryKeys(Keys):
    """``retry`` of a schedule."""

    max_retries: Annotated[int, _whole(0, 100)] | None = None
    delay: Span | None = None
    backoff: (
        Annotated[
            float,
            Reads(number(1, 100), any_of({"type": "number", "minimum": 1, "maximum": 100}, VARIABLE)),
        ]
        | None
    ) = None
    max_delay: Span | None = None
    jitter: Span | None = None
    on: Annotated[list[Annotated[Retriable, _choice(Retriable)]] | None, OneOrList] = None


class MailKeys(Keys):
    """``hub.notify.<name>.email``, without ``from``, which is a keyword of Python."""

    to: Annotated[list[Line] | None, OneOrList] = None
    smtp: SecretLine | None = None

    @model_validator(mode="after")
    def _whole(self) -> MailKeys:
        if not (self.to and getattr(self, "from") and self.smtp):
            raise ValueError("write to, from and smtp")
        return self


if TYPE_CHECKING:
    EmailKeys = MailKeys
else:
    EmailKeys = create_model("EmailKeys", __base__=MailKeys, **{"from": (Line | None, None)})


class WebhookKeys(Keys):
    """``hub.notify.<name>.webhook``."""

    url: SecretLine | None = None
    secret: SecretLine | None = None

    @model_validator(mode="after")
    def _whole(self) -> WebhookKeys:
        if not (self.url and self.secret):
            raise ValueError("write url and secret")
        return self


class ChannelKeys(Keys):
    """``hub.notify.<name>``."""

    email: Annotated[EmailKeys | None, Section] = None
    webhook: Annotated[WebhookKeys | None, Section] = None
    apprise: Annotated[list[SecretLine] | None, OneOrList] = None

    @model_validator(mode="after")
    def _one_way(self) -> ChannelKeys:
        if [self.email, self.webhook, self.apprise].count(None) != 2:
            raise ValueError("write exactly one of email, webhook and apprise")
        return self


class NotifyKeys(Keys):
    """``notify`` of a schedule."""

    to: Annotated[
        list[Name] | None, Reads(_perhaps_none, lambda several: any_of(several["items"], several))
    ] = None
    on: Annotated[list[Annotated[NotifyOn, _choice(NotifyOn)]] | None, OneOrList] = None


class HubKeys(Keys):
    """``hub``."""

    name: Name | None = None
    http: Line | None = None
    data_dir: Line | None = None
    timezone: Zone | None = None
    max_concurrent_runs: Limit | None = None
    max_queued_runs: Annotated[int, _whole(1, 10_000_000)] | None = None
    queues: Annotated[dict[NameKey, Limit] | None, Section] = None
    shutdown_grace: Span | None = None
    projects: Annotated[dict[NameKey, Annotated[ProjectKeys, Section]] | None, Section] = None
    redis: Annotated[RedisKeys | None, Reads(_embedded, lambda keys: any_of({"const": "embedded"}, keys))] = (
        None
    )
    retention: Annotated[RetentionKeys | None, Section] = None
    demo_site: Line | None = None
    notify: Annotated[dict[NameKey, Annotated[ChannelKeys, Section]] | None, Section] = None


class ScheduleKeys(Keys):
    """``schedules.<name>``, and ``defaults`` except for the keys of triggers."""

    spider: Line | None = None
    project: Name | None = None
    interval: Span | None = None
    anchor: Moment | None = None
    cron: Annotated[list[CronText] | None, OneOrList] = None
    at: Moment | None = None
    after: Annotated[list[Name] | None, OneOrList] = None
    after_state: Annotated[list[Annotated[AfterState, _choice(AfterState)]] | None, OneOrList] = None
    timezone: Zone | None = None
    start_time: Moment | None = None
    end_time: Moment | None = None
    exclude: Annotated[list[LeftOut] | None, OneOrList] = None
    max_runs: Annotated[int, _whole(1, 1_000_000_000)] | None = None
    jitter: Span | None = None
    args: Annotated[dict[ArgName, AsWritten] | None, Section] = None
    settings: Annotated[dict[str, Setting] | None, Section] = None
    queue: Name | None = None
    priority: Annotated[int, _whole(-1_000_000, 1_000_000)] | None = None
    overlap: Annotated[Overlap, _choice(Overlap)] | None = None
    max_instances: Limit | None = None
    retry: Annotated[RetryKeys | None, Section] = None
    expect: Annotated[dict[str, Any] | None, Reads(expectations, EXPECT)] = None
    pause_on_failure: Annotated[int, _whole(1, 1000)] | None = None
    catchup: Annotated[Catchup, _choice(Catchup)] | None = None
    catchup_window: Span | None = None
    misfire_grace_time: Span | None = None
    max_catchup: Limit | None = None
    timeout: Span | None = None
    stop_grace: Span | None = None
    enabled: Flag | None = None
    tags: list[Line] | None = None
    run_on_start: Flag | None = None
    notify: Annotated[
        NotifyKeys | None, Reads(_to_whom, lambda keys: any_of(keys["properties"]["to"], keys))
    ] = None
    isolate: Annotated[Isolate, _choice(Isolate)] | None = None
    memory_limit: Size | None = None

    @property
    def window(self) -> timedelta | None:
        """``catchup_window``, which ``misfire_grace_time`` is another name of."""
        return self.catchup_window or self.misfire_grace_time


class FileKeys(Keys):
    """The file itself. Its sections are checked one by one, so that a mistake in one does not hide others."""

    hub: Any = None
    defaults: Any = None
    schedules: Annotated[dict[str, Any] | None, Section] = None
