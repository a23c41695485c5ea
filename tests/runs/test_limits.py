"""The limits in force: the file's, with an operator's above them, in the pool and in the ledger."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from reactorhub.errors import InvalidRequest, LedgerError
from reactorhub.model.values import time_text
from reactorhub.policies.limits import Limits
from reactorhub.runs.limits import LiveLimits
from reactorhub.runs.slots import Slots
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.support.deferreds import done
from tests.support.hubs import START

FILE = Limits(4, {"default": 4, "heavy": 2})


def made(ledger: MemoryLedger) -> tuple[LiveLimits, Slots]:
    """Return limits and the pool they rule, as after a start of the hub."""
    slots = Slots(Clock(), 4, FILE.queues)
    limits = LiveLimits(ledger, slots, FILE, lambda: START)
    done(limits.recover())
    return limits, slots


def test_in_force_at_once_and_after_a_restart() -> None:
    """A change reaches the pool before set returns, and a new start takes it up."""
    ledger = MemoryLedger()
    limits, slots = made(ledger)
    done(limits.set({"max_concurrent_runs": 1, "queues": {"heavy": 1}}))
    assert (slots.limit, slots.queues["heavy"]) == (1, 1)
    again, pool = made(ledger)
    assert (pool.limit, again.in_force) == (1, limits.in_force)
    set_now = {"value": 1, "from": "api", "since": time_text(START)}
    assert again.view()["drift"] == {"max_concurrent_runs": set_now, "queues": {"heavy": set_now}}


def test_an_operator_wins_over_another_file() -> None:
    """What an operator has set holds; the rest is the new file's."""
    limits, slots = made(MemoryLedger())
    done(limits.set({"queues": {"heavy": 1}}))
    limits.use_file(Limits(9, {"default": 9, "heavy": 5, "light": 3}))
    assert slots.limit == 9
    assert slots.queues == {"default": 9, "heavy": 1, "light": 3}


def test_the_file_holds_again_once_all_is_taken_back() -> None:
    """Then there is no drift, the ledger keeps nothing, and the next file is followed."""
    ledger = MemoryLedger()
    limits, slots = made(ledger)
    done(limits.set({"max_concurrent_runs": 1}))
    done(limits.set({"max_concurrent_runs": None}))
    assert (slots.limit, limits.view()["drift"], done(_overrides(ledger))) == (4, {}, {})
    limits.use_file(Limits(9, {"default": 9}))
    assert slots.limit == 9


@pytest.mark.parametrize("wanted", [{"max_concurrent_runs": 0}, {"queues": {"gone": 1}}, {"other": 1}])
def test_what_makes_no_sense_changes_nothing(wanted: dict[str, Any]) -> None:
    """A refused change is neither in the ledger nor in force."""
    ledger = MemoryLedger()
    limits, slots = made(ledger)
    with pytest.raises(InvalidRequest):
        done(limits.set(wanted))
    assert (slots.limit, done(_overrides(ledger))) == (4, {})


def test_what_is_not_on_disk_does_not_hold() -> None:
    """A ledger that cannot write leaves the limits as they were."""
    ledger = MemoryLedger()
    limits, slots = made(ledger)
    ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        done(limits.set({"max_concurrent_runs": 1}))
    assert (slots.limit, limits.view()["drift"]) == (4, {})


def test_redis_changes_limits() -> None:
    """A word of Redis is in force at once and after a restart; only a new word is a change."""
    ledger = MemoryLedger()
    limits, slots = made(ledger)
    assert done(limits.hear({"max_concurrent_runs": "2"}, data_lost=False))
    assert slots.limit == 2
    again, pool = made(ledger)
    assert not done(again.hear({"max_concurrent_runs": "2"}, data_lost=False))
    assert (pool.limit, again.view()["drift"]["max_concurrent_runs"]["from"]) == (2, "redis")
    assert done(again.hear({}, data_lost=False))
    assert pool.limit == 4


def test_an_order_holds_against_an_older_word_of_redis() -> None:
    """After a restart, too, the word that Redis still has is the older one."""
    ledger = MemoryLedger()
    limits, _ = made(ledger)
    done(limits.hear({"max_concurrent_runs": "2"}, data_lost=False))
    done(limits.set({"max_concurrent_runs": 3}))
    again, pool = made(ledger)
    done(again.hear({"max_concurrent_runs": "2"}, data_lost=False))
    assert pool.limit == 3


def test_a_word_that_makes_no_sense_is_shown() -> None:
    """It changes nothing, and the view has it with the reason until it is gone."""
    limits, slots = made(MemoryLedger())
    assert not done(limits.hear({"queues.gone": "1"}, data_lost=False))
    assert (slots.limit, [each["field"] for each in limits.view()["ignored"]]) == (4, ["queues.gone"])
    done(limits.hear({}, data_lost=False))
    assert limits.view()["ignored"] == []


def test_a_word_that_is_not_on_disk_is_heard_again() -> None:
    """A ledger that cannot write leaves the limit as it was, and the next poll sets it."""
    ledger = MemoryLedger()
    limits, slots = made(ledger)
    ledger.fail_writes = LedgerError("the disk is full")
    with pytest.raises(LedgerError):
        done(limits.hear({"max_concurrent_runs": "2"}, data_lost=False))
    ledger.fail_writes = None
    assert (slots.limit, done(limits.hear({"max_concurrent_runs": "2"}, data_lost=False))) == (4, True)


async def _overrides(ledger: MemoryLedger) -> dict[str, Any]:
    return await ledger.overrides()
