"""The notifier: in order, patient, one channel by itself, and exact over restarts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reactorhub.errors import DeliveryError, LedgerError, UnknownChannel
from reactorhub.model.notification import GIVE_UP_AFTER, IncidentEventKind, NotificationState
from reactorhub.model.schedule import ScheduleProgress
from reactorhub.notifications.channels.memory import MemoryChannel
from reactorhub.notifications.notifier import MAX_NAP, MAX_TRY, SOON, Notifier
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.policies.test_incidents import NOON, a_fact
from tests.support.deferreds import done
from tests.support.hubs import hub_log

DOWN = DeliveryError("nobody listens", again=True)


class Desk:
    """A notifier on doubles. The wall clock follows ``clock``, but for what ``step`` adds."""

    def __init__(self, ledger: MemoryLedger | None = None) -> None:
        self.clock = Clock()
        self.step = timedelta()
        self.ledger = ledger or MemoryLedger()
        self.ops, self.hook = MemoryChannel(), MemoryChannel()
        self.notifier = Notifier(self.clock, self.now, self.ledger)
        self.notifier.use({"ops": self.ops, "hook": self.hook})
        self.notifier.start()
        self.pass_by(SOON)

    def now(self) -> Any:
        """The wall clock."""
        return NOON + timedelta(seconds=self.clock.seconds()) + self.step

    def tell(self, schedule: str, to: tuple[str, ...] = ("ops",)) -> None:
        """Let a run of a schedule fail."""
        incident_event = a_fact(IncidentEventKind.FAILED, int(self.clock.seconds()), schedule, to)
        progress = ScheduleProgress(name=schedule, fingerprint="f", accounted_until=NOON)
        self.ledger.set_progress([progress], incident_event=incident_event)
        self.notifier.wake()

    def pass_by(self, seconds: float) -> None:
        """Let time pass in small steps, so that all that is due in it happens in its time."""
        end = self.clock.seconds() + seconds
        while True:
            coming = min((call.getTime() for call in self.clock.getDelayedCalls()), default=end)
            if coming >= end:
                break
            self.clock.advance(max(coming - self.clock.seconds(), 0.001))
        self.clock.advance(end - self.clock.seconds())

    def sent(self) -> list[str]:
        """The schedules in the notifications of the first channel."""
        return [notification.schedule for notification in self.ops.sent]

    def counts(self) -> tuple[int, int]:
        """How many notifications wait, and how many were given up."""
        found: list[Any] = []
        self.ledger.notification_counts().addCallback(found.append)
        return found[0].waiting, found[0].given_up


@contextmanager
def at_work(ledger: MemoryLedger | None = None) -> Iterator[Desk]:
    """A notifier that leaves no timer behind when it is stopped."""
    desk = Desk(ledger)
    yield desk
    desk.notifier.stop()
    assert desk.clock.getDelayedCalls() == []


def test_delivers_soon_and_then_rests() -> None:
    """What is told arrives at once, and with nothing left to do no timer is left either."""
    with at_work() as desk:
        desk.tell("a")
        desk.tell("b")
        desk.pass_by(5)
        assert desk.sent() == ["a", "b"]
        assert desk.counts() == (0, 0)
        assert desk.clock.getDelayedCalls() == []


def test_order_and_patience() -> None:
    """A channel in trouble is tried after 10, 20, 40 seconds; all arrives later, in the old order."""
    with at_work() as desk, hub_log() as events:
        desk.ops.trouble = DOWN
        tries: list[float] = []
        send = desk.ops.send
        desk.ops.send = lambda notification: (tries.append(round(desk.clock.seconds())), send(notification))[
            1
        ]  # type: ignore
        for name in ("a", "b", "c"):
            desk.tell(name)
        desk.pass_by(100)
        assert tries == [0, 10, 30, 70]
        desk.ops.trouble = None
        desk.pass_by(100)
        assert desk.sent() == ["a", "b", "c"]
        assert desk.counts() == (0, 0)
    assert "waits in channel {channel}: {error}" in str([event.get("log_format") for event in events])


def test_one_channel_does_not_hold_up_another() -> None:
    """While one channel is in trouble, or hangs, the others are told."""
    with at_work() as desk:
        desk.ops.held = []
        desk.tell("a", ("ops", "hook"))
        desk.tell("b", ("ops", "hook"))
        desk.pass_by(3)
        assert desk.sent() == ["a"]
        assert [notification.schedule for notification in desk.hook.sent] == ["a", "b"]
        for waiting in desk.ops.held:
            waiting.callback(None)
        desk.pass_by(3)
        assert desk.sent() == ["a", "b"]
        desk.ops.held[-1].callback(None)


def test_given_up_after_a_day() -> None:
    """After a day of tries a notification is given up, which the log says; the next one has its own day."""
    with at_work() as desk, hub_log() as events:
        desk.ops.trouble = DOWN
        desk.tell("a")
        desk.pass_by(GIVE_UP_AFTER.total_seconds() - 100)
        assert desk.counts() == (1, 0)
        desk.tell("b")
        desk.pass_by(200)
        assert desk.counts() == (1, 1)
        desk.ops.trouble = None
        desk.pass_by(3700)
        assert desk.sent() == ["b"]
    assert any("was given up" in str(event.get("log_format")) for event in events)


def test_what_no_try_can_help() -> None:
    """A notification that will never be taken is given up at once, and the next one follows."""
    with at_work() as desk:
        desk.ops.trouble = DeliveryError("gone", again=False)
        desk.tell("a")
        desk.pass_by(1)
        desk.ops.trouble = None
        desk.tell("b")
        desk.pass_by(1)
        assert (desk.sent(), desk.counts()) == (["b"], (0, 1))


def test_waits_as_long_as_asked() -> None:
    """Where the other side asks for an hour it has it."""
    with at_work() as desk:
        desk.ops.trouble = DeliveryError("busy", again=True, after=3600)
        desk.tell("a")
        desk.pass_by(60)
        desk.ops.trouble = None
        desk.pass_by(3000)
        assert desk.sent() == []
        desk.pass_by(1000)
        assert desk.sent() == ["a"]


def test_a_kill_repeats_at_most_one() -> None:
    """What was under way when the hub died is sent again with the same id, what was delivered is not."""
    first = Desk()
    first.tell("a")
    first.pass_by(1)
    first.ops.held = []
    first.tell("b")
    first.pass_by(1)
    assert first.sent() == ["a", "b"]
    with at_work(first.ledger) as second:
        second.pass_by(1)
        assert [notification.id for notification in second.ops.sent] == [first.ops.sent[-1].id]
        assert second.ops.sent[0].attempts == 2


class Mortal(MemoryLedger):
    """A ledger whose process dies at its write number ``writes``: before it is made, or just after."""

    def __init__(self, writes: int, made: bool) -> None:
        super().__init__()
        self._left, self._made = writes, made

    def _write(self, change: Any) -> Any:
        self._left -= 1
        if self._left > 0:
            return super()._write(change)
        if self._left == 0 and self._made:
            super()._write(change)
        return Deferred()  # nobody hears of it any more

    def revive(self) -> None:
        """Begin another life."""
        self._left = 1_000_000


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("writes", range(1, 11))
def test_wherever_the_hub_dies(writes: int, made: bool) -> None:
    """Killed at any write, the hub loses no notification that it stored, and repeats one at most."""
    ledger = Mortal(writes, made)
    first = Desk(ledger)
    for name in ("a", "b", "c"):
        first.tell(name)
    first.pass_by(5)
    ledger.revive()
    with at_work(ledger) as second:
        second.pass_by(5)
        assert second.counts() == (0, 0)
        sent = first.sent() + second.sent()
    told = ["a", "b", "c"][: writes - (not made)]
    assert sorted(set(sent)) == told
    assert sorted(sent) == sent
    assert len(sent) - len(told) <= 1


def test_backoff_outlives_a_restart() -> None:
    """A restart does not make a notification hurry."""
    first = Desk()
    first.ops.trouble = DOWN
    first.tell("a")
    first.pass_by(20)
    with at_work(first.ledger) as second:
        second.pass_by(25)
        assert second.sent() == []
        second.pass_by(10)
        assert second.sent() == ["a"]


def test_stop_cuts_off_what_is_under_way() -> None:
    """Stopping waits for no receiver; nothing is counted as delivered or given up by that."""
    with at_work() as desk:
        desk.ops.held = []
        desk.tell("a")
        desk.pass_by(1)
        assert isinstance(desk.notifier.stop(), Deferred)
        assert desk.notifier.stop().called
        assert desk.counts() == (1, 0)


def test_a_channel_that_never_answers() -> None:
    """A channel that hangs is cut off in the end, and tried again."""
    with at_work() as desk:
        desk.ops.held = []
        desk.tell("a")
        desk.pass_by(MAX_TRY + 1)
        assert desk.counts() == (1, 0)
        desk.ops.held = None
        desk.pass_by(20)
        assert desk.counts() == (0, 0)


class LoggedTests(SynchronousTestCase):
    """What is logged as an error of the hub's own."""

    def test_a_channel_with_an_error_of_its_own(self) -> None:
        """A channel that raises what it should not is tried again like one in trouble."""
        with at_work() as desk:
            desk.ops.trouble = ValueError("a bug")  # type: ignore[assignment]
            desk.tell("a")
            desk.pass_by(1)
            assert desk.counts() == (1, 0)
            desk.ops.trouble = None
            desk.pass_by(20)
            assert desk.sent() == ["a"]


