"""Webhooks: signed as the specification says, judged by the answer, and never by a redirect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS

from reactorhub.errors import DeliveryError
from reactorhub.notifications.channels import webhook as webhook_channel
from reactorhub.notifications.channels.channel_config import WebhookChannel, webhook_key
from reactorhub.notifications.channels.webhook import Webhook, signature
from tests.notifications.channel_cases import (
    NOON,
    PASSWORD,
    ChannelSuite,
    a_notification,
    certificate,
    listen_to_chatter,
)
from tests.support.receiver import KEY, Receiver
from tests.support.redis_server import free_port

LINES = b"\r\nx: y\r\n\r\n"


def test_signature() -> None:
    """The signature is that of the example in the specification's own libraries."""
    key = webhook_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 5 ", 5.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("\xff\xfe", None),
        ("Sun, 01 Mar 2026 12:00:00 +99999999999999999999", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Seconds and dates are read, anything else is passed over."""
    assert webhook_channel._seconds(text, NOON) == seconds


class WebhookTests(ChannelSuite):
    """A real receiver on loopback."""

    def setUp(self) -> None:
        """Listen."""
        self.receiver = Receiver()
        self.receiver.__enter__()
        self.addCleanup(self.receiver.__exit__)
        self.channel = self.to(f"http://127.0.0.1:{self.receiver.port}/{PASSWORD}?token={PASSWORD}")

    def to(self, url: str, **options: Any) -> Webhook:
        """A channel to this address."""
        return Webhook(WebhookChannel(url=url, key=KEY), reactor, lambda: datetime.now(UTC), **options)

    def arrived(self) -> list[str]:
        """The ids and names of what came, each with a signature that is right."""
        return [f"{message['id']} {message['data']['name']}" for message in self.receiver.got]

    def trouble(self, *, for_good: bool) -> None:
        """Answer with an error."""
        self.receiver.status = 410 if for_good else 503

    def hold(self) -> None:
        """Take a message and never answer."""
        self.receiver.answering.clear()

    async def test_message(self) -> None:
        """The body says what happened to which schedule and when, with the run's view and a text to read."""
        await self.channel.send(a_notification())
        (message,) = self.receiver.got
        self.assertEqual(
            {key: message[key] for key in ("type", "timestamp")},
            {"type": "schedule.failed", "timestamp": "2026-03-01T12:00:00.000000Z"},
        )
        data = message["data"]
        self.assertEqual((data["name"], data["title"], data["count"]), ("prices", "[lab] prices failed", 1))
        self.assertEqual(data["run"]["error"], "ValueError: größer")

    async def test_answers(self) -> None:
        """2xx is taken; what cannot change is given up; all else is tried again, also a redirect."""
        again = {}
        for status in (200, 299, 301, 302, 400, 401, 404, 408, 410, 425, 429, 500, 503, 599):
            self.receiver.status = status
            try:
                await self.channel.send(a_notification())
            except DeliveryError as error:
                again[status] = error.again
                self.assertIn(f"127.0.0.1 answered {status}", str(error))
        gives_up = {400, 401, 404, 410}
        tried_again = {301, 302, 408, 425, 429, 500, 503, 599}
        self.assertEqual(again, {**dict.fromkeys(tried_again, True), **dict.fromkeys(gives_up, False)})
        self.assertEqual(len(self.receiver.got), 14)

    async def test_retry_after_is_handed_on(self) -> None:
        """A receiver may say when to come again."""
        self.receiver.status, self.receiver.headers = 429, {"Retry-After": "7"}
        self.assertEqual((await self.failure()).after, 7.0)

    async def test_a_retry_after_that_says_nothing(self) -> None:
        """Whatever stands in the header, what the status says is done."""
        for header in ("\xff\xfe", "Sun, 01 Mar 2026 12:00:00 +99999999999999999999"):
            self.receiver.status, self.receiver.headers = 410, {"Retry-After": header}
            error = await self.failure()
            self.assertEqual((error.again, error.after), (False, None))

    async def test_a_receiver_that_talks_without_end(self) -> None:
        """Nobody listens to an answer that fills the memory."""
        self.channel = self.to(f"http://127.0.0.1:{listen_to_chatter(self, b'HTTP/1.1 102 Wait' + LINES)}/")
        error = await self.failure()
        self.assertEqual(
            (error.again, str(error)), (True, "127.0.0.1 could not be reached: it sent more than 256 KiB")
        )

    async def test_nobody_listens(self) -> None:
        """A receiver that is not there may be there later; the error names its host and no more."""
        self.channel = self.to(f"http://127.0.0.1:{free_port()}/{PASSWORD}")
        error = await self.failure()
        self.assertTrue(error.again)
        self.assertIn("127.0.0.1 could not be reached: ", str(error))
        self.assertNotIn(PASSWORD, str(error))

    async def test_no_answer_in_time(self) -> None:
        """A receiver that takes too long is left."""
        self.patch(webhook_channel, "MAX_TRY", 0.2)
        self.hold()
        error = await self.failure()
        self.assertEqual((error.again, str(error)[-27:]), (True, "no answer within 0.2 seconds"[-27:]))

    async def test_tls(self) -> None:
        """A certificate that is trusted will do, any other will not."""
        self.receiver.encrypt(certificate())
        url = f"https://localhost:{self.receiver.port}/"
        root = trustRootFromCertificates([Certificate(certificate().original)])
        await self.to(url, policy=BrowserLikePolicyForHTTPS(root)).send(a_notification())
        self.channel = self.to(url)
        self.assertIn("its certificate is not trusted", str(await self.failure()))
        self.assertEqual(len(self.arrived()), 1)


def test_timestamp_is_that_of_the_try() -> None:
    """Each try is signed anew, so that a receiver may refuse what is old."""
    later = NOON + timedelta(hours=3)
    channel = Webhook(WebhookChannel(url="http://x/", key=KEY), reactor, lambda: later)
    headers = channel._headers(a_notification(), b"{}")
    assert headers.getRawHeaders("webhook-timestamp") == [str(int(later.timestamp()))]
    assert headers.getRawHeaders("webhook-id") == [a_notification().id]


del ChannelSuite
