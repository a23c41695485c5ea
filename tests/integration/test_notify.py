"""People are told by a real hub: once for each incident, over a receiver that is down and a kill -9."""

from __future__ import annotations

import time

from tests.integration.conftest import MakeHub
from tests.integration.hubs import Hub, until, write_project
from tests.support.receiver import SECRET, Receiver
from tests.support.redis_server import free_port

CONFIG = """
    hub:
      name: lab
      projects: {{lab: {{path: lab}}}}
      notify:
        hook: {{webhook: {{url: "http://localhost:{port}/{token}", secret: "{secret}"}}}}
    defaults: {{project: lab, notify: hook}}
    schedules:
      moody: {{spider: moody}}
      calm: {{spider: moody}}
"""
SPIDERS = """
    from pathlib import Path
    import scrapy

    class Moody(scrapy.Spider):
        name = "moody"

        async def start(self):
            if not Path(__file__).with_name("calm").exists():
                raise RuntimeError("the shop is closed")
            yield {"n": 1}
"""
TOKEN = "a-token-in-the-address"


def run_once(hub: Hub, schedule: str = "moody") -> str:
    """Run a schedule; return how that ended."""
    return str(hub.wait_final(hub.post(f"/api/schedules/{schedule}/trigger")[1]["id"])["state"])


def test_one_alert_for_an_incident(make_hub: MakeHub) -> None:
    """Of three failures one webhook tells, though nobody listens yet and the hub is killed; then recovery."""
    port = free_port()
    hub = make_hub(CONFIG.format(port=port, token=TOKEN, secret=SECRET))
    project = write_project(hub.folder / "lab", lab=SPIDERS)
    hub.start()
    assert [run_once(hub) for _ in range(3)] == ["failed"] * 3
    until(lambda: "could not be reached" in hub.output, 30, "the first try")
    fares = hub.get("/api/status")[1]["notify"]
    assert (fares["waiting"], fares["given_up"]) == (1, 0)
    assert "hook: localhost could not be reached" in fares["last_error"]
    hub.kill9()

    with Receiver(port) as receiver:
        hub.start()
        until(lambda: receiver.got, 20, "the notification of the failure")
        (project / "spiders" / "calm").touch()
        assert run_once(hub) == "succeeded"
        until(lambda: len(receiver.got) == 2, 30, "the notification of the recovery")
        hub.post("/api/schedules/calm/pause", {"reason": "spring cleaning"})
        until(lambda: len(receiver.got) == 3, 30, "the notification of the pause")
        assert hub.post("/api/notify/hook/test") == (
            200,
            {"channel": "hook", "delivered": True, "error": None},
        )
        assert hub.post("/api/notify/hok/test")[0] == 404
    failed, recovered, paused, _ = receiver.got
    assert receiver.types == ["schedule.failed", "schedule.recovered", "schedule.paused", "test"]
    assert failed["data"]["run"]["error"] == "RuntimeError: the shop is closed"
    assert (recovered["data"]["count"], recovered["data"]["since"]) == (3, failed["timestamp"])
    assert paused["data"]["schedule"]["paused_reason"] == "spring cleaning"
    assert hub.get("/api/status")[1]["notify"]["waiting"] == 0
    assert hub.terminate() in (0, -15)
    secrets = (TOKEN, SECRET.removeprefix("whsec_"))
    assert not [secret for secret in secrets if secret in hub.said]
    assert not [secret for secret in secrets if secret in str(hub.ledger("SELECT * FROM notices"))]


def test_a_downtime_is_one_message(make_hub: MakeHub) -> None:
    """Two schedules that miss ticks while the hub is down share one message, which is sent once."""
    with Receiver() as receiver:
        config = CONFIG.format(port=receiver.port, token=TOKEN, secret=SECRET).replace(
            "{spider: moody}", "{spider: moody, interval: 1s}"
        )
        hub = make_hub(config)
        write_project(hub.folder / "lab", lab=SPIDERS)
        (hub.folder / "lab" / "spiders" / "calm").touch()
        hub.start()
        until(lambda: hub.get("/api/schedules/calm/ticks")[1]["ticks"], 30, "a tick")
        hub.kill9()
        last = hub.ledger("SELECT max(since) AS since FROM marks")[0]["since"]
        until(lambda: _now() - last > 4_000_000, 10, "some ticks that nobody saw")
        hub.start()
        until(lambda: receiver.got, 20, "the notification")
        (message,) = receiver.got
    missed = message["data"]["missed"]
    assert message["type"] == "schedule.missed"
    assert sorted(entry["schedule"] for entry in missed) == ["calm", "moody"]
    assert all(entry["ticks"] >= 2 for entry in missed)
    assert message["data"]["title"] == "[lab] 2 schedules missed ticks"


def _now() -> int:
    """The wall clock in microseconds."""
    return time.time_ns() // 1000
