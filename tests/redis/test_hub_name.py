"""Only one hub has a name: at the start, when Redis comes back, and after kill -9."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from reactorhub.redis import sink as sink_module
from reactorhub.redis.hub_name import HubIdentity, HubName
from reactorhub.redis.sink import RedisSink
from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.connection.commands import ScriptCall
from tests.events.sink_cases import make_sink, until
from tests.support.hubs import hub_log
from tests.support.redis_server import OneServer, ask


def identity(number: int, folder: str | None = None) -> HubIdentity:
    """Return a process of a hub; without ``folder`` it has one of its own."""
    return HubIdentity(
        name="lab",
        instance=f"instance-{number}",
        folder_id=folder or f"folder-{number}",
        host=f"host-{number}",
        pid=number,
        data_dir=f"/srv/{number}",
    )


class HubNameTests(OneServer, TestCase):
    """Several processes that are named ``lab``."""

    def setUp(self) -> None:
        """Begin with an empty server."""
        self.server.ask("FLUSHALL")

    def make(self, number: int, folder: str | None = None) -> RedisSink:
        """Return the sink of one process, which has not started."""
        return make_sink(self, self.server.url, identity=identity(number, folder))

    async def start(self, number: int, folder: str | None = None) -> RedisSink:
        """Return the sink of one process, which has tried to connect."""
        sink = self.make(number, folder)
        await sink.start()
        return sink

    def holder(self) -> str | None:
        """Return the instance that has the name."""
        return self.server.hash("t:hub:lab").get("instance")

    async def beat(self, sink: RedisSink) -> None:
        """Let a process write a heartbeat, and wait until Redis has answered it."""
        answered: Deferred[None] = Deferred()
        heard = sink._name.heard

        def note(reply: Any) -> None:
            heard(reply)
            if not answered.called:
                answered.callback(None)

        self.patch(sink._name, "heard", note)
        sink.publish_hub({"name": "lab"})
        await answered.addTimeout(5, reactor)  # type: ignore[arg-type]

    async def test_second_hub(self) -> None:
        """The second hub of a name learns at its start who has it, and writes no heartbeat."""
        first = await self.start(1)
        second = await self.start(2)
        sentence = (
            "another hub on this Redis has the hub.name 'lab', pid 1 on host-1 with the data folder /srv/1"
        )
        self.assertEqual((first.state().conflict, second.state().conflict), (None, sentence))
        await self.beat(second)
        self.assertEqual(self.holder(), "instance-1")
        self.assertEqual(second.state().state, "connected")

    async def test_leaving(self) -> None:
        """A hub that stops gives the name back. One that did not have it leaves it to the one that has."""
        first = await self.start(1)
        await (await self.start(2)).stop(1)
        self.assertEqual(self.holder(), "instance-1")
        await first.stop(1)
        self.assertEqual(
            (self.server.ask("EXISTS", "t:hub:lab"), self.server.ask("EXISTS", "t:hubs")), (0, 0)
        )

    async def test_name_gets_free(self) -> None:
        """A hub that lost the name takes it with its next heartbeat after it is free, and logs both."""
        first = await self.start(1)
        with hub_log() as said:
            second = await self.start(2)
            await first.stop(1)
            await self.beat(second)
        self.assertEqual((self.holder(), second.state().conflict), ("instance-2", None))
        self.assertEqual(self.server.ask("ZRANGE", "t:hubs", 0, -1), ["lab"])
        formats = [entry["log_format"] for entry in said if "conflict" in entry or "free again" in str(entry)]
        self.assertEqual(len(formats), 2)

    async def test_long_start(self) -> None:
        """A hub that takes long to start keeps its name, until it publishes heartbeats of its own."""
        self.patch(sink_module, "KEEP_NAME_EVERY", 0.05)
        sink = await self.start(1)
        self.server.ask("EXPIRE", "t:hub:lab", 5)
        await until(lambda: self.server.ask("TTL", "t:hub:lab") > 20)
        sink.publish_hub({"name": "lab", "time": "now"})
        await until(lambda: "time" in self.server.hash("t:hub:lab"))
        self.assertFalse(sink._keeping.running)

    async def test_same_folder(self) -> None:
        """After kill -9 the next process on the same folder has the name at once."""
        first = await self.start(1, "folder")
        second = await self.start(2, "folder")
        self.assertEqual((self.holder(), second.state().conflict), ("instance-2", None))
        await self.beat(first)
        self.assertEqual(self.holder(), "instance-2")
        self.assertIn("pid 2 on host-2", str(first.state().conflict))

    async def test_found_out_later(self) -> None:
        """Two hubs that both started without Redis: one has the name once it is there, the other says so."""
        self.server.kill()
        self.addCleanup(self.server.start)
        sinks = [await self.start(number) for number in (1, 2)]
        self.assertEqual([sink.state().conflict for sink in sinks], [None, None])
        self.server.start()
        self.addCleanup(self.server.kill)
        await gatherResults([Deferred.fromCoroutine(self.beat(sink)) for sink in sinks])
        conflicts = [sink.state().conflict for sink in sinks]
        self.assertEqual(conflicts.count(None), 1)
        self.assertEqual(self.holder(), f"instance-{1 + conflicts.index(None)}")

    async def test_race(self) -> None:
        """Of ten hubs that start at the same time exactly one has the name, time and again."""
        for _ in range(5):
            sinks = [self.make(number) for number in range(10)]
            await gatherResults([sink.start() for sink in sinks])
            having = [number for number, sink in enumerate(sinks) if sink.state().conflict is None]
            self.assertEqual([self.holder()], [f"instance-{number}" for number in having])
            await gatherResults([sink.stop(1) for sink in sinks])

    async def test_forgotten(self) -> None:
        """A hub of which nothing is heard loses its name and its place among the hubs, in time."""
        client = RedisClient(address_of(self.server.url), reactor)
        self.addCleanup(client.stop)
        await client.start()
        dead, next_one = (HubName(identity(number), "t:", ttl=1) for number in (1, 2))
        await client.ask([dead.beat({})])
        self.assertEqual(self.server.ask("ZRANGE", "t:hubs", 0, -1), ["lab"])
        self.server.ask("ZADD", "t:hubs", "1", "long-dead")

        async def heard() -> None:
            next_one.heard((await client.ask([next_one.beat({})]))[0])

        await heard()
        self.assertIsNotNone(next_one.conflict)
        await until(lambda: self.server.ask("EXISTS", "t:hub:lab", "t:hubs") == 0)
        await heard()
        self.assertIsNone(next_one.conflict)
        self.assertEqual(self.server.ask("ZRANGE", "t:hubs", 0, -1), ["lab"])

    async def test_hubs_are_listed_by_heartbeat(self) -> None:
        """Every living hub is in one sorted set, which drops those that were not heard of for 30 seconds."""
        now = int(self.server.ask("TIME")[0])
        self.server.ask("ZADD", "t:hubs", now - 32, "dead", now - 20, "slow")
        await self.start(1)
        listed = self.server.ask("ZRANGE", "t:hubs", 0, -1, "WITHSCORES")
        self.assertEqual(listed[::2], ["slow", "lab"])
        self.assertIn(int(listed[-1]), range(now, now + 10))
        self.assertIn(self.server.ask("TTL", "t:hubs"), (29, 30))

    async def test_heartbeat_without_an_instance(self) -> None:
        """The heartbeat of a hub that is too old to say who it is does not keep the name."""
        self.server.ask("HSET", "t:hub:lab", "name", "lab", "old", "field")
        self.assertIsNone((await self.start(1)).state().conflict)
        self.assertEqual((self.holder(), "old" in self.server.hash("t:hub:lab")), ("instance-1", False))

    async def test_foreign_key(self) -> None:
        """A key of another kind in the heartbeat's place costs the heartbeat, and nothing else."""
        self.server.ask("SET", "t:hub:lab", "somebody else's")
        sink = await self.start(1)
        sink.publish_hub({"name": "lab"})
        await until(lambda: sink.state().dropped > 0)
        self.assertEqual((sink.state().state, sink.state().conflict), ("connected", None))
        self.assertEqual(self.server.ask("GET", "t:hub:lab"), "somebody else's")

    async def test_heartbeat_says_which_process(self) -> None:
        """The heartbeat holds the process, its machine and its folder beside the hub's view."""
        sink = await self.start(1)
        sink.publish_hub({"name": "lab", "slots": {"limit": 16}})
        await until(lambda: "slots/limit" in self.server.hash("t:hub:lab"))
        wanted = {"instance": "instance-1", "folder_id": "folder-1", "host": "host-1", "pid": "1"}
        found = self.server.hash("t:hub:lab")
        self.assertEqual(
            {name: found[name] for name in wanted} | {"data_dir": found["data_dir"]},
            wanted | {"data_dir": "/srv/1"},
        )


