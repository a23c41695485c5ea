"""What is remembered of schedules: since when each counts, and whether it is paused."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from reactorhub.errors import LedgerError, UnknownSchedule
from reactorhub.model.run import RunSpec
from reactorhub.model.schedule import Overlap, Schedule, Tick, TickOutcome
from reactorhub.schedules.book import Changes, ScheduleBook, compare
from reactorhub.storage.sqlite.memory import MemoryLedger
from reactorhub.triggers.rules import Interval
from tests.support.deferreds import done, held_back
from tests.support.hubs import START

HOUR = timedelta(hours=1)


def schedule(name: str = "hourly", hours: int = 1, spider: str = "prices") -> Schedule:
    """A schedule that runs every so many hours."""
    spec = RunSpec(spider=spider, project="shop", schedule=name)
    return Schedule(name=name, spec=spec, trigger=Interval(hours * HOUR))


class BookHarness:
    """A book over a ledger, and the wall clock."""

    def __init__(self, ledger: MemoryLedger | None = None, moment: datetime = START) -> None:
        self.ledger = ledger or MemoryLedger()
        self.moment = moment
        self.book = ScheduleBook(self.ledger, lambda: self.moment, Clock())

    def opened(self, *schedules: Schedule) -> BookHarness:
        """Put these schedules in force as at a start."""
        done(self.book.open({each.name: each for each in schedules}))
        return self

    def accounted_until(self) -> dict[str, datetime]:
        """Since when each schedule counts."""
        return {schedule.name: moment for schedule, moment in self.book.entries()}


definitions = st.dictionaries(
    st.sampled_from("abcd"), st.builds(schedule, hours=st.integers(1, 2), spider=st.sampled_from("xy"))
)


@given(definitions, definitions)
def test_every_schedule_is_in_one_part_of_the_comparison(
    old: dict[str, Schedule], new: dict[str, Schedule]
) -> None:
    """Added, changed, removed and unchanged share out all names, each once."""
    changes = compare(old, new)
    parts = [changes.added, changes.changed, changes.removed, changes.unchanged]
    assert sorted(sum(parts, ())) == sorted(old.keys() | new.keys())
    assert all(old.get(name) == new.get(name) for name in changes.unchanged)
    assert compare(new, old).added == changes.removed


def test_a_comparison_keeps_the_order_of_the_file() -> None:
    """Names come as the files list them."""
    old = {name: schedule(name) for name in "dcba"}
    new = {"z": schedule("z"), **old, "b": schedule("b", hours=9), "y": schedule("y")}
    del new["d"]
    assert compare(old, new) == Changes(("z", "y"), ("b",), ("d",), ("c", "a"))


def test_a_new_schedule_counts_from_now() -> None:
    """A schedule that nothing is remembered of owes no ticks of the past."""
    assert BookHarness().opened(schedule()).accounted_until() == {"hourly": START}


def test_a_restart_counts_on() -> None:
    """A schedule that is remembered owes the ticks since its last one, also those of the time between."""
    before = BookHarness().opened(schedule())
    tick = Tick(
        schedule="hourly",
        nominal_time=START + HOUR,
        outcome=TickOutcome.MISSED,
        reason=None,
        run_id=None,
        recorded_at=START,
    )
    before.ledger.record_tick(tick)
    again = BookHarness(before.ledger, START + 9 * HOUR).opened(schedule())
    assert again.accounted_until() == {"hourly": START + HOUR}


@pytest.mark.parametrize(
    ("edited", "fresh"),
    [
        (schedule(hours=2), True),
        (replace(schedule(), enabled=False), True),
        (replace(schedule(), trigger=None), True),
        (schedule(spider="other"), False),
        (replace(schedule(), overlap=Overlap.ALLOW_ALL), False),
        (replace(schedule(), catchup_window=9 * HOUR), False),
    ],
)
def test_an_edit_is_not_retroactive(edited: Schedule, fresh: bool) -> None:
    """Who edits "when" starts counting anew, over a reload as over a restart."""
    store = BookHarness().opened(schedule())
    store.moment = START + 5 * HOUR
    assert done(store.book.replace({"hourly": edited})).changed == ("hourly",)
    expected = {"hourly": START + 5 * HOUR if fresh else START}
    assert store.accounted_until() == expected
    assert BookHarness(store.ledger, START + 9 * HOUR).opened(edited).accounted_until() == expected


def test_what_is_gone_is_forgotten() -> None:
    """A schedule that was removed and comes back counts as new, and is not paused."""
    store = BookHarness().opened(schedule())
    done(store.book.pause("hourly", None))
    done(store.book.replace({}))
    store.moment = START + HOUR
    done(store.book.replace({"hourly": schedule()}))
    assert (store.accounted_until(), store.book.paused("hourly")) == ({"hourly": START + HOUR}, None)


def test_a_schedule_only_advances() -> None:
    """Accounted for is accounted for: an earlier tick, or one of a schedule that is gone, changes nothing."""
    store = BookHarness().opened(schedule())
    for hours, expected in ((2, 2), (1, 2), (3, 3)):
        store.book.advance("hourly", START + hours * HOUR)
        assert store.accounted_until() == {"hourly": START + expected * HOUR}
    store.book.advance("gone", START + HOUR)
    assert store.accounted_until().keys() == {"hourly"}


def test_a_pause_outlives_edits_and_restarts() -> None:
    """A paused schedule stays so, with the reason, however its definition changes."""
    store = BookHarness().opened(schedule())
    assert done(store.book.pause("hourly", "holidays")) is True
    assert done(store.book.pause("hourly", "holidays")) is False
    done(store.book.replace({"hourly": schedule(hours=7)}))
    assert store.book.paused("hourly") == "holidays"
    again = BookHarness(store.ledger).opened(schedule(hours=8))
    assert again.book.paused("hourly") == "holidays"
    assert done(again.book.resume("hourly")) is True
    assert done(again.book.resume("hourly")) is False
    assert BookHarness(store.ledger).opened(schedule(hours=8)).book.paused("hourly") is None


def test_a_pause_does_not_lose_a_tick() -> None:
    """A tick that is accounted for while a pause is written stays accounted for."""
    store = BookHarness().opened(schedule())
    written = held_back(store.ledger, "set_progress")
    pausing = Deferred.fromCoroutine(store.book.pause("hourly", None))
    store.book.advance("hourly", START + HOUR)
    written.callback(None)
    assert pausing.result is True
    assert (store.accounted_until(), store.book.paused("hourly")) == (
        {"hourly": START + HOUR},
        "by an operator",
    )


def test_a_schedule_removed_while_its_pause_is_written() -> None:
    """The reload waits for the pause, and then forgets it."""
    store = BookHarness().opened(schedule())
    written = held_back(store.ledger, "set_progress")
    pausing = Deferred.fromCoroutine(store.book.pause("hourly", None))
    del store.ledger.set_progress  # type: ignore[method-assign]
    reloading = Deferred.fromCoroutine(store.book.replace({}))
    written.callback(None)
    assert reloading.called
    assert (pausing.result, store.book.paused("hourly")) == (True, None)


def test_what_the_ledger_cannot_keep_does_not_hold() -> None:
    """Where a mark cannot be written, schedules and pauses stay as they were."""
    store = BookHarness().opened(schedule())
    store.ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        done(store.book.pause("hourly", None))
    with pytest.raises(LedgerError):
        done(store.book.replace({}))
    assert (store.book.paused("hourly"), store.accounted_until()) == (None, {"hourly": START})


def test_an_unknown_schedule() -> None:
    """Asking for, pausing or resuming what there is not says so."""
    store = BookHarness().opened()
    for order in (store.book.pause("weekly", None), store.book.resume("weekly")):
        with pytest.raises(UnknownSchedule, match="there is no schedule 'weekly'"):
            done(order)
    with pytest.raises(UnknownSchedule):
        store.book.get("weekly")


def test_when_a_schedule_was_resumed_is_remembered() -> None:
    """The moment of the last resume outlives a restart and an edit of the trigger, paused before or not."""
    store = BookHarness().opened(schedule())
    assert (store.book.resumed_at("hourly"), store.book.resumed_at("unknown")) == (None, None)
    store.moment += HOUR
    assert done(store.book.resume("hourly")) is False
    assert store.book.resumed_at("hourly") == START + HOUR
    again = BookHarness(store.ledger, START + 9 * HOUR).opened(schedule(hours=2))
    assert again.book.resumed_at("hourly") == START + HOUR
    done(again.book.pause("hourly", None))
    assert again.book.resumed_at("hourly") == START + HOUR


class SlowMarks(MemoryLedger):
    """A ledger that writes the progress only when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[Deferred[None]] = []
        self.slow = False

    def set_progress(self, *args: Any, **more: Any) -> Deferred[None]:
        """Keep marks, in time."""
        if not self.slow:
            return super().set_progress(*args, **more)
        written: Deferred[None] = Deferred()
        written.addCallback(lambda _: super(SlowMarks, self).set_progress(*args, **more))
        self.writes.append(written)
        return written

    def write(self) -> None:
        """Write all down, also what is only asked for then."""
        while self.writes:
            self.writes.pop(0).callback(None)


