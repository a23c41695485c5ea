"""When a tick starts: a stable moment after its nominal time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reactorhub.model.run import RunSpec
from reactorhub.model.schedule import Schedule
from reactorhub.policies.jitter import start_at
from reactorhub.triggers.cron import Cron
from reactorhub.triggers.rules import Interval, Once, Trigger
from reactorhub.triggers.window import Window

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOON = datetime(2026, 5, 13, 12, tzinfo=UTC)


def schedule(trigger: Trigger | None, jitter: timedelta = 10 * MINUTE, name: str = "prices") -> Schedule:
    """A schedule of which only "when" matters."""
    return Schedule(name=name, spec=RunSpec(spider="s", project="p"), trigger=trigger, jitter=jitter)


def test_the_offset_never_changes() -> None:
    """Hubs of all versions and machines agree on it: this one is pinned."""
    assert start_at(schedule(Interval(HOUR)), NOON) == datetime(2026, 5, 13, 12, 0, 59, 771408, tzinfo=UTC)


def test_without_jitter_a_tick_starts_at_its_nominal_time() -> None:
    """No jitter, or no trigger, leaves a moment as it is."""
    assert start_at(schedule(Interval(HOUR), timedelta()), NOON) == NOON
    assert start_at(schedule(None), NOON) == NOON


def test_the_offset_differs_by_name_and_by_tick() -> None:
    """Schedules that share a time are spread over the whole span, and so are the ticks of one."""
    for starts in (
        [start_at(schedule(Interval(HOUR), name=f"s{n}"), NOON) - NOON for n in range(200)],
        [start_at(schedule(Interval(HOUR)), NOON + n * HOUR) - NOON - n * HOUR for n in range(200)],
    ):
        assert len(set(starts)) == 200
        assert min(starts) < MINUTE
        assert max(starts) > 9 * MINUTE


def test_the_last_tick_starts_no_later_than_the_end() -> None:
    """A tick at the end starts on the dot, one shortly before it within what is left."""
    at_the_end = Window(Interval(HOUR), end=NOON)
    assert start_at(schedule(at_the_end), NOON) == NOON
    before = Window(Once(NOON), end=NOON + SECOND)
    assert NOON <= start_at(schedule(before), NOON) < NOON + SECOND
    assert NOON + SECOND < start_at(schedule(Once(NOON)), NOON) < NOON + 10 * MINUTE


@given(
    trigger=st.one_of(
        st.builds(Interval, st.timedeltas(SECOND, DAY)),
        st.sampled_from(
            [Cron.parse(("* * * * * *",), "UTC"), Cron.parse(("*/7 * * * *", "0 3 * * *"), "UTC")]
        ),
    ),
    jitter=st.timedeltas(timedelta(microseconds=1), 2 * DAY),
    end=st.none() | st.timedeltas(DAY, 3 * DAY),
    name=st.text(),
    moment=st.timedeltas(timedelta(0), DAY),
)
def test_the_start_stays_in_its_room(
    trigger: Trigger, jitter: timedelta, end: timedelta | None, name: str, moment: timedelta
) -> None:
    """It is never before the nominal time, and always before the jitter is over and the next tick comes."""
    bounded = Window(trigger, end=NOON + end if end else None)
    tick = bounded.next_after(NOON + moment)
    if tick is None:
        return
    start = start_at(schedule(bounded, jitter, name), tick)
    assert tick <= start < tick + jitter
    following = bounded.next_after(tick)
    assert following is None or start < following
    assert bounded.end is None or start <= bounded.end