def test_a_ledger_in_trouble() -> None:
    """A delivery that cannot be written down is not made twice; the rest waits for the ledger."""
    with at_work() as desk:
        desk.ops.held = []
        desk.tell("a")
        desk.tell("b")
        desk.pass_by(1)
        desk.ledger.fail_writes = LedgerError("the disk is full")
        desk.ops.held[0].callback(None)
        desk.ops.held = None
        desk.pass_by(60)
        assert desk.sent() == ["a"]
        desk.ledger.fail_writes = None
        desk.pass_by(10)
        assert desk.sent() == ["a", "b"]


def test_a_ledger_that_cannot_be_read() -> None:
    """Where the outbox cannot be looked into it is looked into again."""
    with at_work() as desk:
        desk.ledger.close()
        desk.notifier.wake()
        desk.pass_by(1)
        desk.ledger.open()
        desk.tell("a")
        desk.pass_by(10)
        assert desk.sent() == ["a"]


def test_channels_may_change() -> None:
    """A channel that is new takes what waits; one that is gone is not asked."""
    with at_work() as desk:
        desk.ops.trouble = DOWN
        desk.tell("a")
        desk.pass_by(1)
        desk.notifier.use({})
        desk.pass_by(30)
        other = MemoryChannel()
        desk.notifier.use({"ops": other})
        desk.pass_by(30)
        assert [notification.schedule for notification in other.sent] == ["a"]


