"""Runs with a key: two orders with one key are one run, for 7 days and as long as the run is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from reactorhub.errors import LedgerError
from reactorhub.model.run import Run, RunState
from tests.storage.ledger_cases import NOON, InMemory, LedgerSuite, OnDisk, a_run, ended

DAY = timedelta(days=1)


def keyed(run: Run, key: str) -> Run:
    """A run with a key."""
    return replace(run, key=key)


class KeySuite(LedgerSuite):
    """Runs with a key, as every ledger keeps them."""

    async def test_a_taken_key_gives_the_run_that_is_there(self) -> None:
        """The second run of a key is not stored; its caller gets the first run, in its present state."""
        first, second = keyed(a_run(1), "inbox:a"), keyed(a_run(2), "inbox:a")
        self.assertEqual(await self.ledger.add_keyed_runs([first]), [first])
        running = replace(first, state=RunState.RUNNING)
        await self.ledger.save_run(running)
        self.assertEqual(await self.ledger.add_keyed_runs([second, a_run(3)]), [running, a_run(3)])
        self.assertEqual(await self.listed(), ["run-3", "run-1"])

    async def test_one_key_twice_in_one_call(self) -> None:
        """Of two runs with one key in one call the first is stored."""
        first = keyed(a_run(1), "inbox:a")
        self.assertEqual(
            await self.ledger.add_keyed_runs([first, keyed(a_run(2), "inbox:a")]), [first, first]
        )

    async def test_one_key_at_the_same_time(self) -> None:
        """Of two calls under way with one key the first stores its run, and the second gets it."""
        first = keyed(a_run(1), "api:a")
        answers = [self.ledger.add_keyed_runs([run]) for run in (first, keyed(a_run(2), "api:a"))]
        self.assertEqual(await gatherResults(answers), [[first], [first]])

    async def test_all_runs_or_none(self) -> None:
        """If one run of a call cannot be stored, none of them is, and its key stays free."""
        with self.assertRaises(LedgerError):
            await self.ledger.add_keyed_runs([keyed(a_run(1), "inbox:a"), a_run(2), a_run(2)])
        self.assertEqual(await self.listed(), [])
        self.assertEqual(await self.ledger.keyed_runs(["inbox:a"]), {})

    async def test_keys_that_are_taken(self) -> None:
        """Taken keys come with their runs; free ones are left out."""
        first = keyed(a_run(1), "inbox:a")
        await self.add(first, a_run(2))
        self.assertEqual(await self.ledger.keyed_runs(["inbox:a", "inbox:b"]), {"inbox:a": first})

    async def test_a_young_run_leaves_its_key_behind(self) -> None:
        """The key of a run that is deleted within 7 days stays taken, without a run."""
        await self.add(keyed(ended(1), "inbox:a"))
        await self.ledger.prune(NOON + DAY, 100)
        again = keyed(replace(a_run(2), created_at=NOON + 6 * DAY), "inbox:a")
        self.assertEqual(await self.ledger.add_keyed_runs([again]), [None])
        self.assertEqual(await self.ledger.keyed_runs(["inbox:a"]), {"inbox:a": None})
        self.assertEqual(await self.listed(), [])

    async def test_a_key_left_behind_is_free_after_7_days(self) -> None:
        """The first run with a key that is added 7 days later forgets such keys; the next order gets it."""
        await self.add(keyed(ended(1), "inbox:a"))
        await self.ledger.prune(NOON + DAY, 100)
        later = keyed(replace(a_run(2), created_at=NOON + 8 * DAY), "inbox:b")
        again = keyed(replace(a_run(3), created_at=NOON + 8 * DAY), "inbox:a")
        self.assertEqual(await self.ledger.add_keyed_runs([later, again]), [later, again])

    async def test_an_old_run_takes_its_key_along(self) -> None:
        """The key of a run that is deleted after 7 days is free at once."""
        await self.add(
            keyed(ended(1), "inbox:a"),
            replace(a_run(2), created_at=NOON + 8 * DAY),
            keyed(ended(3), "inbox:b"),
        )
        await self.ledger.prune(NOON + DAY, 100)
        self.assertEqual(await self.ledger.keyed_runs(["inbox:a", "inbox:b"]), {})

    async def test_released_runs_are_not_held(self) -> None:
        """A release changes nothing else, and runs that are not named stay held."""
        one, two = (replace(a_run(number), held=True) for number in (1, 2))
        await self.add(one, two)
        await self.ledger.release_runs(["run-1", "unknown"])
        self.assertEqual(await self.ledger.waiting_runs(), [replace(one, held=False), two])


class MemoryKeyTests(KeySuite, InMemory, TestCase):
    """In memory."""


class SqliteKeyTests(KeySuite, OnDisk, TestCase):
    """On disk."""