@dataclass
class Process:
    """A process that is named ``lab``, and what the rule says of it."""

    instance: str
    folder: str
    name: HubName
    had_it: bool = False


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("beat"), st.integers(0, 4)),
        st.tuples(st.just("leave"), st.integers(0, 4)),
        st.tuples(st.just("expire"), st.just(0)),
    ),
    max_size=30,
)


class RuleTests(OneServer, TestCase):
    """The scripts against the rule in plain words."""

    def ask(self, call: ScriptCall) -> Any:
        """Run a script on the server."""
        replies = ask(self.server.port, list(call.in_full))
        return [text.encode() for text in replies[0]] if isinstance(replies[0], list) else replies[0]

    @given(STEPS)
    @settings(max_examples=60)
    def test_one_has_the_name(self, steps: list[tuple[str, int]]) -> None:
        """The name goes to whoever asks while it is free, and once to the next process on the same folder."""
        self.server.ask("FLUSHALL")
        processes = [Process(f"instance-{n}", folder, _name(n, folder)) for n, folder in enumerate("aabbc")]
        holder: Process | None = None
        for step, number in steps:
            process = processes[number]
            if step == "expire":
                self.server.ask("DEL", "t:hub:lab")
                holder = None
            elif step == "leave":
                self.ask(process.name.leave())
                holder = None if holder is process else holder
            else:
                process.name.heard(self.ask(process.name.beat({})))
                successor = holder is not None and holder.folder == process.folder and not process.had_it
                if holder in (None, process) or successor:
                    holder, process.had_it = process, True
                self.assertEqual(process.name.conflict is None, holder is process)
            found = self.server.hash("t:hub:lab").get("instance")
            self.assertEqual(found, holder.instance if holder else None)


def _name(number: int, folder: str) -> HubName:
    return HubName(identity(number, folder), "t:")
