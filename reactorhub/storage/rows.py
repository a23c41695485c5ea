"""How the nouns are stored: as flat rows of numbers and text.

Moments become whole microseconds since 1970 in UTC. Values without a fixed shape become JSON. To add a
column, add a line here and a script in ``sqlite/schema/``.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime, timedelta
from enum import Enum
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from reactorhub.errors import InvalidRequest
from reactorhub.model.batch import Batch
from reactorhub.model.isolation import Isolate
from reactorhub.model.notification import Incident, Notification, NotificationKind, NotificationState
from reactorhub.model.run import RetryRule, Run, RunSpec, RunState
from reactorhub.model.schedule import ScheduleProgress, Tick, TickOutcome
from reactorhub.model.values import stats_view
from reactorhub.storage.ledger import Page

T = TypeVar("T")
Row = tuple[Any, ...]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_INTEGER = 2**63 - 1
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_decode = json.JSONDecoder().decode


def to_number(moment: datetime) -> int:
    """Return an aware moment as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def to_moment(number: int) -> datetime:
    """Return the moment, in UTC, that :func:`to_number` turned into this number."""
    return _EPOCH + timedelta(microseconds=number)


def json_text(value: Any) -> str:
    """Return ``value`` as compact JSON. Never raises: a value that JSON lacks becomes text.

    The texts are those of :func:`reactorhub.model.values.stats_view`, so a stored stat reads like a live one.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError):
        if isinstance(value, Mapping):
            return _encode({str(key): _kept(entry) for key, entry in value.items()})
        return _encode(_kept(value))


def _kept(value: Any) -> Any:
    try:
        plain = stats_view({"value": value})["value"]
        _encode(plain)
    except Exception as error:  # noqa: BLE001 - a stat of a spider may raise anything from its __repr__
        return f"<{type(value).__name__} that could not be stored: {type(error).__name__}>"
    return plain


def sound(text: str | None) -> str | None:
    """Return a text that every database takes. Exceptions may quote file names that are not Unicode."""
    return text and text.encode("utf-8", "backslashreplace").decode()


class Kind(NamedTuple):
    """How one kind of value is stored. None stands for a value that SQLite takes or gives as it is."""

    write: Callable[[Any], Any] | None = None
    read: Callable[[Any], Any] | None = None


def _choice(states: type[Enum]) -> Kind:
    return Kind(attrgetter("value"), states)


def _json(empty: Any) -> Kind:
    """Return the kind of a JSON container. Most of them are empty: these are not encoded each time."""
    text, make = _encode(empty), type(empty)
    return Kind(
        lambda value: json_text(value) if value else text,
        lambda stored: make() if stored == text else make(_decode(stored)),
    )


def _write_rule(rule: RetryRule) -> str:
    return _encode({**asdict(rule), "on": sorted(state.value for state in rule.on)})


def _read_rule(text: str) -> RetryRule:
    stored = _decode(text)
    return RetryRule(**{**stored, "on": frozenset(RunState(state) for state in stored["on"])})


AS_IS = Kind()
TEXT = Kind(sound)
BOOLEAN = Kind(None, bool)
MOMENT = Kind(to_number, to_moment)
OBJECT = _json({})
TAGS = _json(())
RULE = Kind(_write_rule, _read_rule)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: the attribute that it stores, such as ``spec.queue``, and how.

    The column is called like the attribute unless ``name`` says otherwise. None is stored as NULL.
    """

    attribute: str
    kind: Kind = AS_IS
    name: str = ""

    @property
    def field(self) -> str:
        """The attribute's own name."""
        return self.attribute.rpartition(".")[2]


class Table(Generic[T]):
    """How values of one class are written as flat rows, and read from them."""

    def __init__(self, make: Callable[..., T], *columns: Column) -> None:
        """:param make: returns a value, given all its fields by name."""
        self._make = make
        self._values = attrgetter(*(column.attribute for column in columns))
        self._fields = tuple(column.field for column in columns)
        self._writers = [(n, column.kind.write) for n, column in enumerate(columns) if column.kind.write]
        self._readers = [(column.field, column.kind.read) for column in columns if column.kind.read]
        self.names = tuple(column.name or column.field for column in columns)
        self.columns = ", ".join(self.names)
        """The columns as a statement lists them."""
        self.places = ", ".join("?" for _ in columns)
        """A place for each column, as ``VALUES`` takes them."""

    def write(self, value: T) -> Row:
        """Return a value as a row, in the order of the columns."""
        row = list(self._values(value))
        for place, write in self._writers:
            if row[place] is not None:
                row[place] = write(row[place])
        return tuple(row)

    def read(self, row: Sequence[Any]) -> T:
        """Return the value that :meth:`write` made this row of."""
        fields = dict(zip(self._fields, row, strict=True))
        for field, read in self._readers:
            if fields[field] is not None:
                fields[field] = read(fields[field])
        return self._make(**fields)


