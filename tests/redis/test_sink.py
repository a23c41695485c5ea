"""What the Redis sink writes, read from a real server."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from reactorhub.model.run import RunState
from reactorhub.redis.commands import RedisCommands, event_text
from reactorhub.redis.hub_name import HubIdentity
from reactorhub.redis.sink import RedisSink
from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
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
                "hub": "main",
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
            "hub": "main",
        }
        self.assertEqual({name: found.get(name) for name in wanted}, wanted)
        self.assertNotIn("error", found)
        self.assertIn(self.server.ask("TTL", f"t:run:{run_id(1)}"), (WEEK - 1, WEEK))

    async def test_live_runs(self) -> None:
        """The crawls under way, of all hubs, are listed; those that wait or have ended are not."""
        other = HubIdentity(name="other", instance="2")
        running = [view(1), view(2, RunState.STARTING), view(3, RunState.STOPPING)]
        await self.write(*running, view(4, RunState.QUEUED, started=None), view(5, RunState.FAILED))
        await self.write(view(6), identity=other)
        live = self.server.ask("ZRANGE", "t:live", 0, -1)
        self.assertEqual(live, [run_id(number) for number in (1, 2, 3, 6)])
        self.assertIn(self.server.ask("TTL", "t:live"), (29, 30))
        await self.write(view(1, RunState.SUCCEEDED), view(6, RunState.FAILED), identity=other)
        self.assertEqual(self.server.ask("ZRANGE", "t:live", 0, -1), live[1:3])

    async def test_live_runs_of_a_dead_hub_go(self) -> None:
        """A crawl of which nothing was heard for 30 seconds goes with the next write of any hub."""
        now = int(self.server.ask("TIME")[0])
        self.server.ask("ZADD", "t:live", now - 32, "dead", now - 20, "slow")
        await self.write(view(1))
        self.assertEqual(self.server.ask("ZRANGE", "t:live", 0, -1), ["slow", run_id(1)])
        self.server.ask("ZADD", "t:live", now - 32, "dead")
        sink = await self.write()
        self.assertIsNone(sink.state().conflict)
        self.assertEqual(self.server.ask("ZRANGE", "t:live", 0, -1), ["slow", run_id(1)])

    async def test_last_runs(self) -> None:
        """The ids of a spider's last 20 runs that ended, newest first, whichever hub they ran on."""
        ended = [view(number, RunState.SUCCEEDED) for number in range(25)]
        await self.write(*ended[:10], view(90, spider="other"), view(91, RunState.FAILED, spider="other"))
        await self.write(*ended[10:], view(99), identity=HubIdentity(name="other", instance="2"))
        newest_first = [run_id(number) for number in reversed(range(5, 25))]
        self.assertEqual(self.server.ask("LRANGE", "t:last:shop:prices", 0, -1), newest_first)
        self.assertEqual(self.server.ask("LRANGE", "t:last:shop:other", 0, -1), [run_id(91)])
        self.assertIn(self.server.ask("TTL", "t:last:shop:prices"), (WEEK - 1, WEEK))

    async def test_end_is_written_once(self) -> None:
        """A repeated write lists the run once. A late view of a run that has ended changes nothing."""
        await self.write(view(1, RunState.SUCCEEDED, pages=3))
        await self.write(view(2, RunState.FAILED), view(1, RunState.SUCCEEDED, pages=3))
        await self.write(view(1, RunState.RUNNING, pages=2))
        self.assertEqual(self.server.ask("LRANGE", "t:last:shop:prices", 0, -1), [run_id(2), run_id(1)])
        self.assertEqual(self.server.ask("ZRANGE", "t:live", 0, -1), [])
        found = self.server.hash(f"t:run:{run_id(1)}")
        self.assertEqual((found["state"], found["stats/pages"]), ("succeeded", "3"))

    async def test_only_the_known_keys(self) -> None:
        """However many runs end, a spider has three keys beside those of its runs, and only stats: stays."""
        views = [view(number, state) for number in range(30) for state in (RunState.RUNNING, RunState.FAILED)]
        await self.write(*views)
        runs = {f"t:run:{run_id(number)}" for number in range(30)}
        keys = set(self.server.ask("KEYS", "*"))
        self.assertEqual(keys - runs, {"t:stats:shop:prices", "t:last:shop:prices"})
        self.assertEqual({key for key in keys if self.server.ask("TTL", key) < 0}, {"t:stats:shop:prices"})

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
        self.assertEqual((len(latest), latest["_dropped_fields"]), (506, "500"))

    async def test_event(self) -> None:
        """A stream entry holds the event's JSON, and its id, its hub and its type as fields of their own."""
        sink = make_sink(self, self.server.url)
        sink.publish_event(event(7))
        await sink.start()
        await sink.stop(5)
        [entry] = self.server.events("t:events")
        fields = entry["id"], entry["hub"], entry["type"]
        self.assertEqual(fields, ("e000007", "main", "run.running"))
        self.assertEqual(json.loads(entry["event"]), event(7))

    async def test_events_of_two_hubs_with_one_id(self) -> None:
        """An event that is sent again is stored once. One of another hub with the same id is another one."""
        commands = [RedisCommands(prefix="t:", hub=hub) for hub in ("main", "other")]
        client = RedisClient(address_of(self.server.url), reactor)
        self.addCleanup(client.stop)
        await client.start()
        for each in (*commands, *commands):
            await client.ask([each.append_events([event_text(event(1)), event_text(event(2))], True)])
        found = [(entry["hub"], entry["id"]) for entry in self.server.events("t:events")]
        self.assertEqual(found, [(hub, f"e00000{n}") for hub in ("main", "other") for n in (1, 2)])

    async def test_stream_is_trimmed(self) -> None:
        """The stream keeps about as many events as it is told."""
        sink = make_sink(
            self, self.server.url, commands=RedisCommands(prefix="t:", hub="main", max_events=100)
        )
        for number in range(1000):
            sink.publish_event(event(number))
        await sink.start()
        await sink.stop(5)
        self.assertIn(self.server.ask("XLEN", "t:events"), range(100, 301))
        self.assertEqual(self.server.events("t:events")[-1]["id"], "e000999")

    async def test_heartbeat(self) -> None:
        """The heartbeat is flat text and expires after fifteen missed beats."""
        sink = make_sink(self, self.server.url)
        sink.publish_hub({"name": "main", "slots": {"limit": 16, "queues": {"heavy": 2}}, "ready": True})
        await sink.start()
        await until(lambda: "ready" in self.server.hash("t:hub:main"))
        wanted = {"name": "main", "slots/limit": "16", "slots/queues/heavy": "2", "ready": "true"}
        found = self.server.hash("t:hub:main")
        self.assertEqual({name: found[name] for name in wanted}, wanted)
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
        await until(lambda: sink.state().state == "reconnecting")
        await until(lambda: sink.state().state == "connected")
        await sink.stop(5)
        self.assertEqual(sink.state().dropped, 0)

    async def test_heartbeat_of_a_full_server(self) -> None:
        """A server that is out of memory takes heartbeats, so that the hub keeps its name, and no run."""
        self.addCleanup(self.server.ask, "CONFIG", "SET", "maxmemory", "0")
        sink = make_sink(self, self.server.url)
        await sink.start()
        self.server.ask("CONFIG", "SET", "maxmemory", "1")
        sink.publish_run(view(1, RunState.SUCCEEDED), after(0))
        sink.publish_hub({"name": "main", "time": "1"})
        await until(lambda: "OOM" in sink.state().reason)
        sink.publish_hub({"name": "main", "time": "2"})
        await until(lambda: self.server.hash("t:hub:main").get("time") == "2")
        self.assertEqual(self.server.ask("EXISTS", f"t:run:{run_id(1)}", "t:last:shop:prices"), 0)
        self.server.ask("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: self.server.ask("EXISTS", f"t:run:{run_id(1)}", "t:last:shop:prices") == 2)
        await sink.stop(5)

    async def test_crowded_hashes(self) -> None:
        """However many fields a view has, its hash says whose it is."""
        sink = make_sink(self, self.server.url)
        await sink.start()
        sink.publish_hub({"queues": {str(number): 1 for number in range(600)}, "name": "main"})
        crowded = view(1) | {"args": {str(number): "1" for number in range(600)}}
        sink.publish_run(crowded, after(0))
        await until(lambda: "_dropped_fields" in self.server.hash("t:hub:main"))
        self.assertEqual(self.server.hash("t:hub:main")["instance"], "1")
        self.assertEqual(self.server.hash(f"t:run:{run_id(1)}")["hub"], "main")
        await sink.stop(5)

    async def test_out_of_memory(self) -> None:
        """What a full server refuses is kept until it has room."""
        self.addCleanup(self.server.ask, "CONFIG", "SET", "maxmemory", "0")
        sink = make_sink(self, self.server.url)
        await sink.start()
        self.server.ask("CONFIG", "SET", "maxmemory", "1")
        sink.publish_event(event(1))
        await until(lambda: sink.state().state == "reconnecting")
        self.server.ask("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: len(self.server.events("t:events")) == 1)
        await sink.stop(5)
        self.assertEqual(sink.state().dropped, 0)