@pytest.mark.parametrize("first", ["pause", "replace"])
def test_a_pause_during_a_reload(first: str) -> None:
    """A pause and an edit of the same schedule that are written at the same time both hold, on disk too."""
    ledger = SlowMarks()
    store = BookHarness(ledger).opened(schedule())
    store.moment, ledger.slow = START + HOUR, True
    edited = schedule(hours=2)
    orders = {
        "pause": lambda: store.book.pause("hourly", "why"),
        "replace": lambda: store.book.replace({"hourly": edited}),
    }
    for name in sorted(orders, key=lambda name: name != first):
        Deferred.fromCoroutine(orders[name]())
    ledger.write()
    for book in (store, BookHarness(ledger, START + 2 * HOUR)):
        ledger.slow = False
        if book is not store:
            book.opened(edited)
        assert (book.book.paused("hourly"), book.accounted_until()) == ("why", {"hourly": START + HOUR})


def test_a_pause_of_a_schedule_that_a_reload_removes() -> None:
    """A pause that is asked for while a reload is written finds the schedules that it leaves."""
    ledger = SlowMarks()
    store = BookHarness(ledger).opened(schedule())
    ledger.slow = True
    reloading = Deferred.fromCoroutine(store.book.replace({}))
    pausing = Deferred.fromCoroutine(store.book.pause("hourly", None))
    ledger.write()
    assert reloading.called
    assert isinstance(pausing.result, Failure) and pausing.result.check(UnknownSchedule)
    pausing.addErrback(lambda _: None)
