"""What a hub tells its people: of runs that have ended for good, of missed ticks, of pauses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from reactorhub.model.notification import Notification
from reactorhub.notifications.channels.memory import MemoryChannel
from reactorhub.policies.agenda import Missed
from reactorhub.policies.incidents import GATHERING
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.support.deferreds import done
from tests.support.hubs import START, HubHarness, config
from tests.support.receiver import SECRET
from tests.support.web_client import Web

FILE = f"""
hub:
  name: test
  projects: {{shop: {{path: .}}}}
  notify: {{ops: {{webhook: {{url: "http://x/", secret: {SECRET}}}}}}}
defaults: {{notify: ops}}
schedules:
  plain: {{spider: prices, interval: 1h}}
  tough: {{spider: prices, interval: 1h, retry: {{max_retries: 1, delay: 10s}}}}
  picky: {{spider: prices, interval: 1h, pause_on_failure: 2}}
  other: {{spider: prices, interval: 1h}}
  secret: {{spider: prices, interval: 1h, notify: []}}
"""
MINUTE = timedelta(minutes=1)


class Office:
    """A hub whose people are told by a channel in memory."""

    def __init__(self, ledger: MemoryLedger | None = None, text: str = FILE) -> None:
        self.ops = MemoryChannel()
        self.harness = HubHarness(config(text), ledger=ledger or MemoryLedger(), channels={"ops": self.ops})
        done(self.harness.hub.recover())
        self.harness.notifier.start()

    def run(self, schedule: str = "plain", *, well: bool = False) -> None:
        """Let a run of a schedule end, well or not."""
        done(self.harness.hub.trigger(schedule))
        self.end(well=well)

    def end(self, *, well: bool) -> None:
        """End the newest crawl."""
        self.harness.turn()
        self.harness.engine.crawls[-1].finish("finished" if well else "shutdown")
        self.harness.turn()

    def miss(self, schedule: str, ticks: Sequence[int]) -> None:
        """Let ticks of a schedule be missed."""
        for minute in ticks:
            missed = Missed(
                self.harness.book.get(schedule), START + minute * MINUTE, None, "the hub was down"
            )
            done(self.harness.hub.missed(missed))

    def told(self) -> list[Notification]:
        """All that people were told, once there was time for it."""
        self.harness.clock.pump([0.1] * int(GATHERING.total_seconds() * 10 + 10))
        return self.ops.sent

    def lines(self) -> list[str]:
        """What they were told, in short."""
        return [f"{notification.schedule} {notification.kind.value}" for notification in self.told()]

    def close(self) -> None:
        """See that no timer is left."""
        self.harness.notifier.stop()
        assert self.harness.clock.getDelayedCalls() == []


def test_one_alert_for_many_failures() -> None:
    """The first of three failures is told, and then the success, which says how many had failed."""
    office = Office()
    for _ in range(3):
        office.run()
    office.run(well=True)
    office.run(well=True)
    assert office.lines() == ["plain failed", "plain recovered"]
    assert office.ops.sent[1].count == 3
    assert office.ops.sent[0].about["run"]["finish_reason"] == "shutdown"
    assert office.ops.sent[0].about["hub"] == "test"
    office.close()


def test_an_attempt_that_is_followed_by_another_tells_nothing() -> None:
    """Only where no further attempt comes has a run failed; one that then succeeds was no incident."""
    office = Office()
    office.run("tough")
    assert office.lines() == []
    office.harness.clock.advance(10)
    office.end(well=True)
    assert office.lines() == []
    office.run("tough")
    office.harness.clock.advance(10)
    office.end(well=False)
    assert office.lines() == ["tough failed"]
    assert office.ops.sent[0].about["run"]["attempt"] == 2
    office.close()


def test_a_cancelled_run_tells_nothing() -> None:
    """What an operator has stopped is neither a failure nor a recovery."""
    office = Office()
    run = done(office.harness.hub.trigger("plain"))
    done(office.harness.hub.cancel(run.id))
    office.harness.turn()
    assert office.lines() == []
    office.close()


def test_schedules_without_channels_tell_nothing() -> None:
    """Who wants to hear nothing hears nothing, and nothing is kept for them."""
    office = Office()
    office.run("secret")
    office.miss("secret", [0])
    done(office.harness.hub.pause("secret"))
    assert office.lines() == []
    assert done(office.harness.hub.status())["notify"] == {"waiting": 0, "given_up": 0, "last_error": None}
    office.close()


def test_a_downtime_is_told_once_for_all() -> None:
    """Ticks that two schedules missed are one message; the next tick that runs makes way for another one."""
    office = Office()
    office.miss("plain", range(5))
    office.miss("other", range(3))
    (notification,) = office.told()
    assert [(entry["schedule"], entry["ticks"]) for entry in notification.about["missed"]] == [
        ("plain", 5),
        ("other", 3),
    ]
    office.miss("plain", [10])
    assert len(office.told()) == 1
    done(office.harness.hub.tick(office.harness.book.get("plain"), START + 20 * MINUTE))
    office.end(well=True)
    office.miss("plain", [30])
    office.miss("other", [30])
    assert office.lines() == ["plain missed", "plain missed"]
    assert [entry["schedule"] for entry in office.ops.sent[1].about["missed"]] == ["plain"]
    office.close()


def test_missed_ticks_of_a_paused_schedule_tell_nothing() -> None:
    """They would not have run."""
    office = Office()
    done(office.harness.hub.pause("plain"))
    office.miss("plain", [1])
    assert office.lines() == ["plain paused"]
    office.close()


def test_pauses_are_told() -> None:
    """An operator's pause is told with its reason, once; after a resume the next one is told again."""
    office = Office()
    for reason in ("cleaning", "still cleaning"):
        done(office.harness.hub.pause("plain", reason))
    done(office.harness.hub.resume("plain"))
    done(office.harness.hub.pause("plain"))
    first, second = office.told()
    assert first.about["schedule"]["paused_reason"] == "cleaning"
    assert second.about["schedule"]["paused_reason"] == "by an operator"
    office.close()


