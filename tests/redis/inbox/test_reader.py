"""What becomes of the entries of the inbox, and of limits, with a real Redis and a hub on doubles."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from reactorhub.errors import LedgerError
from reactorhub.model.run import RunState
from reactorhub.redis.inbox import reader, scripts
from reactorhub.redis.inbox.owner import NotNow
from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.connection.errors import RedisRefused
from reactorhub.storage.ledger import RunFilter
from tests.events.sink_cases import until
from tests.support.deferreds import done
from tests.support.hubs import hub_log
from tests.support.inbox_hub import PREFIX, InboxHub, Killed, entry
from tests.support.redis_server import OneServer, RedisServer

INBOX, DEAD, IDS = f"{PREFIX}inbox", f"{PREFIX}inbox:dead", f"{PREFIX}inbox:ids"


class InboxCase(OneServer, TestCase):
    """One server, empty for each test, and one connection."""

    async def setUp(self) -> None:
        """Begin with an empty server and a connection."""
        self.server.ask("FLUSHALL")
        self.client = await self.connect(self.server)

    async def connect(self, server: RedisServer) -> RedisClient:
        """A client that is connected to a server."""
        client = RedisClient(address_of(server.url), reactor)
        self.addCleanup(client.stop)
        await client.start()
        return client

    def hub(self, name: str = "one", **options: Any) -> InboxHub:
        """A hub that reads the inbox."""
        return InboxHub(self.client, name, **options)

    def push(self, *entries: str, key: str = INBOX) -> None:
        """Push entries, as any program does."""
        self.server.ask("RPUSH", key, *entries)

    def waiting(self, key: str = INBOX) -> list[str]:
        """The entries that wait in a list."""
        return list(self.server.ask("LRANGE", key, 0, -1))

    def dead(self) -> dict[str, str]:
        """The dead letters: each entry with its reason."""
        return {each["entry"]: each["reason"] for each in self.server.events(DEAD)}


class EntryTests(InboxCase):
    """Entries become runs."""

    async def test_entries_become_runs_in_order(self) -> None:
        """More entries than one script takes start in the order in which they were pushed."""
        names = [str(number) for number in range(2 * scripts.AT_ONCE + 3)]
        self.push(*(entry(name) for name in names))
        hub = self.hub(text="hub: {projects: {shop: {path: .}}, max_concurrent_runs: 1000}")
        await hub.live()
        for _ in range(20):
            hub.start_runs()
        self.assertEqual(hub.started, names)

    async def test_an_entry_has_all_fields_of_an_order(self) -> None:
        """Queue, priority, tags and the others are read as the API reads them."""
        self.push(entry("1", id="a", queue="heavy", priority=3, tags=["x"], timeout="2h", project="shop"))
        hub = self.hub()
        await hub.live()
        spec = hub.harness.engine.crawls[0].spec
        self.assertEqual(
            (spec.queue, spec.priority, spec.tags, spec.timeout, spec.project),
            ("heavy", 3, ("x",), 7200, "shop"),
        )

    async def test_the_same_id_is_the_same_run(self) -> None:
        """Entries with one id start one run, pushed together or later; the claim names hub and run."""
        self.push(entry("1", id="a"), entry("2", id="a"))
        hub = self.hub()
        await hub.live()
        self.push(entry("3", id="a"))
        await hub.live()
        self.assertEqual(hub.started, ["1"])
        [crawl] = hub.harness.engine.crawls
        self.assertEqual(self.server.ask("HGET", IDS, "a"), f"one/ {crawl.run_id}")

    async def test_the_ledger_knows_an_id_too(self) -> None:
        """Where Redis has lost its claims, an id that the ledger knows starts no second run."""
        self.push(entry("1", id="a"))
        hub = self.hub()
        await hub.live()
        self.server.ask("FLUSHALL")
        self.push(entry("2", id="a"))
        await hub.live()
        self.assertEqual((hub.started, self.waiting()), (["1"], []))

    async def test_two_hubs_share_the_inbox(self) -> None:
        """Each entry starts on one of them, and one id starts once."""
        self.push(*(entry(number) for number in range(60)), entry("a", id="x"))
        one, two = self.hub("one"), self.hub("two")
        self.push(entry("b", id="x"))
        while await one.reader.look() or await two.reader.look():
            pass
        for hub in (one, two):
            hub.start_runs()
        names = sorted([*one.started, *two.started])
        self.assertEqual(len(names), 61)
        self.assertEqual(len(set(names) - {"a", "b"}), 60)

    async def test_one_id_over_two_hubs(self) -> None:
        """What one hub has run, another one does not run, even from a list of its own."""
        self.push(entry("1", id="x"))
        one, two = self.hub("one"), self.hub("two")
        await one.live()
        self.push(entry("2", id="x"))
        self.push(entry("3", id="x"), key=f"{INBOX}:two")
        await two.live()
        self.assertEqual((one.started, two.started, self.waiting()), (["1"], [], []))

    async def test_an_inbox_for_one_hub(self) -> None:
        """What is pushed to a hub's own list starts there and nowhere else."""
        self.push(entry("1"), key=f"{INBOX}:two")
        one, two = self.hub("one"), self.hub("two")
        await one.live()
        await two.live()
        self.assertEqual((one.started, two.started), ([], ["1"]))

    async def test_a_hub_with_a_reserved_name(self) -> None:
        """A hub that is called like another key of the inbox reads the common list only."""
        self.push(entry("1"))
        hub = self.hub("dead")
        await hub.live()
        self.assertEqual(hub.started, ["1"])

    async def test_old_claims_are_forgotten(self) -> None:
        """A claim that is 7 days old goes when the next entry comes."""
        self.server.ask("HSET", IDS, "old", "one/ run", "young", "one/ run")
        now = int(self.server.ask("TIME")[0])
        self.server.ask("ZADD", f"{IDS}:times", now - 7 * 86_400 - 1, "old", now - 6 * 86_400, "young")
        self.push(entry("1", id="a"))
        await self.hub().live()
        self.assertEqual(set(self.server.hash(IDS)), {"young", "a"})


