"""What the Redis sink writes, read from a real server."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import TestCase

from reactorhub.model.run import RunState
from reactorhub.redis.commands import RedisCommands
from reactorhub.redis.sink import RedisSink
from tests.events.sink_cases import after, event, make_sink, run_id, until, view
from tests.support.redis_server import OneServer

NOON_TEXT = "2026-03-01T12:00:00.000000Z"
WEEK = 7 * 24 * 3600


class WritingTests(OneServer, TestCase):
    """What is in Redis, key by key."""

    def setUp(self) -> None:
        """Begin with an empty server."""
        self.server.ask("FLUSHALL")

    async def write(self, *views: Any, **options: Any) -> RedisSink:
        """Write views in one life of a sink."""
        sink = make_sink(self, self.server.url, **options)
        await sink.start()
        for each in views:
            sink.publish_run(each, after(90))
        await sink.stop(5)
        return sink

    async def test_latest_stats(self) -> None:
        """The spider's hash holds the stats as text and which run they are of."""
        stats = {
            "item_scraped_count": 3,
            "deep": {"er": 1.5},
            "start_time": NOON_TEXT,
            "run_id": "spider's own",
        }
        await self.write(view(1, **stats))
        self.assertEqual(
            self.server.hash("t:stats:shop:prices"),
            {
                "item_scraped_count": "3",
                "deep/er": "1.5",
                "start_time": NOON_TEXT,
                "run_id": run_id(1),
                "state": "running",
                "started_at": NOON_TEXT,
                "updated_at": "2026-03-01T12:01:30.000000Z",
            },
        )
        self.assertEqual(self.server.ask("TTL", "t:stats:shop:prices"), -1)

    async def test_run(self) -> None:
        """A run's hash holds its view and stats, nested names joined by slashes, and expires in a week."""
        await self.write(view(1, RunState.FAILED, item_scraped_count=3))
        found = self.server.hash(f"t:run:{run_id(1)}")
        wanted = {
            "id": run_id(1),
            "state": "failed",
            "spider": "prices",
            "args/category": "laptops",
            "tags": '["daily"]',
            "created_at": NOON_TEXT,
            "stats/item_scraped_count": "3",
            "links/log": f"/api/runs/{run_id(1)}/log",
        }
        self.assertEqual({name: found.get(name) for name in wanted}, wanted)
        self.assertNotIn("error", found)
        self.assertIn(self.server.ask("TTL", f"t:run:{run_id(1)}"), (WEEK - 1, WEEK))

    async def test_stale_fields_go(self) -> None:
        """Fields of an earlier write do not stay behind in either hash."""
        await self.write(view(1, started=0, gone=1, kept=1))
        await self.write(view(1, started=0, kept=2), view(2, started=1, kept=3))
        self.assertNotIn("stats/gone", self.server.hash(f"t:run:{run_id(1)}"))
        latest = self.server.hash("t:stats:shop:prices")
        self.assertEqual((latest["kept"], latest.get("gone"), latest["run_id"]), ("3", None, run_id(2)))

    async def test_many_stats(self) -> None:
        """A spider with a thousand stats fills no more than its share of Redis."""
        await self.write(view(1, **{f"stat/{number}": number for number in range(1000)}))
        latest = self.server.hash("t:stats:shop:prices")
        self.assertEqual((len(latest), latest["_dropped_fields"]), (505, "500"))

    async def test_event(self) -> None:
        """A stream entry holds the event's JSON, and its id and type as fields of their own."""
        sink = make_sink(self, self.server.url)
        sink.publish_event(event(7))
        await sink.start()
        await sink.stop(5)
        [entry] = self.server.events("t:events")
        self.assertEqual((entry["id"], entry["type"]), ("e000007", "run.running"))
        self.assertEqual(json.loads(entry["event"]), event(7))

    async def test_stream_is_trimmed(self) -> None:
        """The stream keeps about as many events as it is told."""
        sink = make_sink(self, self.server.url, commands=RedisCommands(prefix="t:", max_events=100))
        for number in range(1000):
            sink.publish_event(event(number))
        await sink.start()
        await sink.stop(5)
        self.assertIn(self.server.ask("XLEN", "t:events"), range(100, 301))
        self.assertEqual(self.server.events("t:events")[-1]["id"], "e000999")

    async def test_heartbeat(self) -> None:
        """The heartbeat is flat text and expires after three missed beats."""
        sink = make_sink(self, self.server.url)
        sink.publish_hub({"name": "main", "slots": {"limit": 16, "queues": {"heavy": 2}}, "ready": True})
        await sink.start()
        await sink.stop(5)
        wanted = {"name": "main", "slots/limit": "16", "slots/queues/heavy": "2", "ready": "true"}
        self.assertEqual(self.server.hash("t:hub:main"), wanted)
        self.assertIn(self.server.ask("TTL", "t:hub:main"), (29, 30))

    async def test_foreign_key_in_the_way(self) -> None:
        """A key of another kind loses what would go there, which is counted, and holds up nothing else."""
        self.server.ask("SET", "t:events", "somebody else's")
        sink = make_sink(self, self.server.url)
        sink.publish_event(event(1))
        sink.publish_run(view(1), after(0))
        await sink.start()
        await sink.stop(5)
        self.assertEqual(self.server.hash(f"t:run:{run_id(1)}")["state"], "running")
        self.assertEqual(self.server.ask("GET", "t:events"), "somebody else's")
        self.assertEqual(sink.state().dropped, 1)

    async def test_broken_view(self) -> None:
        """A view that lacks what every view has is an error in the log and holds up nothing that follows."""
        sink = make_sink(self, self.server.url)
        sink.publish_run({"id": "broken", "state": "running"}, after(0))
        await sink.start()
        await until(lambda: bool(self.flushLoggedErrors(KeyError)))
        sink.publish_run(view(1), after(0))
        await sink.stop(5)
        self.assertEqual(self.server.ask("KEYS", "t:run:*"), [f"t:run:{run_id(1)}"])

    async def test_scripts_flushed(self) -> None:
        """A server that has forgotten its scripts is given them again, and every view arrives."""
        sink = make_sink(self, self.server.url)
        await sink.start()
        self.server.ask("SCRIPT", "FLUSH")
        sink.publish_run(view(1), after(0))
        sink.publish_event(event(1))
        await until(lambda: len(self.server.events("t:events")) == 1)
        await sink.stop(5)
        self.assertEqual(self.server.hash(f"t:run:{run_id(1)}")["state"], "running")

    async def test_closed_while_idle(self) -> None:
        """A connection that the server closes is made again without anything to send."""
        sink = make_sink(self, self.server.url)
        await sink.start()
        self.server.ask("CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: sink.state().state == "disconnected")
        await until(lambda: sink.state().state == "connected")
        await sink.stop(5)
        self.assertEqual(sink.state().dropped, 0)

    async def test_out_of_memory(self) -> None:
        """What a full server refuses is kept until it has room."""
        self.addCleanup(self.server.ask, "CONFIG", "SET", "maxmemory", "0")
        sink = make_sink(self, self.server.url)
        await sink.start()
        self.server.ask("CONFIG", "SET", "maxmemory", "1")
        sink.publish_event(event(1))
        await until(lambda: sink.state().state == "disconnected")
        self.server.ask("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: len(self.server.events("t:events")) == 1)
        await sink.stop(5)
        self.assertEqual(sink.state().dropped, 0)
