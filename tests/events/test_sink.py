"""What every sink promises, asked of the one in memory and of the one that writes to a real server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from reactorhub.events.memory import MemorySink, NullSink
from reactorhub.events.sink import Sink
from reactorhub.model.run import RunState
from reactorhub.redis.hub_name import HubIdentity
from reactorhub.redis.sink import RedisSink
from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from tests.events.sink_cases import after, event, run_id, until, view
from tests.support.redis_server import OneServer, RedisServer


class MemoryRoom:
    """A sink in memory, and how to read what arrived."""

    def __init__(self) -> None:
        self.sink = MemorySink()

    def run(self, number: int) -> tuple[str, str]:
        """The state and the scraped items that are known of a run."""
        found = self.sink.runs[run_id(number)]
        return found["state"], str(found["stats"]["items"])

    def latest(self, spider: str) -> tuple[str, str] | None:
        """The run and the scraped items of a spider's latest stats."""
        found = self.sink.latest.get(("shop", spider))
        return (found["id"], str(found["stats"]["items"])) if found else None

    def events(self) -> list[str]:
        """The ids of all events."""
        return [entry["id"] for entry in self.sink.events]

    def hub(self, name: str) -> str:
        """The uptime that a hub told last."""
        return str(self.sink.hubs[name].get("uptime_seconds"))


class RedisRoom:
    """A sink that writes to a server, and how to read there what arrived."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.sink = RedisSink(
            RedisClient(address_of(server.url), reactor),
            "t:",
            HubIdentity(name="main", instance="1"),
            reactor,
            lambda: datetime.now(UTC),
            gather=0.01,
        )

    def run(self, number: int) -> tuple[str, str]:
        """The state and the scraped items that are known of a run."""
        found = self.server.hash(f"t:run:{run_id(number)}")
        return found["state"], found["stats/items"]

    def latest(self, spider: str) -> tuple[str, str] | None:
        """The run and the scraped items of a spider's latest stats."""
        found = self.server.hash(f"t:stats:shop:{spider}")
        return (found["run_id"], found["items"]) if found else None

    def events(self) -> list[str]:
        """The ids of all events."""
        return [json.loads(entry["event"])["id"] for entry in self.server.events("t:events")]

    def hub(self, name: str) -> str:
        """The uptime that a hub told last."""
        return str(self.server.hash(f"t:hub:{name}").get("uptime_seconds"))


class SinkPromises:
    """The suite; ``make_room`` gives it a sink that has not started."""

    def make_room(self) -> Any:
        """Return the room to test in."""
        raise NotImplementedError

    async def test_newest_view(self: Any) -> None:
        """Of many views of one run the newest is what is known in the end."""
        room = self.make_room()
        await room.sink.start()
        for items in range(20):
            room.sink.publish_run(view(1, items=items), after(items))
        room.sink.publish_run(view(1, RunState.SUCCEEDED, items=20), after(20))
        await room.sink.stop(5)
        self.assertEqual(room.run(1), ("succeeded", "20"))
        self.assertEqual(room.latest("prices"), (run_id(1), "20"))

    async def test_latest_stats_belong_to_the_run_that_started_last(self: Any) -> None:
        """Neither an earlier run that ends late nor a queued run takes a spider's latest stats."""
        room = self.make_room()
        await room.sink.start()
        room.sink.publish_run(view(1, started=60, items=1), after(61))
        room.sink.publish_run(view(2, RunState.SUCCEEDED, started=0, items=2), after(62))
        room.sink.publish_run(view(3, RunState.QUEUED, started=None, items=3), after(63))
        await room.sink.stop(5)
        self.assertEqual(room.latest("prices"), (run_id(1), "1"))
        self.assertEqual(room.run(2), ("succeeded", "2"))
        self.assertEqual(room.run(3), ("queued", "3"))

    async def test_spiders_are_kept_apart(self: Any) -> None:
        """Each spider has latest stats of its own."""
        room = self.make_room()
        await room.sink.start()
        room.sink.publish_run(view(1, items=1), after(1))
        room.sink.publish_run(view(2, spider="a:b", items=2), after(2))
        await room.sink.stop(5)
        self.assertEqual((room.latest("prices"), room.latest("a:b")), ((run_id(1), "1"), (run_id(2), "2")))
        self.assertIsNone(room.latest("sitemap"))

    async def test_events_in_order(self: Any) -> None:
        """All events arrive, in the order in which they were published."""
        room = self.make_room()
        room.sink.publish_event(event(0))
        await room.sink.start()
        for number in range(1, 450):
            room.sink.publish_event(event(number))
        await room.sink.stop(5)
        self.assertEqual(room.events(), [event(number)["id"] for number in range(450)])

    async def test_hub(self: Any) -> None:
        """Of a hub's heartbeats the newest is kept."""
        room = self.make_room()
        await room.sink.start()
        for seconds in range(3):
            room.sink.publish_hub({"name": "main", "uptime_seconds": seconds, "slots": {"limit": 16}})
        await until(lambda: room.hub("main") == "2")
        await room.sink.stop(5)

    async def test_state(self: Any) -> None:
        """A sink is off, then connected, then off; publishing to one that is off is harmless."""
        sink: Sink = self.make_room().sink
        seen = [sink.state().state]
        await sink.start()
        seen.append(sink.state().state)
        await sink.stop(1)
        seen.append(sink.state().state)
        sink.publish_run(view(1), after(0))
        sink.publish_event(event(1))
        sink.publish_hub({"name": "main"})
        await sink.stop(1)
        self.assertEqual(seen, ["off", "connected", "off"])
        self.assertEqual(sink.state().dropped, 0)


class MemorySinkTests(SinkPromises, TestCase):
    """The sink in memory keeps the promises."""

    def make_room(self) -> MemoryRoom:
        """Return a room without a server."""
        return MemoryRoom()


class RedisSinkTests(OneServer, SinkPromises, TestCase):
    """The sink that writes to a real server keeps the promises."""

    def make_room(self) -> RedisRoom:
        """Return a room with an empty server."""
        self.server.ask("FLUSHALL")
        return RedisRoom(self.server)


class NullSinkTests(TestCase):
    """The sink of a hub without Redis."""

    async def test_takes_all_and_is_off(self) -> None:
        """It takes whatever is published, at any time, and says that it is off."""
        sink = NullSink()
        await sink.start()
        sink.publish_run(view(1), after(0))
        sink.publish_event(event(1))
        sink.publish_hub({"name": "main"})
        await sink.stop(1)
        self.assertEqual(sink.state().state, "off")
