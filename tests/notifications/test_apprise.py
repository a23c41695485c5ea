"""Apprise: what it speaks is posted to a receiver on loopback, and it lets no token out."""

from __future__ import annotations

import json
import logging
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Any

import pytest
from twisted.internet import reactor

from reactorhub.errors import StartError
from reactorhub.notifications.channels import apprise as apprise_channel
from reactorhub.notifications.channels.apprise import AppriseSender, check_apprise
from reactorhub.notifications.channels.channel_config import AppriseChannel
from tests.notifications.channel_cases import PASSWORD, ChannelSuite, a_notification
from tests.support.loopback import LoopbackServer


class Service:
    """A service that takes JSON, as apprise's ``json://`` sends it."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.status = 200
        self.answering = Event()
        self.answering.set()
        self._server = LoopbackServer(self._answer)
        self._server.start()
        self.port = self._server.port

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        self.got.append(json.loads(body))
        self.answering.wait(10)
        request.send_response(self.status)
        request.end_headers()

    def close(self) -> None:
        """Listen no more."""
        self.answering.set()
        self._server.close()


class AppriseTests(ChannelSuite):
    """A real service on loopback."""

    can_refuse = False

    def setUp(self) -> None:
        """Listen."""
        self.service = Service()
        self.addCleanup(self.service.close)
        url = f"json://user:{PASSWORD}@127.0.0.1:{self.service.port}/"
        self.channel = AppriseSender(AppriseChannel(urls=(url,)), reactor)

    def arrived(self) -> list[str]:
        """The titles of what came."""
        return [message["title"] for message in self.service.got]

    def trouble(self, *, for_good: bool) -> None:
        """Answer with an error."""
        self.service.status = 404 if for_good else 503

    def hold(self) -> None:
        """Take a message and never answer."""
        self.service.answering.clear()

    async def test_kinds(self) -> None:
        """A failure is sent as one, so that services can show it in red."""
        await self.test_delivers()
        self.assertEqual(self.service.got[0]["type"], "failure")

    async def test_a_text_is_no_markup(self) -> None:
        """A service that shows HTML, such as Telegram, gets what a site wrote as a text."""
        url = f"json://127.0.0.1:{self.service.port}/?format=html"
        channel = AppriseSender(AppriseChannel(urls=(url,)), reactor)
        await channel.send(a_notification(about={"run": {"error": "<Response 404> & <a href='x'>y</a>"}}))
        (message,) = [each["message"] for each in self.service.got]
        self.assertIn("&lt;Response", message)
        self.assertIn("&amp;", message)
        self.assertNotIn("<a", message)

    async def test_quiet(self) -> None:
        """Apprise says nothing in the log, where it might quote a token."""
        self.trouble(for_good=True)
        with self.assertNoLogs("apprise", logging.WARNING):
            await self.failure()


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ((f"nothing://{PASSWORD}",), "apprise does not understand the address"),
        (("json://localhost", f"nothing://{PASSWORD}"), "apprise does not understand address 2"),
    ],
)
def test_unknown_addresses(urls: tuple[str, ...], message: str) -> None:
    """An address that apprise does not know is a mistake at the start; it is not shown."""
    with pytest.raises(StartError, match=message) as error:
        check_apprise(AppriseChannel(urls=urls))
    assert PASSWORD not in str(error.value)


def test_known_addresses() -> None:
    """What apprise knows is taken."""
    check_apprise(AppriseChannel(urls=("json://localhost", "tgram://123456789:abcdefg_hijklmnop/12315544/")))


def test_without_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where apprise is not installed the mistake says what to install."""
    monkeypatch.setattr(apprise_channel, "find_spec", lambda name: None)
    with pytest.raises(StartError, match=r"pip install reactorhub\[apprise\]"):
        check_apprise(AppriseChannel(urls=("json://localhost",)))


del ChannelSuite
