"""Triggers with a first and a last moment, and with times left out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactorhub.triggers.cron import Cron, dst_mark
from reactorhub.triggers.cron_fields import covered
from reactorhub.triggers.rules import Interval, Once, Trigger
from reactorhub.triggers.wall_clock import wall_time
from reactorhub.triggers.window import MAX_PERIODS, ExcludedDays, ExcludedTimes, Exclusion, Window, end_of
from tests.support.counted import Counted

BERLIN, NEW_YORK, BEIRUT = "Europe/Berlin", "America/New_York", "Asia/Beirut"
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOON = datetime(2026, 5, 13, 12, tzinfo=UTC)
HOURLY = Interval(HOUR)


def utc(text: str) -> datetime:
    """Read a moment; one without an offset is UTC."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def ticks(trigger: Trigger, after: datetime, until: datetime) -> list[datetime]:
    """All ticks in (after, until], each asked for from the one before."""
    found: list[datetime] = []
    tick = trigger.next_after(after)
    while tick is not None and tick <= until:
        found.append(tick)
        tick = trigger.next_after(tick)
    return found


def test_start_and_end_are_part_of_the_time_between() -> None:
    """There is a tick at start and at end, if one falls there, and none before or after."""
    bounded = Window(HOURLY, NOON, NOON + 2 * HOUR)
    assert ticks(bounded, NOON - 400 * DAY, NOON + DAY) == [NOON, NOON + HOUR, NOON + 2 * HOUR]
    between = Window(HOURLY, NOON + MINUTE, NOON + 2 * HOUR - MINUTE)
    assert ticks(between, NOON - DAY, NOON + DAY) == [NOON + HOUR]


def test_a_start_does_not_move_the_ticks() -> None:
    """The ticks stay those of the rule: an interval is not counted from the start."""
    assert Window(Interval(7 * HOUR), start=NOON).next_after(NOON) == Interval(7 * HOUR).next_after(NOON)


@pytest.mark.parametrize(
    ("rule", "start", "end"),
    [(Once(NOON), NOON + SECOND, None), (Once(NOON), None, NOON - SECOND), (HOURLY, None, NOON - DAY)],
)
def test_nothing_outside(rule: Trigger, start: datetime | None, end: datetime | None) -> None:
    """Where the rule has no tick between start and end, there is none."""
    assert Window(rule, start, end).next_after(NOON - MINUTE) is None


def test_an_end_before_the_start_is_refused() -> None:
    """Start and end may be one moment, but not in the wrong order; nor may days."""
    assert Window(HOURLY, NOON, NOON).next_after(NOON - DAY) == NOON
    with pytest.raises(ValueError, match="write a later end_time"):
        Window(HOURLY, NOON, NOON - SECOND)
    with pytest.raises(ValueError, match=r"2026-12-26\.\.2026-12-24 ends before it begins"):
        ExcludedDays(date(2026, 12, 26), date(2026, 12, 24), BERLIN)


def test_a_bounded_trigger_describes_its_rule() -> None:
    """Kind, text and zone are those of the rule; exclusions say what the file says; all are values."""
    rule = Cron.parse(("0 3 * * *",), BERLIN)
    days = ExcludedDays(date(2026, 12, 24), date(2027, 1, 2), BERLIN)
    bounded = Window(rule, end=NOON, exclude=(days, ExcludedTimes("* * * * sun", BERLIN)))
    assert (bounded.kind, bounded.text, bounded.timezone) == ("cron", "0 3 * * *", BERLIN)
    assert [each.text for each in bounded.exclude] == ["2026-12-24..2027-01-02", "* * * * sun"]
    assert ExcludedDays(date(2026, 12, 24), date(2026, 12, 24), BERLIN).text == "2026-12-24"
    assert (end_of(bounded), end_of(rule), end_of(None)) == (NOON, None, None)
    assert len({bounded, Window(rule, end=NOON, exclude=bounded.exclude)}) == 1


def test_a_change_of_the_clocks_is_marked_as_before() -> None:
    """The marks of a rule's ticks are the same where something narrows it."""
    rule = Cron.parse(("30 2 * * *",), BERLIN)
    assert dst_mark(Window(rule, end=utc("2030-01-01")), utc("2026-03-29T03:00+02:00")) == "gap"
    assert dst_mark(Window(HOURLY, end=utc("2030-01-01")), utc("2026-10-25T02:00+02:00")) is None


