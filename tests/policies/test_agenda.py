from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactorhub.model.run import RunSpec
from reactorhub.model.schedule import Catchup, Schedule
from reactorhub.policies.agenda import MAX_DUE, Due, Missed, ScheduleAccount, plan, upcoming
from reactorhub.policies.jitter import start_at
from reactorhub.triggers.cron import Cron
from reactorhub.triggers.rules import Interval, Once, Trigger
from reactorhub.triggers.window import ExcludedDays, ExcludedTimes, Window
from tests.support.counted import Counted

NOW = datetime(2026, 5, 13, 12, 0, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
EVERY_SECOND = Cron.parse(("* * * * * *",), "UTC")
EVERY_MINUTE = Interval(MINUTE)


def schedule(
    trigger: Trigger | None = EVERY_MINUTE,
    name: str = "prices",
    catchup: Catchup = Catchup.LATEST,
    window: timedelta = 10 * MINUTE,
    enabled: bool = True,
    jitter: timedelta = timedelta(0),
    max_catchup: int = 100,
) -> Schedule:
    """A schedule as the agenda sees it."""
    return Schedule(
        name=name,
        spec=RunSpec(spider="prices", project="shop"),
        trigger=trigger,
        catchup=catchup,
        catchup_window=window,
        enabled=enabled,
        jitter=jitter,
        max_catchup=max_catchup,
    )


@pytest.mark.parametrize(
    ("catchup", "down", "ran", "missed"),
    [
        (Catchup.LATEST, MINUTE, [0], []),
        (Catchup.LATEST, 3 * MINUTE, [0], [2, 1]),
        (Catchup.LATEST, 12 * MINUTE, [0], list(range(11, 0, -1))),
        (Catchup.ALL, 3 * MINUTE, [2, 1, 0], []),
        (Catchup.ALL, 13 * MINUTE, list(range(10, -1, -1)), [12, 11]),
        (Catchup.SKIP, MINUTE, [0], []),
        (Catchup.SKIP, 3 * MINUTE, [0], [2, 1]),
        (Catchup.LATEST, timedelta(0), [], []),
    ],
)
def test_which_ticks_run_after_downtime(
    catchup: Catchup, down: timedelta, ran: list[int], missed: list[int]
) -> None:
    """``latest`` runs the newest tick in the window, ``all`` each one in it, ``skip`` what is on time."""
    found = plan([(schedule(catchup=catchup), NOW - down)], NOW)
    assert [(NOW - tick.nominal_time) // MINUTE for tick in found.due] == ran
    assert [(NOW - tick.nominal_time) // MINUTE for tick in found.missed] == missed
    assert found.wake_at == NOW + MINUTE


@pytest.mark.parametrize(
    ("catchup", "late", "runs"),
    [
        (Catchup.SKIP, 10 * SECOND, True),
        (Catchup.SKIP, 11 * SECOND, False),
        (Catchup.LATEST, 10 * MINUTE, True),
        (Catchup.LATEST, 10 * MINUTE + SECOND, False),
        (Catchup.ALL, 10 * MINUTE, True),
        (Catchup.ALL, 10 * MINUTE + SECOND, False),
    ],
)
def test_how_late_a_tick_may_run(catchup: Catchup, late: timedelta, runs: bool) -> None:
    """A tick as old as the window still runs, an older one is missed; ``skip`` allows ten seconds."""
    found = plan([(schedule(Once(NOW - late), catchup=catchup), NOW - DAY)], NOW)
    assert (len(found.due), len(found.missed)) == ((1, 0) if runs else (0, 1))


def test_no_window_is_shorter_than_what_counts_as_on_time() -> None:
    """A tick a few seconds late runs even where the catch-up window is nought."""
    found = plan([(schedule(Once(NOW - 3 * SECOND), window=timedelta(0)), NOW - DAY)], NOW)
    assert [tick.nominal_time for tick in found.due] == [NOW - 3 * SECOND]


@pytest.mark.parametrize(
    ("catchup", "down", "reason"),
    [
        (Catchup.LATEST, 12 * MINUTE, "older than the catch-up window of 10m"),
        (Catchup.ALL, 12 * MINUTE, "older than the catch-up window of 10m"),
        (Catchup.LATEST, 2 * MINUTE, "a later tick runs instead"),
        (Catchup.SKIP, 2 * MINUTE, "catchup is skip"),
    ],
)
def test_a_missed_tick_says_why(catchup: Catchup, down: timedelta, reason: str) -> None:
    """The reason names the rule by which the tick does not run."""
    assert reason in plan([(schedule(catchup=catchup), NOW - down)], NOW).missed[0].reason


IN_BURSTS = Cron.parse(("* * 3 * * sun",), "UTC")
REST = Window(
    EVERY_MINUTE,
    start=NOW - 4000 * DAY,
    exclude=(
        ExcludedTimes("* 1-23 * * *", "Europe/Berlin"),
        ExcludedDays(date(2019, 5, 1), date(2022, 3, 31), "UTC"),
    ),
)


@pytest.mark.parametrize("trigger", [EVERY_SECOND, EVERY_MINUTE, IN_BURSTS, Interval(DAY), REST])
@pytest.mark.parametrize("jitter", [timedelta(0), 40 * SECOND])
@pytest.mark.parametrize("catchup", list(Catchup))
@pytest.mark.parametrize("window", [10 * MINUTE, 3650 * DAY])
def test_ten_years_down_cost_a_bounded_number_of_questions(
    trigger: Trigger, catchup: Catchup, window: timedelta, jitter: timedelta
) -> None:
    """After ten years ``max_catchup`` ticks run at most, a few rows say missed, and all ticks are covered."""
    counted, accounted_until = Counted(trigger), NOW - 3650 * DAY
    down = schedule(counted, catchup=catchup, window=window, jitter=jitter, max_catchup=MAX_DUE)
    found = plan([(down, accounted_until)], NOW)
    assert len(counted.calls) < 10 * MAX_DUE
    assert len(found.due) <= MAX_DUE
    assert len(found.missed) <= MAX_DUE + 1
    covered = accounted_until
    for tick in found.ticks:
        assert trigger.next_after(covered) == tick.nominal_time
        covered = tick.until or tick.nominal_time if isinstance(tick, Missed) else tick.nominal_time
    waiting, wake_at = trigger.next_after(covered), found.wake_at
    assert wake_at == (waiting and start_at(down, waiting))


def test_the_rest_of_the_missed_ticks_share_one_row() -> None:
    """Beyond a thousand missed ticks one row names the first and the last of the others."""
    found = plan([(schedule(EVERY_SECOND), NOW - HOUR)], NOW)
    rest = found.missed[-1]
    assert [tick.until for tick in found.missed[:-1]] == [None] * MAX_DUE
    assert (rest.nominal_time, rest.until) == (NOW - HOUR + (MAX_DUE + 1) * SECOND, NOW - SECOND)
    assert rest.reason == "more ticks missed from 2026-05-13T11:16:41Z to 2026-05-13T11:59:59Z"
    assert [tick.nominal_time for tick in found.due] == [NOW]


@pytest.mark.parametrize(
    ("trigger", "down", "number"),
    [
        (Interval(SECOND), timedelta(days=3650), "315,358,999 more ticks"),
        (Window(EVERY_MINUTE, end=NOW - 998 * MINUTE), 2000 * MINUTE, "2 more ticks"),
        (Window(EVERY_MINUTE, end=NOW - 999 * MINUTE), 2000 * MINUTE, "1 more tick"),
        (EVERY_SECOND, 2000 * SECOND, "999 more ticks"),
        (EVERY_SECOND, 2001 * SECOND, "1,000 more ticks"),
        (EVERY_SECOND, 2002 * SECOND, "1,001 more ticks"),
        (EVERY_SECOND, 2003 * SECOND, "more ticks"),
    ],
)
def test_the_row_for_the_rest_says_how_many(trigger: Trigger, down: timedelta, number: str) -> None:
    """The number is told where it is arithmetic, or small enough to be counted."""
    rest = plan([(schedule(trigger), NOW - down)], NOW).missed[-1]
    assert rest.until is not None and rest.reason.startswith(f"{number} missed from ")


@pytest.mark.parametrize(("limit", "extra"), [(1, [False]), (100, [False]), (440, []), (1439, [])])
def test_all_runs_no_more_than_max_catchup(limit: int, extra: list[bool]) -> None:
    """A long window with ``catchup: all`` runs the newest ``max_catchup`` ticks and says so of the others."""
    down = schedule(EVERY_MINUTE, catchup=Catchup.ALL, window=30 * DAY, max_catchup=limit)
    found = plan([(down, NOW - DAY)], NOW)
    assert [tick.nominal_time for tick in found.due] == [NOW - n * MINUTE for n in range(limit - 1, -1, -1)]
    assert [tick.until is None for tick in found.missed] == [True] * min(1440 - limit, 1000) + extra
    assert f"only the newest {limit} missed ticks run" in found.missed[0].reason


LUNCH = (ExcludedTimes("* 11-12 * * *", "Europe/Berlin"), ExcludedTimes("*/2 * * * *", "UTC"))
triggers = st.one_of(
    st.builds(Interval, st.timedeltas(SECOND, DAY)),
    st.sampled_from(
        [EVERY_SECOND, IN_BURSTS, Cron.parse(("0,1,30 */5 * * *", "7 7 7 * *"), "Europe/Berlin")]
    ),
    st.timedeltas(-HOUR, HOUR).map(lambda ago: Once(NOW - ago)),
)


@settings(max_examples=100, deadline=None)
@given(
    trigger=st.one_of(triggers, st.builds(lambda rule: Window(rule, exclude=LUNCH), triggers)),
    jitter=st.one_of(st.just(timedelta(0)), st.timedeltas(SECOND, HOUR)),
    limit=st.integers(1, 2000),
    catchup=st.sampled_from(Catchup),
    window=st.timedeltas(timedelta(0), 40 * DAY),
    down=st.one_of(st.timedeltas(timedelta(0), 30 * MINUTE), st.timedeltas(timedelta(0), 60 * DAY)),
)
def test_every_tick_is_accounted_for_once(
    trigger: Trigger, catchup: Catchup, window: timedelta, down: timedelta, jitter: timedelta, limit: int
) -> None:
    """Whatever the rule, the plan covers each tick due by now once, in order, and runs none too old."""
    one = schedule(trigger, catchup=catchup, window=window, jitter=jitter, max_catchup=limit)
    found = plan([(one, NOW - down)], NOW)
    covered = NOW - down
    for tick in found.ticks:
        assert trigger.next_after(covered) == tick.nominal_time <= NOW
        covered = tick.until or tick.nominal_time if isinstance(tick, Missed) else tick.nominal_time
    waiting = trigger.next_after(covered)
    assert found.wake_at == (waiting and start_at(one, waiting))
    assert found.wake_at is None or found.wake_at > NOW
    late = [NOW - start_at(one, tick.nominal_time) for tick in found.due]
    assert all(timedelta(0) <= each <= max(window, 10 * SECOND) for each in late)
    assert len(late) <= (limit if catchup is not Catchup.LATEST else 1)


LATE = schedule(Interval(HOUR), jitter=30 * MINUTE)
START = start_at(LATE, NOW)
"""The hourly tick of noon starts some minutes later."""


def test_a_tick_waits_for_its_jittered_start() -> None:
    """Between nominal time and start the tick is neither due nor missed; at its start it is due."""
    assert plan([(LATE, NOW - MINUTE)], NOW - MINUTE).wake_at == START
    for moment in (NOW, NOW + MINUTE, START - timedelta(microseconds=1)):
        found = plan([(LATE, NOW - MINUTE)], moment)
        assert (found.ticks, found.wake_at) == ((), START)
    found = plan([(LATE, NOW - MINUTE)], START)
    assert [tick.nominal_time for tick in found.due] == [NOW]
    assert found.wake_at == start_at(LATE, NOW + HOUR)


@pytest.mark.parametrize("catchup", list(Catchup))
def test_jitter_is_no_lateness(catchup: Catchup) -> None:
    """How late a tick is counts from its start: one that waited half an hour is on time."""
    one = schedule(Interval(HOUR), catchup=catchup, window=MINUTE, jitter=30 * MINUTE)
    longest = 10 * SECOND if catchup is Catchup.SKIP else MINUTE
    for late, runs in ((timedelta(0), 1), (longest, 1), (longest + SECOND, 0)):
        found = plan([(one, NOW - MINUTE)], START + late)
        assert (len(found.due), len(found.missed)) == (runs, 1 - runs)


def test_what_was_missed_before_a_waiting_tick() -> None:
    """After downtime the newest tick still waits for its start, and those before it are judged meanwhile."""
    one = schedule(Interval(HOUR), catchup=Catchup.ALL, window=90 * MINUTE, jitter=30 * MINUTE)
    found = plan([(one, NOW - 3 * HOUR - MINUTE)], NOW + SECOND)
    missed = [NOW - n * HOUR for n in (3, 2, 1)]
    assert [tick.nominal_time for tick in found.ticks] == missed
    assert [tick.nominal_time for tick in found.due] == [
        tick for tick in missed if start_at(one, tick) >= NOW + SECOND - 90 * MINUTE
    ]
    assert found.wake_at == START


def test_a_plan_for_many_schedules_is_in_order() -> None:
    """Due and missed ticks are ordered by nominal time then name; the earliest next tick is the wake-up."""
    accounted_until = NOW - 2 * MINUTE
    both = [(schedule(name=name, catchup=Catchup.ALL), accounted_until) for name in ("b", "a")]
    late = schedule(Interval(HOUR, NOW + 20 * SECOND), name="c")
    found = plan([*both, (late, accounted_until)], NOW)
    assert [(NOW - tick.nominal_time, tick.schedule.name) for tick in found.due] == [
        (MINUTE, "a"),
        (MINUTE, "b"),
        (timedelta(0), "a"),
        (timedelta(0), "b"),
    ]
    assert found.wake_at == NOW + 20 * SECOND


@pytest.mark.parametrize("silent", [schedule(None), schedule(enabled=False)])
def test_disabled_and_manual_schedules_are_never_due(silent: Schedule) -> None:
    """A schedule without a trigger, or one that is switched off, owes nothing and wakes nobody."""
    found = plan([(silent, NOW - DAY)], NOW)
    assert (found.ticks, found.wake_at) == ((), None)
    assert upcoming(silent, NOW, 5) == ()


def test_a_clock_behind_what_is_accounted_for_owes_nothing() -> None:
    """Where the wall clock went back, the next tick is the one after what is accounted for."""
    found = plan([(schedule(), NOW + HOUR)], NOW)
    assert (found.ticks, found.wake_at) == ((), NOW + HOUR + MINUTE)


def test_the_next_ticks_can_be_previewed() -> None:
    """As many as asked for, and no more than there are."""
    assert upcoming(schedule(), NOW, 2) == (NOW + MINUTE, NOW + 2 * MINUTE)
    assert upcoming(schedule(Once(NOW + HOUR)), NOW, 5) == (NOW + HOUR,)


def account(down: timedelta, catchup: Catchup = Catchup.ALL) -> ScheduleAccount:
    """A schedule's account that has looked at the clock after some time down."""
    found = ScheduleAccount(schedule(catchup=catchup), NOW - down)
    found.look(NOW)
    return found


def test_an_account_moves_forward_with_what_is_dealt_with() -> None:
    """What is dealt with in order moves ``since``, and a look at the same moment finds nothing more."""
    ours = account(3 * MINUTE)
    assert ours.settle(ours.take(100), [True, True, True])
    ours.look(NOW)
    assert (ours.accounted_until, ours.next, ours.owed) == (NOW, NOW + MINUTE, type(ours.owed)())


def test_an_account_asks_again_only_for_what_failed() -> None:
    """A tick that could not be dealt with is owed again; a later one that could is not."""
    ours = account(3 * MINUTE)
    assert not ours.settle(ours.take(100), [True, False, True])
    ours.look(NOW)
    assert [tick.nominal_time for tick in ours.owed] == [NOW - MINUTE]
    assert ours.settle(ours.take(100), [True])
    ours.look(NOW + MINUTE)
    assert [tick.nominal_time for tick in ours.owed] == [NOW + MINUTE]


def test_a_row_for_many_ticks_is_taken_by_itself() -> None:
    """Slices are of the size asked for, and the row that stands for many has a slice of its own."""
    ours = ScheduleAccount(schedule(EVERY_SECOND), NOW - HOUR)
    ours.look(NOW)
    sizes = []
    while ours.owed:
        ticks = ours.take(400)
        sizes.append(len(ticks))
        ours.settle(ticks, [True] * len(ticks))
    assert sizes == [400, 400, 200, 1, 1]
    assert isinstance(ticks[0], Due)
    assert ours.accounted_until == NOW