_SPEC = tuple(field.name for field in dataclass_fields(RunSpec))


def _run(**fields: Any) -> Run:
    spec = {name: fields.pop(name) for name in _SPEC}
    spec["expect"] = spec["expect"] or {}  # NULL in runs that schema 1 or 2 wrote
    spec["isolate"] = spec["isolate"] or Isolate.NONE  # NULL in runs from before schema 6
    fields["held"] = bool(fields["held"])  # NULL in runs from before schema 9
    return Run(spec=RunSpec(**spec), **fields)


RUNS = Table(
    _run,
    Column("id"),
    Column("spec.spider"),
    Column("spec.project"),
    Column("spec.schedule"),
    Column("spec.nominal_time", MOMENT),
    Column("spec.queue"),
    Column("spec.priority"),
    Column("spec.timeout"),
    Column("spec.stop_grace"),
    Column("spec.not_before", MOMENT),
    Column("spec.attempt"),
    Column("spec.retry_of"),
    Column("spec.batch"),
    Column("spec.args", OBJECT),
    Column("spec.settings", OBJECT),
    Column("spec.tags", TAGS),
    Column("created_at", MOMENT),
    Column("state", _choice(RunState)),
    Column("reason", TEXT),
    Column("started_at", MOMENT),
    Column("finished_at", MOMENT),
    Column("finish_reason", TEXT),
    Column("errors"),
    Column("error", TEXT),
    Column("stats", OBJECT),
    Column("spec.retry", RULE),
    Column("spec.expect", OBJECT),
    Column("spec.upstream"),
    Column("spec.isolate", _choice(Isolate)),
    Column("spec.memory_limit"),
    Column("pid"),
    Column("feeds", BOOLEAN),
    Column("isolated_because", TEXT),
    Column("key"),
    Column("held", BOOLEAN),
)
TICKS = Table(
    Tick,
    Column("schedule"),
    Column("nominal_time", MOMENT),
    Column("outcome", _choice(TickOutcome)),
    Column("reason", TEXT),
    Column("run_id"),
    Column("recorded_at", MOMENT),
    Column("until", MOMENT),
)
PROGRESS = Table(
    ScheduleProgress,
    Column("name"),
    Column("fingerprint"),
    Column("accounted_until", MOMENT, name="since"),
    Column("paused", BOOLEAN),
    Column("paused_reason", TEXT),
    Column("resumed_at", MOMENT),
    Column("runs"),
)
BATCHES = Table(
    Batch,
    Column("id"),
    Column("created_at", MOMENT),
    Column("on_complete", OBJECT),
    Column("finished_at", MOMENT),
    Column("completion"),
)
INCIDENTS = Table(
    Incident,
    Column("schedule"),
    Column("kind", _choice(NotificationKind)),
    Column("since", MOMENT),
    Column("count"),
)
NOTIFICATIONS = Table(
    Notification,
    Column("id"),
    Column("channel"),
    Column("kind", _choice(NotificationKind)),
    Column("schedule"),
    Column("created_at", MOMENT),
    Column("not_before", MOMENT),
    Column("since", MOMENT),
    Column("count"),
    Column("about", OBJECT),
    Column("state", _choice(NotificationState)),
    Column("attempts"),
    Column("error", TEXT),
)


def make_page(kind: str, found: Sequence[tuple[int, T]], limit: int) -> Page[T]:
    """Return the first ``limit`` rows of ``found``, as a page. ``found`` has pairs of a place and a row.

    The page has a cursor if there are more than ``limit``.
    """
    more = len(found) > limit > 0
    return Page(tuple(row for _, row in found[:limit]), _cursor(kind, found[limit - 1][0]) if more else None)


def _cursor(kind: str, place: int) -> str:
    return urlsafe_b64encode(f"{kind}:{place}".encode()).decode().rstrip("=")


def read_cursor(kind: str, cursor: str | None) -> int | None:
    """Return the place after which a page of this kind continues; None for the first page.

    :raises InvalidRequest: if the cursor is not from a page of this kind.
    """
    if cursor is None:
        return None
    try:
        place = int(urlsafe_b64decode(cursor.encode() + b"==").decode().removeprefix(f"{kind}:"))
    except ValueError:
        place = _MAX_INTEGER + 1
    if abs(place) > _MAX_INTEGER or _cursor(kind, place) != cursor:
        raise InvalidRequest(
            {"cursor": "is not from this list; send next_cursor of the previous page unchanged"}
        )
    return place
