"""The command ``reactorhub feeds``, against a hub that answers as the test says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reactorhub.cli import main
from reactorhub.cli.feeds import MAX_LETTERS
from reactorhub.cli.running_hub import NO_HUB
from reactorhub.web import feed_routes
from tests.support.loopback import LoopbackServer
from tests.support.redis_server import free_port

LETTER = {
    "id": "1-0",
    "entry": '{"spider":\n "x"}' + "y" * 100,
    "length": 116,
    "reason": "there is no spider 'x'",
    "at": "2026-11-29T06:00:00.000Z",
    "from": "list",
}
INBOX = {"key": "reactorhub:inbox", "kind": "inbox", "waiting": 3, "in_flight": 1, "dead": 2}


class Answering:
    """Notes each order, and gives one answer to all."""

    def __init__(self) -> None:
        self.status, self.answer = 200, b"{}"
        self.orders: list[tuple[str, str, Any]] = []
        self.server = LoopbackServer(self._answer)

    def answers(self, view: Any, status: int = 200) -> None:
        """Set the answer."""
        self.status, self.answer = status, json.dumps(view).encode()

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        self.orders.append((request.command, request.path, json.loads(body) if body else None))
        request.send_response(self.status)
        request.end_headers()
        request.wfile.write(self.answer)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    """A hub that REACTORHUB_URL names; a proxy that nobody may ask is set as well."""
    hub = Answering()
    monkeypatch.setenv("REACTORHUB_URL", f"http://127.0.0.1:{hub.server.port}/")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    hub.server.start()
    yield hub
    hub.server.close()


def run(*words: str) -> Result:
    """Give a command."""
    return CliRunner().invoke(main, ["feeds", *words])


def test_feeds_are_a_table(hub: Answering) -> None:
    """Each feed is a row; why the inbox cannot be read stands on stderr."""
    hub.answers({"feeds": [{**INBOX, "trouble": "Redis refuses writes"}], "next_cursor": None})
    result = run()
    assert result.stdout.splitlines() == [
        "FEED              KIND   WAITING  IN FLIGHT  DEAD",
        "reactorhub:inbox  inbox        3          1     2",
    ]
    assert result.stderr == "reactorhub:inbox: Redis refuses writes\n"
    assert json.loads(run("--json").stdout)["feeds"][0]["dead"] == 2
    assert hub.orders == [("GET", "/api/feeds", None)] * 2


def test_dead_letters_are_a_table(hub: Answering) -> None:
    """A long entry is cut, and one of several lines is one; JSON has all of it."""
    hub.answers({"dead": [LETTER], "next_cursor": None})
    heading, row = run("dead", "a/b:c", "-n", "5").stdout.splitlines()
    assert heading.split() == ["ID", "TIME", "ENTRY", "REASON"]
    assert row.startswith('1-0  2026-11-29T06:00:00.000Z  {"spider": "x"}yyy')
    assert row.endswith("y…  there is no spider 'x'")
    assert json.loads(run("dead", "a/b:c", "--json").stdout)["dead"] == [LETTER]
    assert hub.orders[0] == ("GET", "/api/feeds/a%2Fb:c/dead?limit=5", None)
    hub.answers({"dead": [], "next_cursor": None})
    assert run("dead", "shelf").stdout == "shelf has no dead letters\n"


def test_as_many_dead_letters_as_the_hub_gives() -> None:
    """The command accepts every number that one answer of the hub can have, and no more."""
    assert MAX_LETTERS == feed_routes.MAX_LETTERS


@pytest.mark.parametrize(
    ("words", "body"), [(("1-0", "2-0"), {"ids": ["1-0", "2-0"]}), (("--all",), {})], ids=["ids", "all"]
)
@pytest.mark.parametrize(("command", "done"), [("requeue", "requeued"), ("purge", "purged")])
def test_dead_letters_are_handled(
    hub: Answering, command: str, done: str, words: tuple[str, ...], body: dict[str, Any]
) -> None:
    """The command names ids or says --all, and prints how many there were."""
    hub.answers({done: 2})
    result = run(command, "shelf", *words)
    assert result.stdout == f"{'requeued' if command == 'requeue' else 'deleted'} 2 dead letters\n"
    assert hub.orders == [("POST", f"/api/feeds/shelf/dead/{command}", body)]


@pytest.mark.parametrize("words", [("purge", "f"), ("requeue", "f"), ("purge", "f", "1-0", "--all")])
def test_nothing_is_handled_by_mistake(hub: Answering, words: tuple[str, ...]) -> None:
    """Without ids and --all, or with both, the command is refused before a hub is asked."""
    result = run(*words)
    assert result.exit_code == 2 and "name the ids of dead letters, or say --all" in result.stderr
    assert hub.orders == []


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ({"detail": "there is no feed 'f'"}, "there is no feed 'f'"),
        ([], "the hub has answered 404 Not Found"),
    ],
)
def test_what_the_hub_refuses(hub: Answering, view: Any, said: str) -> None:
    """The hub's own words are printed, and the exit status is 1."""
    hub.answers(view, 404)
    result = run("dead", "f")
    assert (result.exit_code, result.stderr) == (1, f"reactorhub: {said}\n")


def test_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says where no hub was found, and the exit status is 4."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REACTORHUB_URL", raising=False)
    Path("schedule.yaml").write_text("schedules: {}\n")
    result = run()
    assert result.exit_code == NO_HUB
    assert "no hub runs on the data folder" in result.stderr and "--hub" in result.stderr
    url = f"http://127.0.0.1:{free_port()}"
    result = run("--hub", url)
    assert result.exit_code == NO_HUB
    assert result.stderr.startswith(f"reactorhub: no hub answers at {url}: ")
    assert run("--hub", "localhost:6800").exit_code == 2


def test_what_is_not_a_hub(hub: Answering) -> None:
    """A server that answers something else than JSON is not a hub."""
    hub.answer = b"<html>"
    assert run().exit_code == NO_HUB