class RefusedTests(InboxCase):
    """Entries that cannot become a run."""

    async def test_bad_entries(self) -> None:
        """Each goes to the dead letters with a reason that says what to fix; the others start."""
        bad = {
            "": "is empty",
            "prices": "is not valid JSON",
            "[]": "must be a JSON object",
            '{"args": {}}': "spider: is required",
            entry("x", id=7): "id: must be a text",
            entry("x", id=""): "id: must be a text",
            entry("x", queue="gone"): "no queue 'gone'",
            entry("x", settings={"FEEDS": {}}): "cannot be set for a single run",
            entry("x", wat=1): "no such field",
        }
        self.push("{", *bad, entry("1"))
        hub = self.hub()
        await hub.live()
        self.assertEqual((hub.started, self.waiting()), (["1"], []))
        dead = self.dead()
        self.assertEqual(set(dead), {"{", *bad})
        for text, reason in bad.items():
            self.assertIn(reason, dead[text])
        self.assertRegex(self.server.events(DEAD)[0]["at"], r"^2026-.*Z$")

    async def test_dead_letters_are_bounded(self) -> None:
        """A sender of nothing but bad entries does not fill Redis: the oldest dead letters go."""
        fill = f"for _ = 1, {scripts.MAX_DEAD} do redis.call('XADD', KEYS[1], '*', 'entry', 'old') end"
        self.server.ask("EVAL", fill, 1, DEAD)
        self.push(*["bad"] * 200, *["x" * (scripts.MAX_ENTRY + 1)] * 4)
        await self.hub().live()
        self.assertEqual(self.waiting(), [])
        self.assertIn(self.server.ask("XLEN", DEAD), range(scripts.MAX_DEAD, scripts.MAX_DEAD + 101))
        [[_, newest]] = self.server.ask("XREVRANGE", DEAD, "+", "-", "COUNT", 1)
        self.assertNotIn("old", newest)

    async def test_bytes_that_are_not_text(self) -> None:
        """An entry that is not UTF-8 is a dead letter, byte for byte."""
        await self.client.execute("RPUSH", INBOX, b'{"spider": "\xff"}')
        await self.hub().live()
        [[_, fields]] = await self.client.execute("XRANGE", DEAD, "-", "+")
        self.assertEqual((fields[1], fields[5]), (b'{"spider": "\xff"}', b"the entry is not UTF-8"))

    async def test_texts_that_no_database_takes(self) -> None:
        """Lone surrogates and NUL, which JSON can write, start a run or are dead letters; nothing waits."""
        texts = ["\\ud800", "\\u0000", "\\udfff\\ud800"]
        self.push(
            *(f'{{"spider": "prices", "args": {{"n": "{each}"}}, "tags": ["{each}"]}}' for each in texts)
        )
        self.push(*(f'{{"spider": "{each}", "id": "{each}"}}' for each in texts), entry("1"))
        hub = self.hub()
        await hub.live()
        self.assertEqual((hub.started[-1], self.waiting()), ("1", []))

    async def test_an_entry_that_is_too_long(self) -> None:
        """It is a dead letter, of which the beginning is kept, and holds nobody up."""
        long = entry("x" * 5_000_000)
        self.push(long, entry("1"))
        hub = self.hub()
        await hub.live()
        self.assertEqual((hub.started, list(self.dead())), (["1"], [long[: scripts.MAX_ENTRY]]))

    async def test_a_bad_entry_does_not_claim_its_id(self) -> None:
        """Its sender can correct it and push it again with the same id."""
        self.push(entry("x", id="a", queue="gone"))
        hub = self.hub()
        await hub.live()
        self.push(entry("1", id="a"))
        await hub.live()
        self.assertEqual(hub.started, ["1"])

    async def test_a_queue_that_a_reload_removes_meanwhile(self) -> None:
        """An entry that was taken, and is wrong by now, is a dead letter and frees its id."""
        hub = self.hub()
        hub.owner.accept = lambda _: hub.owner.never  # type: ignore[method-assign,attr-defined]
        self.push(entry("1", id="a", queue="heavy"))
        with self.assertRaises(AttributeError):
            await hub.reader.look()
        after = self.hub(text="hub: {projects: {shop: {path: .}}}")
        await after.live()
        self.assertEqual(
            (after.started, list(self.dead()), self.server.hash(IDS)),
            ([], [entry("1", id="a", queue="heavy")], {}),
        )

    async def test_keys_of_another_kind(self) -> None:
        """They are named as trouble, and what can be read is read."""
        self.server.ask("SET", f"{INBOX}:one", "x")
        self.push(entry("1"))
        hub = self.hub()
        with self.assertRaisesRegex(RedisRefused, "t:inbox:one is a string, but must be a list"):
            await hub.live()
        hub.start_runs()
        self.assertEqual(hub.started, ["1"])


