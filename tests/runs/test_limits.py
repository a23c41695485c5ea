"""The limits in force: the file's, with an operator's above them, in the pool and in the ledger."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from reactorhub.errors import InvalidRequest, LedgerError
from reactorhub.policies.limits import Limits
from reactorhub.runs.limits import LiveLimits
from reactorhub.runs.slots import Slots
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.support.deferreds import done

FILE = Limits(4, {"default": 4, "heavy": 2})


def made(ledger: MemoryLedger) -> tuple[LiveLimits, Slots]:
    """Return limits and the pool they rule, as after a start of the hub."""
    slots = Slots(Clock(), 4, FILE.queues)
    limits = LiveLimits(ledger, slots, FILE)
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
    assert again.view()["drift"] == {"max_concurrent_runs": 1, "queues": {"heavy": 1}}


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


async def _overrides(ledger: MemoryLedger) -> dict[str, Any]:
    return await ledger.overrides()
