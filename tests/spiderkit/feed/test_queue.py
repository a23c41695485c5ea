"""The keys of a feed in a real Redis: how entries are taken, acknowledged, buried, given back, taken over."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import deferLater

from reactorhub.spiderkit.connection.errors import RedisRefused
from reactorhub.spiderkit.feed.queue import GIVEN_BACK, GROUP, FeedQueue, Handled, new_consumer
from tests.spiderkit.feed.feed_cases import CLOCK, FeedCase


class QueueCase(FeedCase):
    """Tests with one queue or more on one feed."""

    async def queue(self, name: str = "one", lease: float = 60) -> FeedQueue:
        """Return a queue of its own connection."""
        return FeedQueue(await self.client(), self.keys, name, lease)


class TakeTests(QueueCase):
    """What is taken, from which kind of key, in which order."""

    async def test_list_is_read_from_the_left(self) -> None:
        """The oldest RPUSH comes first; what was taken is pending in the stream, and not in the list."""
        self.server.ask("RPUSH", self.keys.source, "a", "b", "c")
        taken = await (await self.queue()).take(2)
        assert [entry.data for entry in taken.entries] == [b"a", b"b"]
        assert {entry.kind for entry in taken.entries} == {"list"}
        assert self.server.ask("LRANGE", self.keys.source, 0, -1) == ["c"]
        assert self.pending() == {"one": ["a", "b"]}

    async def test_set_is_taken(self) -> None:
        """Members come in any order, each once."""
        self.server.ask("SADD", self.keys.source, "a", "b", "c")
        queue = await self.queue()
        first, second = await queue.take(2), await queue.take(2)
        assert sorted(entry.data for entry in (*first.entries, *second.entries)) == [b"a", b"b", b"c"]
        assert (first.kind, second.kind, (await queue.take(2)).kind) == ("set", "set", "none")

    async def test_sorted_set_is_read_from_its_highest_score(self) -> None:
        """Equal scores come by member, descending, as with scrapy-redis."""
        self.server.ask("ZADD", self.keys.source, 1, "a", 1, "b", 5, "c", 0.5, "d")
        queue = await self.queue()
        first, second = await queue.take(3), await queue.take(9)
        assert [entry.data for entry in (*first.entries, *second.entries)] == [b"c", b"b", b"a", b"d"]
        assert [entry.score for entry in second.entries] == ["0.5"]

    async def test_source_that_is_a_stream(self) -> None:
        """Its entries move to the feed's stream with all of their fields."""
        self.server.ask("XADD", self.keys.source, "*", "url", "http://a.example", "priority", "3")
        self.server.ask("XADD", self.keys.source, "*", *(f"f{n}" for n in range(1200)))
        taken = await (await self.queue()).take(9)
        assert json.loads(taken.entries[0].data) == {"url": "http://a.example", "priority": 3}
        assert taken.entries[1].data.startswith(b"f0 f1 f2 ")
        assert self.server.ask("XLEN", self.keys.source) == 0

    async def test_stream_comes_before_the_source(self) -> None:
        """Entries that producers add to the feed's stream are taken first, and marked as a stream's."""
        self.server.ask("RPUSH", self.keys.source, "a", "b")
        self.server.ask("XADD", self.keys.stream, "*", "d", "x")
        taken = await (await self.queue()).take(2)
        assert [(entry.data, entry.kind) for entry in taken.entries] == [(b"x", "stream"), (b"a", "list")]

    async def test_nothing_is_there(self) -> None:
        """Then nothing is taken, and the stream with its group exists."""
        taken = await (await self.queue()).take(5)
        assert (taken.entries, taken.kind, taken.last_id) == ([], "none", "0-0")
        assert self.server.ask("XLEN", self.keys.stream) == 0

    async def test_group_is_made_again(self) -> None:
        """A Redis that lost all of its data gets the group with the next take."""
        queue = await self.queue()
        await queue.take(1)
        self.server.ask("FLUSHALL")
        self.server.ask("RPUSH", self.keys.source, "a")
        assert len((await queue.take(1)).entries) == 1

    async def test_nothing_is_lost_where_the_stream_is_another_kind(self) -> None:
        """The list keeps its entries if they cannot be moved."""
        self.server.ask("RPUSH", self.keys.source, "a")
        self.server.ask("SET", self.keys.stream, "text")
        queue = await self.queue()
        with self.assertRaises(RedisRefused):
            await queue.take(1)
        assert self.server.ask("LLEN", self.keys.source) == 1

    async def test_two_consumers_share_the_entries(self) -> None:
        """Each entry is taken by one of them."""
        self.server.ask("RPUSH", self.keys.source, *(str(n) for n in range(100)))
        queues = [await self.queue("one"), await self.queue("two")]
        taken = [await queue.take(7) for _ in range(9) for queue in queues]
        data = [entry.data for each in taken for entry in each.entries]
        assert sorted(data) == sorted(str(n).encode() for n in range(100))