class OtherHubsTests(InboxCase):
    """Entries for spiders that this hub does not have."""

    async def later(self, hub: InboxHub) -> None:
        """Look after the hub has lost its patience with entries that nobody knows."""
        seconds = hub.reader._clock.seconds
        hub.reader._clock = _Later(seconds)  # type: ignore[assignment]
        await hub.live()

    async def test_an_entry_goes_to_the_hub_that_has_the_spider(self) -> None:
        """Another hub leaves it where it is, and takes what is behind it, however much that is."""
        theirs = [json.dumps({"spider": "theirs", "args": {"n": str(number)}}) for number in range(120)]
        self.push(*theirs, entry("1"))
        hub = self.hub()
        await hub.live()
        self.assertEqual((hub.started, self.waiting()), (["1"], theirs))

    async def test_an_entry_that_no_hub_knows(self) -> None:
        """After some seconds it is a dead letter, with the reason."""
        self.push('{"spider": "nobody"}')
        hub = self.hub()
        await hub.live()
        self.assertEqual(len(self.waiting()), 1)
        await self.later(hub)
        self.assertEqual(self.waiting(), [])
        self.assertIn("'nobody'", self.dead()['{"spider": "nobody"}'])

    async def test_an_entry_for_a_hub_that_is_away(self) -> None:
        """It waits for a hub that had the spider within a day, and no longer."""
        now = int(self.hub().harness.now().timestamp())
        self.server.ask("HSET", f"{INBOX}:hubs", "two/", f'{now - 86_000} ["theirs", "shop/theirs"]')
        self.push('{"spider": "theirs"}', '{"spider": "theirs", "project": "other"}')
        hub = self.hub()
        await hub.live()
        await self.later(hub)
        self.assertEqual(self.waiting(), ['{"spider": "theirs"}'])
        self.server.ask("HSET", f"{INBOX}:hubs", "two/", f'{now - 87_000} ["theirs"]', "bad/", "x")
        hub = self.hub()
        await hub.live()
        await self.later(hub)
        self.assertEqual(self.waiting(), [])

    async def test_a_spider_that_several_projects_have(self) -> None:
        """Where no hub can choose the project, the entry is a dead letter."""
        engine = {"shop": ["prices"], "other": ["prices"]}
        one, two = self.hub("one", spiders=engine), self.hub("two", spiders=engine)
        self.push(entry("x"), entry("1", project="other"))
        for hub in (one, two, one):
            await hub.live()
        await self.later(one)
        self.assertEqual((one.started, self.waiting(), list(self.dead())), (["1"], [], [entry("x")]))

    async def test_entries_for_a_hub_whose_data_folder_is_gone(self) -> None:
        """A hub of the same name on another folder takes over what was for this name alone."""
        before = self.hub("web", folder_id="old")
        before.owner.accept = lambda _: before.owner.never  # type: ignore[method-assign,attr-defined]
        self.push(entry("1"), key=f"{INBOX}:web")
        with self.assertRaises(AttributeError):
            await before.reader.look()
        other, after = self.hub("other"), self.hub("web", folder_id="new")
        await after.beat()
        for hub in (other, after):
            await hub.live()
        await after.live()
        self.assertEqual((other.started, after.started), ([], ["1"]))

    async def test_a_hub_says_which_spiders_it_has(self) -> None:
        """Others read it; a hub that is not seen for a month is forgotten."""
        self.server.ask("HSET", f"{INBOX}:hubs", "gone/", "1 []")
        hub = self.hub()
        await hub.live()
        [[name, text]] = self.server.hash(f"{INBOX}:hubs").items()
        self.assertEqual(
            (name, json.loads(text.partition(" ")[2])),
            ("one/", ["prices", "report", "shop/prices", "shop/report"]),
        )

    async def test_entries_of_a_hub_that_is_gone(self) -> None:
        """What it had taken goes back to the head of the inbox, in order; what was for it alone waits."""
        gone = self.hub("gone")
        gone.owner.accept = lambda _: gone.owner.never  # type: ignore[method-assign,attr-defined]
        self.push(entry("1"), entry("2", id="b"))
        with self.assertRaises(AttributeError):
            await gone.reader.look()
        await gone.beat()
        self.push(entry("3"))
        hub = self.hub()
        await hub.live()
        self.assertEqual(hub.started, ["3"])
        await gone.vanish()
        hub.reader._looked_for_gone = float("-inf")
        await hub.live()
        self.assertEqual(hub.started, ["3", "1", "2"])


