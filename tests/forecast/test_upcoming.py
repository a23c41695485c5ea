"""What is due when: by rule, without a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reactorhub.forecast.upcoming import next_ticks
from reactorhub.model.run import RunSpec
from reactorhub.model.schedule import Schedule
from reactorhub.policies.agenda import upcoming
from reactorhub.triggers.rules import Interval, Once

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAY = timedelta(hours=24)


def every(name: str, seconds: int, **rules: object) -> Schedule:
    """Return a schedule that ticks every so many seconds."""
    trigger = Interval(timedelta(seconds=seconds))
    return Schedule(name=name, spec=RunSpec(spider="s", project="p"), trigger=trigger, **rules)  # type: ignore[arg-type]


@given(
    st.lists(st.integers(1, 9).map(lambda n: n * 600), min_size=1, max_size=6),
    st.integers(0, 86_400),
    st.integers(1, 30),
)
def test_next_ticks_are_those_of_each_schedule_merged(spans: list[int], offset: int, n: int) -> None:
    """The ticks of all together are each schedule's own, in order of time, and none is left out."""
    schedules = [every(f"s{number}", span) for number, span in enumerate(spans)]
    after = NOW + timedelta(seconds=offset)
    expected = sorted((tick, each.name) for each in schedules for tick in upcoming(each, after, n))
    found = [(tick, schedule.name) for tick, schedule in next_ticks(schedules, after, n)]
    assert [tick for tick, _ in found] == [tick for tick, _ in expected][:n]
    assert set(found) <= set(expected) and len(set(found)) == n


def test_who_has_no_ticks_is_left_out() -> None:
    """A schedule that is disabled, has no trigger or has had its day has no next tick."""
    spec = RunSpec(spider="s", project="p")
    nobody = [
        every("off", 60, enabled=False),
        Schedule(name="by_hand", spec=spec),
        Schedule(name="past", spec=spec, trigger=Once(NOW)),
    ]
    assert next_ticks(nobody, NOW, 5) == ()