@pytest.mark.parametrize("hours", [-1, -24 * 365, 1, 24 * 365])
def test_clock_steps(hours: int) -> None:
    """When the wall clock is put forward or back, notifications wait no longer than a day for it."""
    with at_work() as desk:
        desk.ops.trouble = DOWN
        desk.tell("a")
        desk.pass_by(1)
        desk.ops.trouble = None
        desk.step = timedelta(hours=hours)
        desk.pass_by(3600 + 20 + MAX_NAP)
        assert desk.sent() == ["a"]


def test_test_message() -> None:
    """A test message says at once what came of it, and touches no outbox."""
    with at_work() as desk:
        assert done(desk.notifier.test("ops", "1", "lab")) is None
        assert desk.ops.sent[0].about == {"hub": "lab"}
        desk.ops.trouble = DOWN
        assert done(desk.notifier.test("ops", "2", "lab")) == "nobody listens"
        with pytest.raises(UnknownChannel):
            done(desk.notifier.test("nobody", "3", "lab"))
        assert desk.counts() == (0, 0)
        assert desk.ops.sent[0].state is NotificationState.WAITING


def test_a_test_message_that_arrives() -> None:
    """Once a test has arrived, what waits is tried at once; one that fails changes nothing."""
    with at_work() as desk:
        desk.ops.trouble = DOWN
        for name in ("a", "b"):
            desk.tell(name)
        desk.pass_by(1000)
        assert done(desk.notifier.test("ops", "1", "lab")) == "nobody listens"
        desk.ops.trouble = None
        desk.pass_by(60)
        assert desk.sent() == []
        assert done(desk.notifier.test("ops", "2", "lab")) is None
        desk.pass_by(1)
        assert desk.sent() == ["", "a", "b"]


def test_a_channel_that_goes_away_during_a_try() -> None:
    """A try that fails when its channel is no longer in the file leaves nothing that waits for ever."""
    with at_work() as desk:
        sending: Deferred[None] = Deferred()
        desk.ops.send = lambda notification: sending  # type: ignore
        desk.tell("a")
        desk.pass_by(1)
        desk.notifier.use({"hook": desk.hook})
        sending.errback(DOWN)
        desk.pass_by(1)
        assert desk.counts() == (0, 1)