class WaitingTests(InboxCase):
    """When entries must wait, they wait in Redis, and nothing is lost."""

    SMALL = "hub: {projects: {shop: {path: .}}, max_concurrent_runs: 1, max_queued_runs: 2}"

    async def test_a_full_queue(self) -> None:
        """The hub takes as many as may wait, and the rest when there is room again."""
        self.push(*(entry(number) for number in range(5)))
        hub = self.hub(text=self.SMALL)
        await hub.live()
        self.assertEqual(len(self.waiting()), 3)
        for _ in range(5):
            hub.harness.crawling[0].finish()
            hub.start_runs()
            await hub.live()
        self.assertEqual(hub.started, list("01234"))

    async def test_a_queue_that_fills_up_meanwhile(self) -> None:
        """Entries that were taken go back to the head of the inbox, in order, each once."""
        self.push(entry("1"), entry("2"), entry("3"))
        hub = self.hub()
        hub.harness.dispatcher.limit_waiting(2)
        hub.owner.places = lambda: 3  # type: ignore[method-assign]
        with self.assertRaises(NotNow):
            await hub.reader.look()
        self.assertEqual([json.loads(each)["args"]["n"] for each in self.waiting()], list("123"))
        self.assertEqual(self.waiting(f"{INBOX}:taken:one/"), [])
        hub.harness.dispatcher.limit_waiting(100)
        await hub.live()
        self.assertEqual(hub.started, list("123"))

    async def test_the_longest_entry_goes_back(self) -> None:
        """It gets an id, and is not too long afterwards, whatever its letters are."""
        text = entry("1", tags=["ü" * 100]).replace("\\u00fc", "ü")
        text += " " * (scripts.MAX_ENTRY - len(text.encode()))
        self.push(text)
        hub = self.hub()
        hub.harness.dispatcher.limit_waiting(0)
        hub.owner.places = lambda: 1  # type: ignore[method-assign]
        with self.assertRaises(NotNow):
            await hub.reader.look()
        self.assertIn('"id"', self.waiting()[0])
        hub.harness.dispatcher.limit_waiting(100)
        await hub.live()
        self.assertEqual(hub.started, ["1"])

    async def test_a_hub_that_stops(self) -> None:
        """It takes nothing more."""
        hub = self.hub()
        done(hub.harness.dispatcher.stop(0, Deferred()))
        self.push(entry("1"))
        await hub.live()
        self.assertEqual(self.waiting(), [entry("1")])

    async def test_a_ledger_that_cannot_write(self) -> None:
        """The entries go back, and start once the disk has room; the log says so once."""
        self.push(entry("1"), entry("2"))
        hub = self.hub()
        hub.ledger.fail_writes = LedgerError("the disk is full")
        for _ in range(2):
            with self.assertRaisesRegex(NotNow, "the disk is full"):
                await hub.live()
        self.assertEqual(len(self.waiting()), 2)
        hub.ledger.fail_writes = None
        await hub.live()
        self.assertEqual(hub.started, ["1", "2"])

    async def test_redis_without_memory(self) -> None:
        """Nothing is taken and nothing is lost while Redis refuses writes; then the entries start."""
        self.push(entry("1"), entry("2", id="b"), "{")
        hub = self.hub()
        await hub.reader._register(tuple, known=False)
        try:
            self.server.ask("CONFIG", "SET", "maxmemory", "1")
            with self.assertRaisesRegex(RedisRefused, "OOM"):
                await hub.live()
            self.assertEqual(len(self.waiting()), 3)
        finally:
            self.server.ask("CONFIG", "SET", "maxmemory", "0")
        await hub.live()
        self.assertEqual((hub.started, self.waiting(), list(self.dead())), (["1", "2"], [], ["{"]))

    async def test_redis_that_refuses_writes(self) -> None:
        """So it is where Redis waits for replicas, or where its disk is full."""
        self.push(entry("1"))
        hub = self.hub()
        self.server.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        try:
            with self.assertRaisesRegex(RedisRefused, "NOREPLICAS"):
                await hub.live()
        finally:
            self.server.ask("CONFIG", "SET", "min-replicas-to-write", "0")
        await hub.live()
        self.assertEqual((hub.started, self.waiting()), (["1"], []))

    async def test_an_entry_is_confirmed_without_memory(self) -> None:
        """What was taken before memory ran out starts: to confirm it frees memory."""
        self.push(entry("1", id="a"))
        hub = self.hub()
        taking = hub.reader._taking
        assert taking is not None
        wait, finish = Deferred[None](), taking._finish

        async def later(taken: Any) -> None:
            await wait
            await finish(taken)

        taking._finish = later  # type: ignore[method-assign]
        looking = Deferred.fromCoroutine(hub.reader.look())
        while not self.waiting(f"{INBOX}:taken:one/"):
            await self.client.execute("PING")
        self.server.ask("CONFIG", "SET", "maxmemory", "1")
        try:
            wait.callback(None)
            await looking
        finally:
            self.server.ask("CONFIG", "SET", "maxmemory", "0")
        hub.start_runs()
        self.assertEqual((hub.started, self.waiting(f"{INBOX}:taken:one/")), (["1"], []))

    async def test_a_redis_that_only_reads(self) -> None:
        """A replica refuses writes: entries wait, limits are read."""
        hub = self.hub()
        await hub.reader._register(hub.owner.spiders, known=False)
        self.push(entry("1"))
        self.server.ask("HSET", f"{PREFIX}limits", "max_concurrent_runs", "7")
        self.server.ask("REPLICAOF", "127.0.0.1", "1")
        try:
            with self.assertRaisesRegex(RedisRefused, "READONLY"):
                await hub.live()
            self.assertEqual((self.waiting(), hub.harness.slots.limit), ([entry("1")], 7))
        finally:
            self.server.ask("REPLICAOF", "NO", "ONE")
        await hub.live()
        self.assertEqual(hub.started, ["1"])


