from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reactorhub.triggers.cron import Cron, dst_mark
from reactorhub.triggers.durations import EPOCH, duration_text
from reactorhub.triggers.rules import Interval, Once, Trigger
from reactorhub.triggers.wall_clock import zone

BERLIN, HOWE = "Europe/Berlin", "Australia/Lord_Howe"
GAP, OVERLAP = "2026-03-29", "2026-10-25"
HOWE_GAP, HOWE_OVERLAP = "2026-10-04", "2026-04-05"
ZONES = (
    "UTC",
    BERLIN,
    "America/New_York",
    HOWE,
    "Asia/Beirut",
    "America/Asuncion",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Asia/Kathmandu",
)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)


def utc(text: str) -> datetime:
    """Read a moment; one without an offset is UTC."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def ticks(trigger: Trigger, after: datetime, count: int) -> list[datetime]:
    """The next ``count`` ticks, each asked for from the one before."""
    found: list[datetime] = []
    while len(found) < count and (tick := trigger.next_after(found[-1] if found else after)) is not None:
        found.append(tick)
    return found


def local_day(expression: str, name: str, day: str) -> list[str]:
    """The ticks of one local day, as wall time and offset."""
    trigger, where = Cron.parse((expression,), name), ZoneInfo(name)
    start = datetime.fromisoformat(day).replace(tzinfo=where).astimezone(UTC) - SECOND
    local = (tick.astimezone(where) for tick in ticks(trigger, start, 60))
    return [f"{tick:%H:%M%z}" for tick in local if f"{tick:%Y-%m-%d}" == day]


@pytest.mark.parametrize(
    ("expression", "name", "day", "expected"),
    [
        ("30 2 * * *", BERLIN, GAP, "03:00+0200"),
        ("0 3 * * *", BERLIN, GAP, "03:00+0200"),
        ("0,30 2,3 * * *", BERLIN, GAP, "03:00+0200 03:30+0200"),
        ("*/20 2 * * *", BERLIN, GAP, "03:00+0200"),
        ("0 30 2 * * *", BERLIN, GAP, "03:00+0200"),
        ("45 1 * * *", BERLIN, GAP, "01:45+0100"),
        ("30 2-2/24 * * *", BERLIN, GAP, "03:00+0200"),
        ("15 2 * * *", HOWE, HOWE_GAP, "02:30+1100"),
        ("45 2 * * *", HOWE, HOWE_GAP, "02:45+1100"),
        ("*/15 2 * * *", HOWE, HOWE_GAP, "02:30+1100 02:45+1100"),
        ("@daily", "Asia/Beirut", "2026-03-29", "01:00+0300"),
        ("@daily", "America/Asuncion", "2023-10-01", "01:00-0300"),
        ("0 10 * * *", "Pacific/Apia", "2011-12-31", "00:00+1400 10:00+1400"),
    ],
)
def test_a_fixed_time_in_the_gap_runs_once_at_its_end(
    expression: str, name: str, day: str, expected: str
) -> None:
    """Where clocks go forward, fixed times in the gap become one tick at its end; others stay in place."""
    assert local_day(expression, name, day) == expected.split()


@pytest.mark.parametrize(
    ("expression", "name", "day", "expected"),
    [
        ("30 2 * * *", BERLIN, OVERLAP, "02:30+0200"),
        ("0 30 2 * * *", BERLIN, OVERLAP, "02:30+0200"),
        ("*/30 2 * * *", BERLIN, OVERLAP, "02:00+0200 02:30+0200"),
        ("0 1-3 * * *", BERLIN, OVERLAP, "01:00+0200 02:00+0200 03:00+0100"),
        ("45 1 * * *", HOWE, HOWE_OVERLAP, "01:45+1100"),
        ("0 2 * * *", HOWE, HOWE_OVERLAP, "02:00+1030"),
        ("30 23 * * *", "Asia/Beirut", "2026-10-24", "23:30+0300"),
    ],
)
def test_a_fixed_time_in_the_overlap_runs_the_first_time(
    expression: str, name: str, day: str, expected: str
) -> None:
    """Where clocks go back, a fixed time that comes twice runs once, the first time."""
    assert local_day(expression, name, day) == expected.split()


@pytest.mark.parametrize(
    ("expression", "name", "day", "expected"),
    [
        ("30 * * * *", BERLIN, GAP, "00:30+0100 01:30+0100 03:30+0200 04:30+0200"),
        ("30 * * * *", BERLIN, OVERLAP, "00:30+0200 01:30+0200 02:30+0200 02:30+0100"),
        ("0 30 */1 * * *", BERLIN, OVERLAP, "00:30+0200 01:30+0200 02:30+0200 02:30+0100"),
        ("0 */2 * * *", BERLIN, GAP, "00:00+0100 04:00+0200 06:00+0200"),
        ("0 */2 * * *", BERLIN, OVERLAP, "00:00+0200 02:00+0200 02:00+0100 04:00+0100"),
        ("0 2-4/2 * * *", BERLIN, OVERLAP, "02:00+0200 02:00+0100 04:00+0100"),
        ("30 * * * *", HOWE, HOWE_GAP, "00:30+1030 01:30+1030 02:30+1100 03:30+1100"),
        ("30 * * * *", HOWE, HOWE_OVERLAP, "00:30+1100 01:30+1100 01:30+1030 02:30+1030"),
        ("0 */2 * * *", HOWE, HOWE_OVERLAP, "00:00+1100 02:00+1030 04:00+1030"),
        ("0 * * * *", "America/Asuncion", "2023-10-01", "01:00-0300 02:00-0300"),
    ],
)
def test_star_and_step_hours_run_each_real_hour(expression: str, name: str, day: str, expected: str) -> None:
    """An expression with ``*`` or stepped hours ticks whenever the wall clock shows one of its times."""
    assert local_day(expression, name, day)[: len(expected.split())] == expected.split()


@lru_cache
def changes(name: str) -> tuple[datetime, ...]:
    """A moment within a day before each change of the clocks from 2010 to 2037."""
    where, start = ZoneInfo(name), utc("2010-01-01")
    days = [start + timedelta(days=day) for day in range(28 * 365)]
    offsets = [day.astimezone(where).utcoffset() for day in days]
    return tuple(
        day for day, (before, after) in zip(days, pairwise(offsets), strict=False) if before != after
    )


def walls_shown(name: str, start: datetime, end: datetime) -> dict[datetime, list[datetime]]:
    """Every wall time that clocks show on a full minute, with the moments at which they do."""
    shown: dict[datetime, list[datetime]] = {}
    for number in range((end - start) // MINUTE):
        moment = start + number * MINUTE
        shown.setdefault(moment.astimezone(ZoneInfo(name)).replace(tzinfo=None, fold=0), []).append(moment)
    return shown


def oracle(
    shown: dict[datetime, list[datetime]], minutes: set[int], hours: set[int], real: bool
) -> set[datetime]:
    """All ticks among these wall times, found by looking at every minute."""
    found: set[datetime] = set()
    first, last = min(shown), max(shown)
    for wall in (first + number * MINUTE for number in range((last - first) // MINUTE)):
        if wall.minute not in minutes or wall.hour not in hours:
            continue
        if real:
            found.update(shown.get(wall, ()))
        elif wall in shown:
            found.add(shown[wall][0])
        else:
            found.add(min(moments[0] for later, moments in shown.items() if later > wall))
    return found


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from([name for name in ZONES if changes(name)]))
def test_every_change_of_the_clocks_agrees_with_looking_at_each_minute(
    data: st.DataObject, name: str
) -> None:
    """Around any change from 2010 to 2037, in any zone, the ticks are those a brute-force search finds."""
    start = data.draw(st.sampled_from(changes(name))) - 6 * HOUR
    minutes = data.draw(st.sets(st.integers(0, 59), min_size=1, max_size=3))
    field, hours, real = data.draw(
        st.one_of(
            st.sets(st.integers(0, 23), min_size=1, max_size=6).map(
                lambda h: (",".join(map(str, h)), h, False)
            ),
            st.integers(1, 12).map(lambda step: (f"*/{step}", set(range(0, 24, step)), True)),
        )
    )
    trigger = Cron.parse((f"{','.join(map(str, minutes))} {field} * * *",), name)
    end = start + 36 * HOUR
    most = 38 * 3 + 1  # a gap lets 36 hours touch more than 36 hours of the wall clock
    found = [tick for tick in ticks(trigger, start, most) if tick <= end]
    shown = walls_shown(name, start - 30 * HOUR, end + 30 * HOUR)
    assert found == sorted(tick for tick in oracle(shown, minutes, hours, real) if start < tick <= end)


EXPRESSIONS = (
    "* * * * * *",
    "*/15 8-20 * * mon-fri",
    "30 2 * * *",
    "0 */2 * * *",
    "30 * * * *",
    "0 0 * * 7",
    "0 0 13 * fri",
    "0 12 L * *",
    "0 12 LW * *",
    "5 4 * * mon#2",
    "0 9 * jan,jul 5L",
    "30 15 2 29 2 *",
    "@hourly",
    "@monthly",
)
crons = st.builds(
    Cron.parse,
    st.lists(st.sampled_from(EXPRESSIONS), min_size=1, max_size=2).map(tuple),
    st.sampled_from(ZONES),
)
moments = st.integers(157_766_400, 10_413_792_000_000).map(lambda ms: EPOCH + timedelta(milliseconds=ms))
intervals = st.builds(
    Interval, st.timedeltas(SECOND, timedelta(days=400)), st.one_of(st.just(EPOCH), moments)
)


@settings(max_examples=150, deadline=None)
@given(
    trigger=st.one_of(crons, intervals, st.builds(Once, moments)),
    moment=moments,
    part=st.integers(0, 999),
)
@example(Cron.parse(("* 2 * * *",), BERLIN), utc("2026-10-25T00:10:00"), 500)
@example(Cron.parse(("30 * * * *",), HOWE), utc("2026-04-04T14:20:00"), 500)
def test_the_sequence_is_the_same_from_wherever_it_is_resumed(
    trigger: Trigger, moment: datetime, part: int
) -> None:
    """Ticks rise strictly, and from any moment between two of them the next is the later one."""
    sequence = ticks(trigger, moment, 6)
    assert all(tick.tzinfo is UTC for tick in sequence)
    for earlier, later in pairwise([moment, *sequence]):
        assert earlier < later
        assert trigger.next_after(earlier + (later - earlier) * part // 1000) == later
        assert trigger.next_after(later - MICROSECOND) == later


@settings(max_examples=100, deadline=None)
@given(trigger=intervals, moment=moments)
def test_an_interval_is_counted_from_its_anchor(trigger: Interval, moment: datetime) -> None:
    """Every tick is a whole number of intervals from the anchor, and no more than one interval ahead."""
    tick = trigger.next_after(moment)
    assert tick is not None
    assert (tick - trigger.anchor) % trigger.every == timedelta(0)
    assert tick - moment <= trigger.every or tick == trigger.anchor


def test_before_a_future_anchor_the_first_tick_is_the_anchor() -> None:
    """An interval does not tick before an anchor that lies ahead."""
    trigger = Interval(HOUR, utc("2030-01-01T00:20:00"))
    assert ticks(trigger, utc("2026-01-01"), 2) == [utc("2030-01-01T00:20:00"), utc("2030-01-01T01:20:00")]


def test_a_single_moment_ticks_once() -> None:
    """A one-shot trigger has one tick and then no more."""
    trigger = Once(utc("2026-12-01T08:00:00+01:00"))
    assert ticks(trigger, EPOCH, 3) == [utc("2026-12-01T07:00:00")]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@yearly", "2027-01-01T00:00"),
        ("@Annually", "2027-01-01T00:00"),
        ("@monthly", "2026-06-01T00:00"),
        ("@weekly", "2026-05-17T00:00"),
        ("@daily", "2026-05-14T00:00"),
        ("@midnight", "2026-05-14T00:00"),
        ("@hourly", "2026-05-13T11:00"),
        ("0 0 * * 7", "2026-05-17T00:00"),
        ("0 0 * * SUN", "2026-05-17T00:00"),
        ("0 0 1 Jan *", "2027-01-01T00:00"),
        ("0 0 20 * mon", "2026-05-18T00:00"),
        ("0 0 20 * tue", "2026-05-19T00:00"),
        ("*/20 * * * * *", "2026-05-13T10:00:20"),
        ("  0   12 * * * ", "2026-05-13T12:00"),
    ],
)
def test_how_expressions_are_read(expression: str, expected: str) -> None:
    """Aliases, names, 7 for Sunday, seconds first, and either of two given days."""
    trigger = Cron.parse((expression,), "UTC")
    assert trigger.next_after(utc("2026-05-13T10:00:00.5")) == utc(expected)


def test_of_several_expressions_the_earliest_counts() -> None:
    """A list of expressions ticks at each time that any of them names, once."""
    trigger = Cron.parse(("0 6 * * *", "0 18 * * *", "0 6 * * mon"), "UTC")
    assert [tick.hour for tick in ticks(trigger, utc("2026-05-11"), 4)] == [6, 18, 6, 18]


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("0 0 *", "has 3 fields"),
        ("", "has 0 fields"),
        ("61 * * * *", "the minute field '61'"),
        ("x * * * *", "the minute field 'x'"),
        ("70 * * * * *", "the second field '70'"),
        ("0 22-2 * * *", "a range runs upwards"),
        ("0 0 31 2 *", "a day that the month has"),
        ("0 0 30 feb *", "a day that the month has"),
        ("0 0 ? * *", "the day-of-month field"),
        ("0 0 * 13 *", "the month field"),
        ("0 0 * * frx", "the day-of-week field"),
        ("@reboot", "write run_on_start: true"),
        ("@fortnightly", "use one of @yearly"),
        ("0 " + "9" * 5000 + " * * *", "cannot be read"),
    ],
)
def test_a_bad_expression_is_refused_with_a_sentence(expression: str, hint: str) -> None:
    """What cannot be read or can never come is a ValueError that names the field and says what to write."""
    with pytest.raises(ValueError, match=hint):
        Cron.parse((expression,), "UTC")


@pytest.mark.parametrize("name", ["Europe/Belin", "", "../etc/passwd", "Europe"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    """A zone that does not exist is a ValueError, whatever the name looks like."""
    with pytest.raises(ValueError, match="there is no time zone"):
        zone(name)


def test_values_that_make_no_sense_are_refused() -> None:
    """An interval under a second, moments without an offset and an empty cron list are mistakes."""
    with pytest.raises(ValueError, match="shorter than 1s"):
        Interval(timedelta(0))
    with pytest.raises(ValueError, match="UTC offset"):
        Interval(HOUR, EPOCH.replace(tzinfo=None))
    with pytest.raises(ValueError, match="UTC offset"):
        Once(EPOCH.replace(tzinfo=None))
    with pytest.raises(ValueError, match="at least one"):
        Cron.parse((), "UTC")


def test_triggers_are_values() -> None:
    """Triggers with equal fields are equal and hash alike, wherever their moments were written."""
    at = datetime.fromisoformat("2026-12-01T08:00:00+01:00")
    assert len({Once(at), Once(at.astimezone(UTC))}) == 1
    assert Cron.parse(("0  3 * * *",), BERLIN) == Cron.parse(("0 3 * * *",), BERLIN)
    assert Interval(HOUR) == Interval(timedelta(minutes=60)) != Interval(2 * HOUR)


@pytest.mark.parametrize(
    ("trigger", "kind", "text", "name"),
    [
        (Interval(6 * HOUR), "interval", "6h", None),
        (Interval(90 * MINUTE, utc("2026-01-01")), "interval", "1h30m from 2026-01-01T00:00:00Z", None),
        (Once(utc("2026-12-01T07:00")), "once", "2026-12-01T07:00:00Z", None),
        (Cron.parse(("0 3 * * *", "@daily"), BERLIN), "cron", "0 3 * * *; @daily", BERLIN),
    ],
)
def test_how_a_trigger_describes_itself(trigger: Trigger, kind: str, text: str, name: str | None) -> None:
    """Kind, text and zone are what the schedule's view shows."""
    assert (trigger.kind, trigger.text, trigger.timezone) == (kind, text, name)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (1.5, "1.5s"), (90, "1m30s"), (600, "10m"), (90061, "1d1h1m1s")]
)
def test_durations_are_spelt_as_in_the_schedule_file(seconds: float, text: str) -> None:
    """Days, hours, minutes and seconds, leaving out what is nought."""
    assert duration_text(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("expression", "tick", "mark"),
    [
        ("30 2 * * *", "2026-03-29T03:00+02:00", "gap"),
        ("0 3 * * *", "2026-03-29T03:00+02:00", None),
        ("30 2 * * *", "2026-10-25T02:30+02:00", "overlap"),
        ("30 * * * *", "2026-10-25T02:30+01:00", "overlap"),
        ("30 2 * * *", "2026-05-05T02:30+02:00", None),
    ],
)
def test_ticks_touched_by_a_change_of_the_clocks_are_marked(
    expression: str, tick: str, mark: str | None
) -> None:
    """A moved tick says ``gap``, one whose local time comes twice says ``overlap``."""
    assert dst_mark(Cron.parse((expression,), BERLIN), utc(tick)) == mark


def test_only_cron_ticks_are_marked() -> None:
    """An interval knows no wall clock, so no change of the clocks touches it."""
    assert dst_mark(Interval(HOUR), utc("2026-10-25T02:30+02:00")) is None


@pytest.mark.parametrize("trigger", [Interval(HOUR), Cron.parse(("0 3 * * *",), BERLIN)])
def test_at_the_end_of_time_there_is_no_next_tick(trigger: Trigger) -> None:
    """Beyond the last representable moment there is None, not an exception."""
    assert trigger.next_after(datetime.max.replace(tzinfo=UTC)) is None


def test_dates_far_away_are_found() -> None:
    """A February with five Mondays is found forty years ahead."""
    trigger = Cron.parse(("0 0 * 2 mon#5",), "UTC")
    assert trigger.next_after(utc("2072-03-01")) == utc("2112-02-29")