class EndTests(QueueCase):
    """How an entry leaves the stream."""

    async def taken(self, *data: str, queue: FeedQueue | None = None) -> tuple[FeedQueue, list[Any]]:
        """Push entries and take them."""
        self.server.ask("RPUSH", self.keys.source, *data)
        queue = queue or await self.queue()
        return queue, (await queue.take(100)).entries

    async def test_acknowledged_entries_are_gone(self) -> None:
        """Neither the stream nor the pending list has them, and a second acknowledgement changes nothing."""
        queue, (a, b) = await self.taken("a", "b")
        done = [Handled(entry=a, task_id="t1", requests=3, responses=2, items=2), Handled(entry=b)]
        assert await queue.acknowledge(done) == 2
        assert await queue.acknowledge(done) == 0
        assert self.left() == (0, 0, 0)
        assert self.pending() == {}
        counts = self.server.hash(self.keys.task("t1"))
        assert counts.pop("updated_at").endswith("Z")
        assert counts == {
            "handled": "1",
            "requests": "3",
            "responses": "2",
            "items": "2",
            "failed": "0",
            "errors": "0",
        }
        assert 604_700 < self.server.ask("TTL", self.keys.task("t1")) <= 604_800

    async def test_dead_letter(self) -> None:
        """It has the data, where it came from, and the reason; its task counts it."""
        queue, (a,) = await self.taken("a")
        await queue.bury(a, "the entry is empty", "t1", spider="shop")
        await queue.bury(a, "the entry is empty", "t1", spider="shop")
        (letter,) = self.server.events(self.keys.dead)
        assert letter.pop("at").endswith("Z")
        assert letter == {
            "d": "a",
            "from": "list",
            "reason": "the entry is empty",
            "deliveries": "1",
            "spider": "shop",
        }
        assert self.left() == (0, 0, 1)
        assert self.server.hash(self.keys.task("t1"))["dead"] == "1"

    async def test_entries_go_back_to_the_front_of_their_list(self) -> None:
        """They are where they were, in the order in which they were."""
        queue, entries = await self.taken("a", "b", "c")
        self.server.ask("RPUSH", self.keys.source, "d")
        assert await queue.give_back([entry.id for entry in entries]) == 3
        assert await queue.give_back([entry.id for entry in entries]) == 0
        assert self.server.ask("LRANGE", self.keys.source, 0, -1) == ["a", "b", "c", "d"]
        assert self.left() == (4, 0, 0)

    async def test_entries_go_back_to_their_set_and_sorted_set(self) -> None:
        """A member of a sorted set keeps its score."""
        queue = await self.queue()
        for push in (("SADD", self.keys.source, "a"), ("ZADD", self.keys.source, 2.5, "b")):
            self.server.ask(*push)
            entries = (await queue.take(5)).entries
            await queue.give_back([entry.id for entry in entries])
            if push[0] == "SADD":
                assert self.server.ask("SPOP", self.keys.source) == "a"
        assert self.server.ask("ZSCORE", self.keys.source, "b") == "2.5"

    async def test_entries_of_a_stream_go_back_to_the_stream(self) -> None:
        """Another consumer gets them with its next take."""
        self.server.ask("XADD", self.keys.stream, "*", "url", "http://a.example", "priority", "3")
        one, two = await self.queue("one"), await self.queue("two")
        (entry,) = (await one.take(5)).entries
        await one.give_back([entry.id])
        (again,) = (await two.take(5)).entries
        assert (again.data, again.deliveries) == (entry.data, 1)

    async def test_source_that_became_another_kind(self) -> None:
        """The entries stay in the stream, and are free."""
        queue, entries = await self.taken("a")
        self.server.ask("SADD", self.keys.source, "x")
        await queue.give_back([entry.id for entry in entries])
        (again, _) = (await (await self.queue("two")).take(5)).entries
        assert (again.data, again.kind, again.deliveries) == (b"a", "list", 1)

    async def test_deliveries_stay_counted(self) -> None:
        """What was taken over from a dead consumer and then given back was delivered once, not never."""
        _, entries = await self.taken("a", queue=await self.queue("dead", lease=0.001))
        two = await self.queue("two", lease=0.001)
        await deferLater(CLOCK, 0.01)
        (over,) = await two.take_over(5)
        assert over.deliveries == 2
        await two.give_back([over.id])
        assert list(self.pending()) == [GIVEN_BACK]
        (again,) = (await two.take(5)).entries
        assert (again.id, again.deliveries) == (entries[0].id, 2)

    async def test_entry_that_somebody_deleted(self) -> None:
        """It cannot go back, and is not pending any more."""
        queue, entries = await self.taken("a")
        self.server.ask("XDEL", self.keys.stream, entries[0].id)
        assert await queue.mine() == [entries[0].id]
        assert await queue.give_back([entries[0].id]) == 0
        assert await queue.mine() == []

    async def test_consumer_leaves(self) -> None:
        """It is forgotten as soon as nothing is pending with it."""
        queue, entries = await self.taken("a")
        await queue.leave()
        assert len(self.server.ask("XINFO", "CONSUMERS", self.keys.stream, GROUP)) == 1
        await queue.give_back([entries[0].id])
        await queue.leave()
        assert self.server.ask("XINFO", "CONSUMERS", self.keys.stream, GROUP) == []


