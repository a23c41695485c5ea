from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from reactorhub.errors import LedgerError
from reactorhub.model.run import RunSpec
from reactorhub.model.schedule import Catchup, Schedule
from reactorhub.policies.agenda import Due, Missed
from reactorhub.policies.jitter import start_at
from reactorhub.schedules.scheduler import SLICE, TURN, Scheduler
from reactorhub.triggers.cron import Cron
from reactorhub.triggers.rules import Interval, Once, Trigger
from reactorhub.triggers.window import ExcludedTimes, Window

START = datetime(2026, 5, 13, 12, 0, 0, 250_000, tzinfo=UTC)
NOON = datetime(2026, 5, 13, 12, 0, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
EVERY_SECOND = Cron.parse(("* * * * * *",), "UTC")


def schedule(
    trigger: Trigger | None = EVERY_SECOND,
    name: str = "prices",
    catchup: Catchup = Catchup.LATEST,
    enabled: bool = True,
    jitter: timedelta = timedelta(0),
) -> Schedule:
    """A schedule that matters to nobody but the scheduler."""
    spec = RunSpec(spider="prices", project="shop")
    return Schedule(name=name, spec=spec, trigger=trigger, catchup=catchup, enabled=enabled, jitter=jitter)


class SchedulerHarness:
    """A clock, a wall clock that can be stepped, and a hub that notes what it was handed and when."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.step = timedelta(0)
        self.due: list[tuple[str, datetime]] = []
        self.seen_at: list[datetime] = []
        self.missed: list[Missed] = []
        self.after: list[datetime | None] = []
        self.answers: list[Deferred[None]] | None = None
        self.broken = False
        self.busy: list[tuple[bool, int]] = []
        self.scheduler = Scheduler(self.clock, self.now, self.on_due, self.on_missed, self.is_busy)

    def is_busy(self, busy: bool) -> None:
        """Note that it begins or ends to hand on, and how many ticks have come by then."""
        self.busy.append((busy, len(self.due)))

    def now(self) -> datetime:
        """The wall clock."""
        return START + timedelta(seconds=self.clock.seconds()) + self.step

    def on_due(self, due: Due, after: datetime | None) -> Deferred[None]:
        """Take a tick that is to run."""
        self.due.append((due.schedule.name, due.nominal_time))
        self.after.append(after)
        self.seen_at.append(self.now())
        return self._answer()

    def on_missed(self, missed: Missed, after: datetime | None) -> Deferred[None]:
        """Take a tick that will not."""
        self.missed.append(missed)
        self.after.append(after)
        return self._answer()

    def _answer(self) -> Deferred[None]:
        if self.broken:
            return fail(LedgerError("the disk is full; make room"))
        if self.answers is None:
            return succeed(None)
        self.answers.append(Deferred())
        return self.answers[-1]

    def times(self) -> list[datetime]:
        """The nominal times that were to run, in the order in which they came."""
        return [moment for _, moment in self.due]

    def run(self, seconds: float, pace: float = 0.25) -> None:
        """Let time go by in small steps."""
        self.clock.pump([pace] * round(seconds / pace))


class AccurateSchedulerHarness(SchedulerHarness):
    """A world that keeps what was dealt with: each tick, and the last one that it accounts for."""

    def __init__(self) -> None:
        super().__init__()
        self.dealt_with: list[tuple[datetime, datetime]] = []
        self.waiting: list[Deferred[None]] = []
        self.ledger = "works"
        self.jitter = timedelta(0)

    def on_due(self, due: Due, after: datetime | None) -> Deferred[None]:
        """Take a tick that is to run."""
        return self._deal_with(due.nominal_time, due.last)

    def on_missed(self, missed: Missed, after: datetime | None) -> Deferred[None]:
        """Take a tick that will not."""
        return self._deal_with(missed.nominal_time, missed.last)

    def _deal_with(self, tick: datetime, until: datetime) -> Deferred[None]:
        if self.ledger == "broken":
            return fail(LedgerError("the disk is full; make room"))
        answer: Deferred[None] = Deferred()
        answer.addCallback(lambda _: self.dealt_with.append((tick, until)))
        self.waiting.append(answer)
        if self.ledger == "works":
            self.answer()
        return answer

    def answer(self) -> None:
        """Let the ledger finish all that it was asked to write."""
        waiting, self.waiting = self.waiting, []
        for answer in waiting:
            answer.callback(None)

    def happen(self, kind: str, value: Any, trigger: Trigger) -> None:
        """Let time go by, step the wall clock, change how the ledger fares, or reload."""
        if kind == "run":
            self.run(value, pace=0.5)
        elif kind == "step":
            self.step += value * SECOND
        elif kind == "reload":
            self.jitter, catchup = value
            self.scheduler.set_entries([(schedule(trigger, catchup=catchup, jitter=self.jitter), self.now())])
        elif kind == "restart":
            self.restart(trigger, value)
        else:
            self.ledger = value
            self.answer()

    def restart(self, trigger: Trigger, catchup: Catchup) -> None:
        """Stop when all is dealt with, be down for some time, and go on from what the ledger remembers."""
        self.scheduler.stop()
        self.answer()
        self.clock.advance(7)
        self.scheduler = Scheduler(self.clock, self.now, self.on_due, self.on_missed)
        accounted_until = max((until for _, until in self.dealt_with), default=START)
        self.scheduler.start([(schedule(trigger, catchup=catchup, jitter=self.jitter), accounted_until)])


class SlowTurns(Clock):
    """A clock on which each turn of the reactor takes about a millisecond. It counts who waits for one."""

    turns = 0

    def callLater(self, delay: float, *what: Any, **details: Any) -> IDelayedCall:
        """Wait for the next turn at least."""
        self.turns += not delay
        return super().callLater(max(delay, 0.0009765625), *what, **details)


class SchedulerCase(TestCase):
    """Each test has a world and leaves nothing behind on its clock."""

    def setUp(self) -> None:
        """Make a world, and look at its clock when the test is over."""
        self.harness = SchedulerHarness()
        self.addCleanup(self.nothing_left)

    def nothing_left(self) -> None:
        """After stop there is no delayed call."""
        self.harness.scheduler.stop()
        self.assertEqual(self.harness.clock.getDelayedCalls(), [])

    def start(self, *schedules: Schedule, accounted_until: datetime = START) -> SchedulerHarness:
        """Start the scheduler on these schedules."""
        self.harness.scheduler.start([(one, accounted_until) for one in schedules])
        return self.harness


class PlacingTests(SchedulerCase):
    """When ticks are handed on."""

    def test_ticks_are_placed_exactly(self) -> None:
        """Each tick is handed on at its nominal time, between two beats."""
        harness = self.start(schedule())
        harness.run(3, pace=0.0625)
        self.assertEqual(harness.times(), [NOON + n * SECOND for n in (1, 2, 3)])
        self.assertEqual(
            [seen - due for seen, due in zip(harness.seen_at, harness.times(), strict=True)],
            [timedelta(0)] * 3,
        )

    def test_ticks_far_ahead_are_found_by_the_beat(self) -> None:
        """A tick hours ahead holds no timer but the beat's until its last second, and then comes on time."""
        harness = self.start(schedule(Once(START + HOUR)))
        self.assertEqual(len(harness.clock.getDelayedCalls()), 1)
        harness.run(3599, pace=1)
        self.assertEqual(harness.due, [])
        harness.run(1)
        self.assertEqual((harness.times(), harness.seen_at), ([START + HOUR], [START + HOUR]))

    def test_a_timer_that_fires_early_by_the_wall_clock_waits(self) -> None:
        """Where the wall clock lost half a second meanwhile, the tick is not handed on before its time."""
        harness = self.start(schedule(Once(START + SECOND / 2)))
        harness.step = -SECOND / 2
        harness.run(0.5)
        self.assertEqual(harness.due, [])
        harness.run(0.5)
        self.assertEqual(harness.seen_at, [START + SECOND / 2])

    def test_a_new_schedule_does_not_run_at_once(self) -> None:
        """Nothing is due at the moment of the start; the next nominal time is known."""
        harness = self.start(schedule(Interval(HOUR)), schedule(None, "by_hand"))
        self.assertEqual(harness.due, [])
        self.assertEqual(harness.scheduler.next_times(), {"prices": NOON + HOUR, "by_hand": None})

    def test_downtime_is_judged_at_the_start(self) -> None:
        """What came due while the hub was down is handed on by the agenda's rule, in order."""
        harness = self.start(schedule(Interval(MINUTE)), accounted_until=NOON - 3 * MINUTE)
        self.assertEqual(
            [missed.nominal_time for missed in harness.missed], [NOON - 2 * MINUTE, NOON - MINUTE]
        )
        self.assertEqual(harness.times(), [NOON])

    def test_a_thousand_ticks_at_once_are_spread_over_turns_of_the_reactor(self) -> None:
        """Ticks due at one instant are handed on in order of names, no more than a slice in a turn."""
        self.harness.clock = clock = SlowTurns()
        self.harness.scheduler = Scheduler(
            clock, self.harness.now, self.harness.on_due, self.harness.on_missed
        )
        harness = self.start(*(schedule(Once(START + 2 * SECOND), f"s{n:03}") for n in range(1000)))
        harness.run(3, pace=0.0009765625)
        self.assertEqual(Counter(harness.seen_at).most_common(1)[0][1], SLICE)
        self.assertEqual([name for name, _ in harness.due], [f"s{n:03}" for n in range(1000)])
        self.assertLess(max(harness.seen_at) - START, 2.02 * SECOND)

    def test_a_turn_that_takes_long_ends_early(self) -> None:
        """Where ticks take long to hand on, fewer than a slice of them go into one turn of the reactor."""
        self.harness.clock = clock = SlowTurns()

        def slow(due: Due, after: datetime | None) -> Deferred[None]:
            clock.rightNow += 0.75 * TURN
            return self.harness.on_due(due, after)

        self.harness.scheduler = Scheduler(clock, self.harness.now, slow, self.harness.on_missed)
        harness = self.start(*(schedule(Once(START + SECOND), f"s{n}") for n in range(10)))
        clock.advance(0.5)
        clock.turns = 0
        clock.advance(0.5)
        self.assertEqual(len(harness.due), 10)
        self.assertGreaterEqual(clock.turns, 4)

    def test_it_says_while_it_has_ticks_to_hand_on(self) -> None:
        """It is busy from the first tick of a moment to the last, over all turns, and at rest after that."""
        harness = self.start(*(schedule(Once(START + 2 * SECOND), f"s{n:03}") for n in range(1000)))
        harness.run(1)
        harness.busy.clear()
        harness.run(2)
        self.assertEqual(harness.busy, [(True, 0), (False, 1000)])

    def test_stopped_in_the_middle_it_is_busy_no_more(self) -> None:
        """What waits until it is done waits for nothing."""
        harness = self.start(*(schedule(name=f"s{n}") for n in range(300)), accounted_until=NOON - SECOND)
        self.successResultOf(harness.scheduler.stop())
        self.assertEqual([busy for busy, _ in harness.busy][-1], False)

    def test_many_missed_ticks_are_recorded_in_slices(self) -> None:
        """A schedule with a thousand missed ticks hands on a slice, and the next when that is dealt with."""
        self.harness.answers = []
        harness = self.start(schedule(), accounted_until=START - HOUR)
        sizes = []
        while harness.answers:
            sizes.append(len(harness.answers))
            answers, harness.answers = harness.answers, []
            for answer in answers:
                answer.callback(None)
            harness.clock.advance(0)
        self.assertEqual(sizes, [SLICE] * 10 + [1, 1])
        self.assertIsNotNone(harness.missed[-1].until)


class SteppedClockTests(SchedulerCase):
    """What a wall clock does that is set while the hub runs."""

    def test_a_step_forward_is_judged_like_downtime(self) -> None:
        """After a jump of an hour the newest tick runs and the others are missed: no burst, no stall."""
        harness = self.start(schedule(Interval(MINUTE)))
        harness.step = HOUR
        harness.run(1)
        self.assertEqual(harness.times(), [NOON + HOUR])
        self.assertEqual(len(harness.missed), 59)
        harness.run(60)
        self.assertEqual(harness.times(), [NOON + HOUR, NOON + HOUR + MINUTE])

    def test_ticks_handed_on_together_come_with_the_one_before(self) -> None:
        """So that what is remembered does not pass one that fails. The first comes with none."""
        harness = self.start(schedule(Interval(MINUTE)))
        harness.step = 3 * MINUTE
        harness.run(1)
        self.assertEqual(harness.after, [None, NOON + MINUTE, NOON + 2 * MINUTE])
        harness.run(60)
        self.assertEqual(harness.after[3:], [None])

    def test_after_a_step_back_no_tick_is_handed_on_twice(self) -> None:
        """The beat goes on, and ticks resume where the wall clock passes the last one handed on."""
        harness = self.start(schedule())
        harness.run(5)
        harness.step = -5 * SECOND
        harness.run(20)
        self.assertEqual(harness.times(), [NOON + n * SECOND for n in range(1, 21)])

    def test_a_step_back_by_an_hour_rests_until_the_clock_has_caught_up(self) -> None:
        """An hour that comes twice runs its ticks once."""
        harness = self.start(schedule(Interval(10 * MINUTE)))
        harness.run(3600, pace=1)
        harness.step = -HOUR
        harness.run(2 * 3600, pace=1)
        self.assertEqual(harness.times(), [NOON + n * 10 * MINUTE for n in range(1, 13)])

    def test_a_clock_that_was_wrong_by_a_year_does_not_stall_for_a_year(self) -> None:
        """When a clock a year ahead is put right, schedules go back with it."""
        harness = self.start(schedule(Interval(MINUTE)))
        harness.step = 365 * DAY
        harness.run(2)
        harness.due.clear()
        harness.step = timedelta(0)
        harness.run(120)
        self.assertEqual(harness.times(), [NOON + MINUTE, NOON + 2 * MINUTE])

    def test_a_clock_put_right_in_the_middle_of_a_catch_up(self) -> None:
        """What is still being handed on as of a clock a year ahead does not stall the schedule afterwards."""
        harness = self.start(schedule(), accounted_until=NOON)
        harness.run(3)
        harness.answers = []
        harness.step = timedelta(days=365)
        harness.run(2)
        harness.step = timedelta(0)
        harness.run(2)
        held, harness.answers = harness.answers, None
        for answer in held:
            answer.callback(None)
        begin = harness.now()
        harness.run(5)
        ticks = [moment for moment in harness.times() if begin + SECOND < moment <= begin + 6 * SECOND]
        self.assertEqual(ticks, sorted(set(ticks)))
        self.assertGreaterEqual(len(ticks), 4)

    def test_a_clock_put_right_before_a_tick_was_written_down(self) -> None:
        """A tick of next year that could not be handed on is forgotten with the clock that made it due."""
        harness = self.start(schedule(Interval(40 * DAY, NOON)), accounted_until=NOON)
        harness.run(3)
        harness.answers, harness.step = [], timedelta(days=365)
        harness.run(2)
        held, harness.answers, harness.step = harness.answers, None, timedelta(0)
        for answer in held:
            answer.errback(LedgerError("the disk is full; make room"))
        self.flushLoggedErrors(LedgerError)
        harness.run(2)
        self.assertEqual(harness.scheduler.next_times()["prices"], NOON + 40 * DAY)
        self.assertEqual((len(held), harness.due), (9, []))

    def test_an_account_kept_by_a_clock_far_ahead_is_not_believed(self) -> None:
        """At the start too, a schedule accounted for days ahead begins anew."""
        harness = self.start(schedule(), accounted_until=START + 400 * DAY)
        harness.run(1)
        self.assertEqual(harness.times(), [NOON + SECOND])


class FailureTests(SchedulerCase):
    """What happens when a tick cannot be handed on."""

    def test_a_tick_that_fails_is_tried_again_at_a_later_beat(self) -> None:
        """While the ledger cannot be written the tick is kept; afterwards it is handed on, and only once."""
        harness = self.start(schedule(Once(START + SECOND)))
        harness.broken = True
        harness.run(3)
        self.assertEqual(set(harness.times()), {START + SECOND})
        self.assertEqual(len(self.flushLoggedErrors(LedgerError)), 1)
        harness.broken = False
        before = len(harness.due)
        harness.run(5)
        self.assertEqual(harness.times()[before:], [START + SECOND])

    def test_a_failing_tick_is_tried_once_a_beat(self) -> None:
        """Trying again is bound to the beat: a full disk makes no storm."""
        harness = self.start(schedule(Once(START + SECOND)))
        harness.broken = True
        harness.run(10, pace=0.125)
        self.flushLoggedErrors(LedgerError)
        self.assertLessEqual(len(harness.due), 10)

    def test_a_missed_tick_that_cannot_be_recorded_is_not_forgotten(self) -> None:
        """The row of a missed tick is asked for until it is written."""
        self.harness.broken = True
        harness = self.start(schedule(Interval(HOUR)), accounted_until=NOON - HOUR - MINUTE)
        self.flushLoggedErrors(LedgerError)
        harness.broken = False
        harness.missed.clear()
        harness.due.clear()
        harness.run(2)
        self.assertEqual([missed.nominal_time for missed in harness.missed], [NOON - HOUR])
        self.assertEqual(harness.times(), [NOON])

    def test_a_tick_that_fails_for_too_long_is_missed(self) -> None:
        """A tick that could not be handed on within its window is recorded as missed."""
        harness = self.start(schedule(Once(START + SECOND)))
        harness.broken = True
        harness.run(11 * 60, pace=1)
        self.flushLoggedErrors(LedgerError)
        harness.broken = False
        harness.due.clear()
        harness.missed.clear()
        harness.run(2)
        self.assertEqual(
            (harness.due, [missed.nominal_time for missed in harness.missed]), ([], [START + SECOND])
        )

    def test_an_exception_in_on_due_stops_neither_beat_nor_neighbours(self) -> None:
        """A callback that raises instead of returning a Deferred is logged, and other schedules tick on."""
        harness = self.harness
        taken = harness.on_due

        def on_due(due: Due, after: datetime | None) -> Deferred[None]:
            if due.schedule.name == "bad":
                raise ZeroDivisionError
            return taken(due, after)

        harness.scheduler = Scheduler(harness.clock, harness.now, on_due, harness.on_missed)
        self.start(schedule(name="bad"), schedule(name="good"))
        harness.run(3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(harness.due, [("good", NOON + n * SECOND) for n in (1, 2, 3)])

    def test_a_trigger_that_raises_stops_neither_beat_nor_neighbours(self) -> None:
        """A schedule whose ticks cannot be computed is logged, and other schedules tick on."""
        bad: Any = object()
        harness = self.start(schedule(bad, "bad"), schedule(name="good"))
        harness.run(3)
        self.assertTrue(self.flushLoggedErrors(AttributeError))
        self.assertEqual(harness.due, [("good", NOON + n * SECOND) for n in (1, 2, 3)])


class OverlapTests(SchedulerCase):
    """Ticks that take long to be dealt with."""

    def test_a_tick_under_way_is_not_handed_on_again(self) -> None:
        """However long the ledger takes, the tick is handed on once, and the beat does not wait for it."""
        self.harness.answers = []
        harness = self.start(schedule(Once(START + SECOND)), schedule(Once(START + 3 * SECOND), "other"))
        harness.run(5)
        self.assertEqual(harness.due, [("prices", START + SECOND), ("other", START + 3 * SECOND)])

    def test_ticks_that_come_meanwhile_are_judged_afterwards(self) -> None:
        """The next ticks of a schedule wait until the one before is dealt with; the newest of them runs."""
        self.harness.answers = answers = []
        harness = self.start(schedule())
        harness.run(4)
        self.assertEqual(harness.times(), [NOON + SECOND])
        harness.answers = None
        answers[0].callback(None)
        harness.run(1)
        self.assertEqual(harness.times(), [NOON + SECOND, NOON + 4 * SECOND, NOON + 5 * SECOND])
        self.assertEqual(
            [missed.nominal_time for missed in harness.missed], [NOON + 2 * SECOND, NOON + 3 * SECOND]
        )

    def test_stop_waits_for_what_was_handed_on(self) -> None:
        """Stop fires when the ticks under way are dealt with, and hands no more on."""
        self.harness.answers = answers = []
        harness = self.start(schedule())
        harness.run(1)
        stopped = harness.scheduler.stop()
        self.assertNoResult(stopped)
        self.assertEqual(harness.clock.getDelayedCalls(), [])
        answers[0].callback(None)
        self.successResultOf(stopped)
        harness.clock.advance(10)
        self.assertEqual(harness.times(), [NOON + SECOND])

    def test_stop_in_the_middle_of_a_catch_up_leaves_no_timer(self) -> None:
        """Stopped between two slices, nothing of the rest is handed on."""
        harness = self.start(*(schedule(name=f"s{n}") for n in range(300)), accounted_until=NOON - SECOND)
        self.successResultOf(harness.scheduler.stop())
        self.assertEqual(harness.clock.getDelayedCalls(), [])
        self.assertEqual(len(harness.due), SLICE)

    def test_a_scheduler_that_was_never_started_can_be_stopped(self) -> None:
        """Stop without start is allowed."""
        self.assertIsNone(self.successResultOf(self.harness.scheduler.stop()))


class ReloadTests(SchedulerCase):
    """What a new set of schedules changes."""

    def test_an_unchanged_trigger_keeps_its_next_tick(self) -> None:
        """Other arguments or another catch-up rule do not move a schedule, whatever moment comes with it."""
        trigger = Interval(timedelta(minutes=7), START + timedelta(seconds=30, microseconds=123))
        harness = self.start(schedule(trigger))
        before = harness.scheduler.next_times()
        harness.run(10)
        harness.scheduler.set_entries([(schedule(trigger, catchup=Catchup.ALL), harness.now() - DAY)])
        self.assertEqual(harness.scheduler.next_times(), before)
        harness.run(21)
        self.assertEqual(harness.times(), [trigger.anchor])

    def test_the_new_definition_is_handed_on(self) -> None:
        """A kept schedule's next tick comes with the arguments of the newest file."""
        handed: list[Due] = []
        harness = self.harness
        harness.scheduler = Scheduler(
            harness.clock, harness.now, lambda due, _: handed.append(due) or succeed(None), harness.on_missed
        )
        self.start(schedule())
        changed = replace(
            schedule(), spec=RunSpec(spider="prices", project="shop", args={"category": "laptops"})
        )
        harness.scheduler.set_entries([(changed, harness.now())])
        harness.run(1)
        self.assertEqual([due.schedule for due in handed], [changed])

    def test_a_changed_trigger_counts_from_the_moment_given(self) -> None:
        """An edit is not retroactive: ticks of the new rule are owed from the given moment on."""
        harness = self.start(schedule(Interval(HOUR)))
        harness.run(10)
        harness.scheduler.set_entries([(schedule(Interval(5 * SECOND)), harness.now())])
        harness.run(5)
        self.assertEqual(harness.times(), [NOON + 15 * SECOND])

    def test_added_and_removed_schedules(self) -> None:
        """A removed schedule ticks no more, an added one from the next nominal time on."""
        harness = self.start(schedule(name="old"))
        harness.run(1)
        harness.scheduler.set_entries([(schedule(name="new"), harness.now())])
        harness.run(1)
        self.assertEqual(harness.due, [("old", NOON + SECOND), ("new", NOON + 2 * SECOND)])
        self.assertEqual(list(harness.scheduler.next_times()), ["new"])

    def test_a_schedule_switched_off_and_on_owes_nothing_for_that_time(self) -> None:
        """Ticks of the time in which a schedule was disabled neither run nor count as missed."""
        harness = self.start(schedule(Interval(MINUTE)))
        harness.scheduler.set_entries([(schedule(Interval(MINUTE), enabled=False), START)])
        harness.run(150)
        self.assertEqual(harness.scheduler.next_times(), {"prices": None})
        harness.scheduler.set_entries([(schedule(Interval(MINUTE)), START)])
        harness.run(60)
        self.assertEqual((harness.times(), harness.missed), ([NOON + 3 * MINUTE], []))

    def test_a_schedule_removed_and_added_again_waits_for_its_tick_under_way(self) -> None:
        """Its tick is not handed on a second time while the first is still being dealt with."""
        self.harness.answers = answers = []
        harness = self.start(schedule(Once(START + SECOND)))
        harness.run(1)
        harness.scheduler.set_entries([])
        harness.scheduler.set_entries([(schedule(Once(START + SECOND)), START)])
        harness.run(3)
        self.assertEqual(len(harness.due), 1)
        answers[0].callback(None)

    def test_a_hundred_reloads_leave_one_timer_each(self) -> None:
        """Reloads pile up neither timers nor what is remembered of coming ticks."""
        harness = self.start(schedule(Interval(HOUR)))
        for number in range(2, 102):
            harness.scheduler.set_entries([(schedule(Interval(number * HOUR)), harness.now())])
            harness.clock.advance(0)
        self.assertLessEqual(len(harness.clock.getDelayedCalls()), 2)
        self.assertLessEqual(len(harness.scheduler._coming), 1)


JITTERS = st.sampled_from([timedelta(0), 5 * SECOND, MINUTE])
events = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(1, 120)),
        st.tuples(st.just("step"), st.integers(-7200, 7200)),
        st.tuples(st.just("restart"), st.sampled_from(list(Catchup))),
        st.tuples(st.just("ledger"), st.sampled_from(["works", "slow", "broken"])),
        st.tuples(st.just("reload"), st.tuples(JITTERS, st.sampled_from(list(Catchup)))),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(events=events, catchup=st.sampled_from(Catchup), jitter=JITTERS)
def test_whatever_happens_each_tick_is_dealt_with_once(
    events: list[tuple[str, Any]], catchup: Catchup, jitter: timedelta
) -> None:
    """Under clock steps, restarts, reloads and a ledger in trouble, no tick is lost or handed on twice."""
    harness, trigger = AccurateSchedulerHarness(), Interval(20 * SECOND)
    harness.jitter = jitter
    harness.scheduler.start([(schedule(trigger, catchup=catchup, jitter=jitter), START)])
    for kind, value in [*events, ("ledger", "works"), ("run", 2)]:
        harness.happen(kind, value, trigger)
    covered = START
    for tick, until in sorted(harness.dealt_with):
        assert trigger.next_after(covered) == tick
        covered = until
    waiting, last = trigger.next_after(covered), schedule(trigger, jitter=harness.jitter)
    assert harness.scheduler.next_times()["prices"] == (waiting and start_at(last, waiting))
    harness.scheduler.stop()
    assert harness.clock.getDelayedCalls() == []


class JitterTests(SchedulerCase):
    """Ticks that start a little after their nominal time."""

    def setUp(self) -> None:
        """An hourly schedule with half an hour of jitter; its first tick is an hour away."""
        super().setUp()
        self.hourly = schedule(Interval(HOUR), jitter=30 * MINUTE)
        self.tick = NOON + HOUR
        self.at = start_at(self.hourly, self.tick)
        self.assertGreater(self.at - self.tick, MINUTE)

    def seconds_until(self, moment: datetime) -> float:
        """How long the clock has to run."""
        return (moment - self.harness.now()).total_seconds()

    def test_a_tick_is_handed_on_when_its_jitter_is_over(self) -> None:
        """Nothing happens at the nominal time; at the start the tick comes, by its nominal time."""
        harness = self.start(self.hourly)
        self.assertEqual(harness.scheduler.next_times(), {"prices": self.at})
        harness.clock.pump([1.0] * int(self.seconds_until(self.at)))
        self.assertEqual((harness.due, harness.missed), ([], []))
        harness.run(1, pace=0.0625)
        self.assertEqual((harness.times(), harness.missed), ([self.tick], []))
        self.assertLess(harness.seen_at[0] - self.at, SECOND / 16)

    def test_a_restart_between_nominal_time_and_start(self) -> None:
        """The tick is neither lost nor doubled, and starts when it would have started."""
        harness = self.start(self.hourly)
        harness.clock.pump([1.0] * 3660)
        harness.scheduler.stop()
        harness.scheduler = Scheduler(harness.clock, harness.now, harness.on_due, harness.on_missed)
        harness.scheduler.start([(self.hourly, START)])
        harness.run(3000, pace=1)
        self.assertEqual((harness.times(), harness.missed), ([self.tick], []))
        self.assertLess(harness.seen_at[0] - self.at, SECOND)
        harness.scheduler.stop()
        harness.scheduler = Scheduler(harness.clock, harness.now, harness.on_due, harness.on_missed)
        harness.scheduler.start([(self.hourly, self.tick)])
        harness.run(60, pace=1)
        self.assertEqual(harness.times(), [self.tick])

    def test_an_edited_jitter_holds_at_once(self) -> None:
        """A tick that waits starts by the new jitter, which may be now; the next too, with one timer."""
        harness = self.start(self.hourly)
        harness.clock.pump([1.0] * 3600)
        harness.scheduler.set_entries([(replace(self.hourly, jitter=timedelta(0)), harness.now())])
        harness.clock.advance(0)
        self.assertEqual(harness.times(), [self.tick])
        self.assertEqual(harness.scheduler.next_times(), {"prices": self.tick + HOUR})
        self.assertEqual(len(harness.scheduler._coming), 1)

    def test_other_edits_leave_a_waiting_tick_alone(self) -> None:
        """A reload with other arguments moves no start."""
        harness = self.start(self.hourly)
        harness.clock.pump([1.0] * 3600)
        harness.scheduler.set_entries([(replace(self.hourly, catchup=Catchup.ALL), harness.now())])
        harness.clock.advance(0)
        self.assertEqual((harness.due, harness.scheduler.next_times()), ([], {"prices": self.at}))

    def test_a_step_over_the_start_is_no_lateness(self) -> None:
        """Where the clock jumps into the wait, the tick waits on; where it jumps beyond, the tick runs."""
        harness = self.start(self.hourly)
        harness.step = self.tick - START
        harness.run(2)
        self.assertEqual((harness.due, harness.missed), ([], []))
        harness.step += self.at - self.tick
        harness.run(2)
        self.assertEqual((harness.times(), harness.missed), ([self.tick], []))


class BoundedTests(SchedulerCase):
    """Ticks that are left out, and schedules that begin and end."""

    def test_only_what_is_left_is_handed_on(self) -> None:
        """What lies outside of the bounds has no row, neither as run nor as missed."""
        left_out = (ExcludedTimes("3-4 0 12 * * *", "UTC"),)
        bounded = Window(EVERY_SECOND, NOON + 2 * SECOND, NOON + 6 * SECOND, left_out)
        harness = self.start(schedule(bounded))
        harness.run(20)
        self.assertEqual((harness.times(), harness.missed), ([NOON + n * SECOND for n in (2, 5, 6)], []))
        self.assertEqual(harness.scheduler.next_times(), {"prices": None})

    def test_who_leaves_out_everything_rests(self) -> None:
        """A schedule without a tick costs nothing at a beat, and its neighbours tick on."""
        never = Window(EVERY_SECOND, exclude=(ExcludedTimes("* * * * *", "UTC"),))
        harness = self.start(schedule(never, "never"), schedule(name="good"))
        harness.run(2)
        self.assertEqual(harness.due, [("good", NOON + SECOND), ("good", NOON + 2 * SECOND)])
        self.assertIsNone(harness.scheduler.next_times()["never"])


class RealReactorTests(TestCase):
    """The same machinery on the reactor it will run on."""

    async def test_a_tick_comes_on_the_real_reactor(self) -> None:
        """A tick a tenth of a second ahead is handed on at its time, and stop leaves the reactor clean."""
        handed: Deferred[datetime] = Deferred()

        def on_due(due: Due, _: datetime | None) -> Deferred[None]:
            handed.callback(due.nominal_time)
            return succeed(None)

        at = datetime.now(UTC) + timedelta(seconds=0.1)
        scheduler = Scheduler(reactor, lambda: datetime.now(UTC), on_due, lambda *_: succeed(None))
        scheduler.start([(schedule(Once(at)), at - SECOND)])
        self.assertEqual(await handed, at)
        self.assertGreaterEqual(datetime.now(UTC), at)
        await scheduler.stop()