class HeldTests(InboxCase):
    """Runs that are in the ledger and not confirmed."""

    async def test_a_held_run_whose_claim_is_gone(self) -> None:
        """A young one starts; one that is older than a claim is cancelled with the reason."""
        self.push(entry("1", id="a"))
        first = self.hub()
        first.owner.confirm = lambda _: None  # type: ignore[method-assign]
        await first.live()
        self.server.ask("FLUSHALL")
        young = self.hub(ledger=first.ledger)
        young.owner.confirm = lambda _: None  # type: ignore[method-assign]
        await young.live()
        self.assertTrue(self.server.ask("HGET", IDS, "a").startswith("one/ "))
        self.server.ask("FLUSHALL")
        old = self.hub(ledger=first.ledger)
        old.harness.clock.advance(7 * 86_400)
        await old.live()
        [run] = done(old.ledger.runs(_ALL, 10)).rows
        self.assertEqual((old.started, run.state), ([], RunState.CANCELLED))
        self.assertIn("away for longer", run.reason or "")

    async def test_runs_of_an_inbox_that_is_not_read_any_more(self) -> None:
        """They are cancelled, since nobody can confirm them; their entries are still in Redis."""
        self.push(entry("1", id="a"))
        first = self.hub()
        taking = first.reader._taking
        assert taking is not None

        async def killed(_: Any) -> None:
            raise Killed

        taking._confirm = killed  # type: ignore[method-assign]
        with self.assertRaises(Killed):
            await first.live()
        after = self.hub(ledger=first.ledger)
        after.owner.withdraw_all("the inbox is not read")
        after.start_runs()
        [run] = done(after.ledger.runs(_ALL, 10)).rows
        self.assertEqual((after.started, run.state), ([], RunState.CANCELLED))
        again = self.hub(ledger=first.ledger)
        await again.live()
        self.assertEqual(again.started, ["1"])