class LeaseTests(QueueCase):
    """What becomes of entries whose consumer is silent."""

    async def test_living_consumer_keeps_its_entries(self) -> None:
        """Nobody takes over what is kept, and keeping is no delivery."""
        one, two = await self.queue("one", lease=0.4), await self.queue("two", lease=0.4)
        self.server.ask("RPUSH", self.keys.source, "a")
        (entry,) = (await one.take(5)).entries
        for _ in range(5):
            await deferLater(CLOCK, 0.1)
            assert await one.keep([entry.id]) == set()
            assert await two.take_over(5) == []
        await deferLater(CLOCK, 0.4)
        (over,) = await two.take_over(5)
        assert (over.data, over.deliveries) == (b"a", 2)
        assert await one.keep([entry.id]) == {entry.id}

    async def test_nothing_to_take_over_in_an_empty_redis(self) -> None:
        """Neither stream nor group is needed; what was there is lost for its consumer."""
        queue = await self.queue()
        assert await queue.take_over(5) == []
        assert await queue.keep(["1-1"]) == {"1-1"}

    async def test_consumers_that_are_gone_are_forgotten(self) -> None:
        """As soon as their entries were taken over and acknowledged."""
        dead, alive = await self.queue("dead", lease=0.01), await self.queue("alive", lease=0.01)
        self.server.ask("RPUSH", self.keys.source, "a")
        await dead.take(1)
        await deferLater(CLOCK, 0.03)
        (over,) = await alive.take_over(5)
        await alive.acknowledge([Handled(entry=over)])
        await alive.take_over(5)
        names = [row[1] for row in self.server.ask("XINFO", "CONSUMERS", self.keys.stream, GROUP)]
        assert names == ["alive"]

    def test_names_of_consumers_are_unique(self) -> None:
        """Two spiders of one process are two consumers."""
        assert new_consumer() != new_consumer()


class PushTests(QueueCase):
    """What spiders push themselves."""

    async def test_push_follows_the_kind_of_the_source(self) -> None:
        """The key that exists decides, and otherwise the settings."""
        queue = await self.queue()
        read = {
            "list": ("LRANGE", self.keys.source, 0, -1),
            "set": ("SMEMBERS", self.keys.source),
            "zset": ("ZRANGE", self.keys.source, 0, -1, "WITHSCORES"),
        }
        for kind, command in read.items():
            await queue.push("a", kind)
            await queue.push(b"b", "list", 2)
            expected = ["a", "0", "b", "2"] if kind == "zset" else ["a", "b"]
            assert sorted(self.server.ask(*command)) == sorted(expected)
            self.server.ask("DEL", self.keys.source)

    async def test_mapping_is_an_entry_of_the_stream(self) -> None:
        """So it may contain all of a request."""
        queue = await self.queue()
        await queue.push({"url": "http://a.example", "priority": 1}, "list")
        (entry,) = (await queue.take(5)).entries
        assert entry.kind == "stream"
        assert json.loads(entry.data) == {"url": "http://a.example", "priority": 1}