def test_a_pause_for_failures_is_told() -> None:
    """A schedule that is paused since it failed too often says that beside its failure."""
    office = Office()
    for _ in range(2):
        office.run("picky")
    assert office.lines() == ["picky failed", "picky paused"]
    assert office.ops.sent[1].about["schedule"]["paused_reason"].startswith("2 runs in a row failed")
    office.close()


def test_a_restart_forgets_nothing() -> None:
    """What was not delivered before a restart is delivered after it, and an open incident stays open."""
    before = Office()
    before.ops.held = []
    before.run()
    before.told()
    after = Office(before.harness.ledger)
    after.run()
    after.run(well=True)
    assert after.lines() == ["plain failed", "plain recovered"]
    assert after.ops.sent[0].id == before.ops.sent[0].id
    assert after.ops.sent[1].count == 2
    after.close()


def test_a_schedule_that_tells_nobody_any_more() -> None:
    """Where a reload takes the channel away its open failure is forgotten, and told anew when it is back."""
    office = Office()
    office.run()
    quiet = FILE.replace("plain: {", "plain: {notify: [], ")
    for text in (quiet, FILE):
        done(office.harness.hub.put_in_force(config(text)))
    office.run()
    assert office.lines() == ["plain failed", "plain failed"]
    office.close()


def test_arguments_that_are_secrets_are_not_told() -> None:
    """What the API hides a notification hides too."""
    office = Office(text=FILE.replace("plain: {", "plain: {args: {api_key: hunter2}, "))
    office.run()
    assert office.told()[0].about["run"]["args"] == {"api_key": "***"}
    office.close()


def test_trying_a_channel() -> None:
    """The API sends a test message and says what came of it; an unknown channel is not found."""
    ops = MemoryChannel()
    web = Web(HubHarness(config(FILE), channels={"ops": ops}))
    reply: Any = web.post("/api/notify/ops/test")
    assert (reply.status, reply.json) == (200, {"channel": "ops", "delivered": True, "error": None})
    assert [notification.kind.value for notification in ops.sent] == ["test"]
    reply = web.post("/api/notify/opps/test")
    assert (reply.status, reply.json["detail"]) == (404, "there is no channel 'opps' under hub.notify")