class LimitTests(InboxCase):
    """Limits in Redis."""

    async def test_a_limit_comes_and_goes(self) -> None:
        """A field of the hash is in force after a look; without it the file's limit is."""
        hub = self.hub()
        self.server.ask("HSET", f"{PREFIX}limits", "max_concurrent_runs", 3, "queues.heavy", 1)
        await hub.live()
        self.assertEqual((hub.harness.slots.limit, hub.harness.slots.queues["heavy"]), (3, 1))
        self.server.ask("HDEL", f"{PREFIX}limits", "max_concurrent_runs")
        await hub.live()
        self.assertEqual((hub.harness.slots.limit, hub.harness.slots.queues["heavy"]), (100, 1))
        self.assertEqual(hub.harness.events().count("limits.changed"), 2)

    async def test_the_limits_of_one_hub_win(self) -> None:
        """The hash of a hub is above the one for all hubs."""
        hub, other = self.hub(), self.hub("two")
        self.server.ask("HSET", f"{PREFIX}limits", "max_concurrent_runs", 3)
        self.server.ask("HSET", f"{PREFIX}limits:one", "max_concurrent_runs", 5)
        await hub.live()
        await other.live()
        self.assertEqual((hub.harness.slots.limit, other.harness.slots.limit), (5, 3))

    async def test_a_redis_that_has_lost_its_data(self) -> None:
        """The limit stays; once it has been written anew, its removal takes it back."""
        hub = self.hub()
        self.server.ask("HSET", f"{PREFIX}limits", "max_concurrent_runs", 3)
        await hub.live()
        self.server.ask("FLUSHALL")
        await hub.live()
        await hub.live()
        self.assertEqual(hub.harness.slots.limit, 3)
        self.server.ask("HSET", f"{PREFIX}limits", "max_concurrent_runs", 3)
        await hub.live()
        self.server.ask("DEL", f"{PREFIX}limits")
        await hub.live()
        self.assertEqual(hub.harness.slots.limit, 100)

    async def test_a_hash_that_makes_no_sense(self) -> None:
        """Words that are not limits are shown; a huge hash or another kind of key is named as trouble."""
        hub = self.hub()
        await self.client.execute("HSET", f"{PREFIX}limits", "max_concurrent_runs", "many", b"\xff", "1")
        await hub.live()
        ignored = [each["field"] for each in hub.harness.hub.limits_view()["ignored"]]
        self.assertEqual((ignored, hub.harness.slots.limit), (["max_concurrent_runs", "\\xff"], 100))
        self.server.ask("HSET", f"{PREFIX}limits", "x", "1" * 2000)
        with self.assertRaisesRegex(RedisRefused, "t:limits has a text of more than 1000 bytes"):
            await hub.live()
        self.server.ask("DEL", f"{PREFIX}limits")
        self.server.ask("SET", f"{PREFIX}limits", "4")
        with self.assertRaisesRegex(RedisRefused, "t:limits is a string, but must be a hash"):
            await hub.live()

    async def test_limits_of_a_hub_without_an_inbox(self) -> None:
        """They are read all the same."""
        hub = self.hub()
        hub.reader._taking = None
        self.push(entry("1"))
        self.server.ask("HSET", f"{PREFIX}limits", "max_concurrent_runs", 3)
        await hub.live()
        self.assertEqual((hub.harness.slots.limit, self.waiting()), (3, [entry("1")]))