@pytest.mark.parametrize(
    ("rule", "exclude", "after", "expected"),
    [
        ("0 12 * * *", "2026-12-24..2026-12-26", "2026-12-23T12:00+01:00", "2026-12-27T12:00+01:00"),
        ("0 0 * * *", "2026-12-24", "2026-12-23T12:00+01:00", "2026-12-25T00:00+01:00"),
        ("59 23 * * *", "2026-12-24", "2026-12-23T12:00+01:00", "2026-12-23T23:59+01:00"),
        ("0 * * * *", "* 8-17 * * mon-fri", "2026-05-13T07:30+02:00", "2026-05-13T18:00+02:00"),
        ("0 3 * * *", "* * * * sat,sun", "2026-05-15T12:00+02:00", "2026-05-18T03:00+02:00"),
        ("*/15 * * * * *", "30 12 * * *", "2026-05-13T12:29:45+02:00", "2026-05-13T12:31:00+02:00"),
        ("*/15 * * * * *", "15 30 12 * * *", "2026-05-13T12:30:00+02:00", "2026-05-13T12:30:30+02:00"),
        ("30 2 * * *", "2026-03-29", "2026-03-28T12:00+01:00", "2026-03-30T02:30+02:00"),
        ("30 2 * * *", "30 2 * * *", "2026-03-28T12:00+01:00", "2026-03-29T03:00+02:00"),
        ("30 * * * *", "* 2 * * *", "2026-10-25T01:30+02:00", "2026-10-25T03:30+01:00"),
    ],
)
def test_what_is_left_out(rule: str, exclude: str, after: str, expected: str) -> None:
    """Days are local days; a cron with five fields leaves out whole minutes, one with six seconds."""
    left_out: Exclusion = ExcludedTimes(exclude, BERLIN)
    if exclude.startswith("2026"):
        first, _, last = exclude.partition("..")
        left_out = ExcludedDays(date.fromisoformat(first), date.fromisoformat(last or first), BERLIN)
    bounded = Window(Cron.parse((rule,), BERLIN), exclude=(left_out,))
    assert bounded.next_after(utc(after)) == utc(expected)


FIELDS = {
    "* 8-20 * * mon-fri": lambda wall: 8 <= wall.hour <= 20 and wall.weekday() < 5,
    "*/7 * * * *": lambda wall: wall.minute % 7 == 0,
    "* 1-3 * * *": lambda wall: 1 <= wall.hour <= 3,
    "0-29 * * * *": lambda wall: wall.minute < 30,
    "* * * * sun": lambda wall: wall.weekday() == 6,
    "0 0 0 * * *": lambda wall: (wall.hour, wall.minute, wall.second) == (0, 0, 0),
}
"""Some crons, each beside a rule in Python that says the same."""


@settings(max_examples=80, deadline=None)
@given(
    rule=st.sampled_from(["*/20 * * * *", "30 2 * * *", "0 */2 * * *", "15 0,1,23 * * *"]),
    crons=st.lists(st.sampled_from(sorted(FIELDS)), max_size=2),
    zone=st.sampled_from([BERLIN, NEW_YORK, BEIRUT, "Australia/Lord_Howe", "America/St_Johns"]),
    begin=st.datetimes(datetime.fromisoformat("2010-01-01"), datetime.fromisoformat("2037-01-01")),
    day=st.integers(-1, 4),
    days=st.integers(0, 2),
    span=st.tuples(st.integers(0, 60), st.integers(0, 60)),
)
def test_what_is_left_is_what_a_filter_leaves(
    rule: str, crons: list[str], zone: str, begin: datetime, day: int, days: int, span: tuple[int, int]
) -> None:
    """Whatever the bounds, the ticks are those of the rule that a plain look at each one lets through."""
    since = begin.replace(tzinfo=UTC)
    until, inner, where = since + 3 * DAY, Cron.parse((rule,), zone), ZoneInfo(zone)
    first = since.astimezone(where).date() + day * DAY
    start, end = since + min(span) * HOUR, since + max(span) * HOUR
    left_out: list[Exclusion] = [
        ExcludedDays(first, first + days * DAY, zone),
        *(ExcludedTimes(each, zone) for each in crons),
    ]

    def passes(tick: datetime) -> bool:
        wall = tick.astimezone(where)
        in_days = first <= wall.date() <= first + days * DAY
        return start <= tick <= end and not in_days and not any(FIELDS[each](wall) for each in crons)

    bounded = Window(inner, start, end, tuple(left_out))
    assert ticks(bounded, since, until) == [tick for tick in ticks(inner, since, until) if passes(tick)]


DENSE = [
    "*/2 * * * *",
    "*/2 0-22 * * *",
    "1-59/2 1-21 * * *",
    "*/3 * * * *",
    "0-58 * * * sat,sun",
    "* 2 * * *",
]


@settings(max_examples=50, deadline=None)
@given(
    rule=st.sampled_from(
        [
            Interval(MINUTE),
            Interval(7 * MINUTE, datetime(2020, 1, 1, 0, 0, 30, tzinfo=UTC)),
            Interval(timedelta(seconds=40.5)),
            "* * * * *",
            "*/2 * * * *",
            "*/2 2,3 * * *",
            "30 */5 * * * *",
            "* 0-23 * * *",
        ]
    ),
    crons=st.lists(st.sampled_from(DENSE), min_size=1, max_size=4, unique=True),
    place=st.sampled_from(
        [
            (BERLIN, "2027-03-28T01:00Z"),
            (BERLIN, "2027-10-31T01:00Z"),
            (BERLIN, "2027-06-05T01:00Z"),
            (BEIRUT, "2027-03-27T22:00Z"),
            (BEIRUT, "2027-10-30T21:00Z"),
            ("Australia/Lord_Howe", "2027-04-03T15:00Z"),
            ("Pacific/Apia", "2011-12-30T10:00Z"),
        ]
    ),
    before=st.integers(0, 60 * 24),
)
def test_many_short_stretches_leave_what_a_filter_leaves(
    rule: Trigger | str, crons: list[str], place: tuple[str, str], before: int
) -> None:
    """The first tick is found behind any number of pieces, also on a day on which clocks change."""
    zone, change = place
    inner = Cron.parse((rule,), zone) if isinstance(rule, str) else rule
    bounded = Window(inner, exclude=tuple(ExcludedTimes(each, zone) for each in crons))
    since = utc(change) - before * MINUTE
    left = (
        tick
        for tick in ticks(inner, since, since + 30 * HOUR)
        if not any(covered(each, wall_time(tick, ZoneInfo(zone))) for each in crons)
    )
    first, found = next(left, None), bounded.next_after(since)
    assert found == first if first is not None else found is None or found > since + 30 * HOUR