class ServiceTests(InboxCase):
    """The loop around the looks."""

    async def test_trouble_is_said_once(self) -> None:
        """And so is its end."""
        self.patch(reader, "AFTER_TROUBLE", 0.01)
        self.patch(reader, "POLL", 0.01)
        self.server.ask("SET", INBOX, "x")
        hub = self.hub()
        with hub_log() as log:
            hub.reader.start()
            await until(lambda: hub.reader.trouble is not None)
            await self.looks(20)
            self.server.ask("DEL", INBOX)
            await until(lambda: hub.reader.trouble is None)
            await hub.reader.stop()
        said = [each["log_format"] for each in log if "inbox in Redis" in (each.get("log_format") or "")]
        self.assertEqual(said, ["the inbox in Redis waits: {trouble}", "the inbox in Redis is read again"])

    async def test_a_hub_stops_while_redis_is_frozen(self) -> None:
        """It waits a second for the look under way, not longer."""
        self.patch(reader, "STOP_WITHIN", 0.05)
        self.patch(reader, "POLL", 0.01)
        hub = self.hub()
        hub.reader.start()
        await self.looks(3)
        self.server.freeze()
        try:
            await self.looks(3)
            clock: Any = reactor
            began = clock.seconds()
            with hub_log() as log:
                await hub.reader.stop()
            self.assertLess(clock.seconds() - began, 1.5)
        finally:
            self.server.thaw()
        self.assertEqual(
            [each["log_format"] for each in log if "inbox" in (each.get("log_format") or "")], []
        )

    async def test_a_redis_that_is_killed_and_starts_again(self) -> None:
        """With an append-only file nothing is lost and nothing starts twice."""
        durable = ("--appendonly", "yes", "--appendfsync", "always")
        server = RedisServer().start(*durable)
        self.addCleanup(server.close)
        self.patch(reader, "POLL", 0.01)
        self.patch(reader, "AFTER_TROUBLE", 0.05)
        hub = InboxHub(await self.connect(server))
        names = [str(number) for number in range(90)]
        server.ask("RPUSH", INBOX, *(entry(name) for name in names))
        hub.reader.start()
        for _ in range(3):
            await self.looks(1)
            server.kill()
            server.start(*durable)
            server.ask("RPUSH", INBOX, entry(len(names)))
            names.append(str(len(names)))
        clock: Any = reactor
        deadline = clock.seconds() + 20
        while len(hub.started) < len(names) and clock.seconds() < deadline:
            hub.start_runs()
            await self.looks(3)
        await hub.reader.stop()
        self.assertEqual(hub.started, names)

    async def looks(self, times: int) -> None:
        """Let the reader look so many times, about."""

        await deferLater(reactor, 0.012 * times, lambda: None)


class _Later:
    """A clock that is ahead by more than the hub's patience."""

    def __init__(self, seconds: Any) -> None:
        self._seconds = seconds

    def seconds(self) -> float:
        """The time."""
        return float(self._seconds()) + reader.PATIENCE + 1


_ALL = RunFilter()