@pytest.mark.parametrize(
    ("rule", "exclude", "expected"),
    [
        (Cron.parse(("* * * * * *",), BERLIN), ["*/2 * * * * *", "1-59/2 * 0-22 * * *"], "23:00:01"),
        (Cron.parse(("*/2 * * * * *",), BERLIN), ["*/2 * 0-22 * * *"], "23:00:00"),
        (Interval(3 * SECOND), ["*/2 * * * * *", "1-59/2 * 0-22 * * *"], "23:00:03"),
        (Cron.parse(("* * * * *",), BERLIN), ["*/2 * * * *", "1-59/2 * 13-31 5 *"], "00:01:00"),
    ],
)
def test_no_tick_is_lost_behind_many_stretches(rule: Trigger, exclude: list[str], expected: str) -> None:
    """Tens of thousands of short stretches are no end of the schedule, and take no time."""
    bounded = Window(rule, exclude=tuple(ExcludedTimes(each, BERLIN) for each in exclude))
    tick = bounded.next_after(NOON)
    assert tick is not None and f"{wall_time(tick, ZoneInfo(BERLIN)):%H:%M:%S}" == expected


@pytest.mark.parametrize("exclude", [("* * * * *",), ("0-29 * * * *", "30-59 * * * *"), ("* * * * * *",)])
@pytest.mark.parametrize("rule", ["* * * * * *", "* * * * *", "0 3 * * *"])
def test_who_leaves_out_everything_has_no_ticks(rule: str, exclude: tuple[str, ...]) -> None:
    """The search ends after a bounded number of questions, and then the answer is never."""
    counted = Counted(Cron.parse((rule,), BERLIN))
    bounded = Window(counted, exclude=tuple(ExcludedTimes(each, BERLIN) for each in exclude))
    assert bounded.next_after(NOON) is None
    assert len(counted.calls) <= MAX_PERIODS + 1
    asked = len(counted.calls)
    assert bounded.next_after(NOON) is None
    assert len(counted.calls) == asked + 1


@pytest.mark.parametrize(
    ("rule", "exclude", "most"),
    [
        ("0 3 * * sun", "* * * * sun", 250),
        ("* * * * * *", "* * * * sun-sat", 20),
        ("*/5 * * * *", "* * */1 * *", 20),
        ("*/5 * * * *", "* * 1-31 * mon", 20),
    ],
)
def test_that_nothing_is_left_is_seen_soon(rule: str, exclude: str, most: int) -> None:
    """Neither a tick a week nor crons that leave out all days are looked at for decades."""
    counted = Counted(Cron.parse((rule,), BERLIN))
    assert Window(counted, exclude=(ExcludedTimes(exclude, BERLIN),)).next_after(NOON) is None
    assert len(counted.calls) <= most


def test_what_is_rare_is_looked_for_longer() -> None:
    """A leap day that has to be a Sunday comes after 28 years, and is found."""
    rule = Cron.parse(("0 3 29 2 *",), BERLIN)
    bounded = Window(rule, exclude=(ExcludedTimes("* * * * mon-sat", BERLIN),))
    assert bounded.next_after(utc("2032-03-01")) == utc("2060-02-29T03:00+01:00")


def test_much_left_out_is_passed_in_few_steps() -> None:
    """A schedule of every second that rests for years is not looked at second by second."""
    counted = Counted(Cron.parse(("* * * * * *",), BERLIN))
    days = ExcludedDays(date(2026, 5, 1), date(2029, 12, 31), BERLIN)
    bounded = Window(
        counted,
        exclude=(days, ExcludedTimes("* 0-22 * * *", BERLIN), ExcludedTimes("* 0-58 * * * *", BERLIN)),
    )
    assert bounded.next_after(NOON) == utc("2030-01-01T23:59:00+01:00")
    assert len(counted.calls) < 20


def test_the_end_of_time() -> None:
    """Near the last representable moment there is None, not an exception."""
    days = ExcludedDays(date(9000, 1, 1), date.max, BERLIN)
    bounded = Window(HOURLY, exclude=(days, ExcludedTimes("* * * * *", BERLIN)))
    assert bounded.next_after(datetime.max.replace(tzinfo=UTC) - 3 * HOUR) is None
    assert bounded.next_after(datetime.max.replace(tzinfo=UTC)) is None
