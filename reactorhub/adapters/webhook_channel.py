"""Posts notices to an address, signed as the Standard Webhooks specification defines.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from reactorhub import __version__
from reactorhub.alerts import Notice
from reactorhub.boundaries import Channel
from reactorhub.channels import WebhookChannel
from reactorhub.errors import DeliveryError
from reactorhub.notice_texts import notice_view
from reactorhub.unreached import why_unreached

LONGEST = 15.0  # seconds for a try, as the specification advises
_TRY_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


def signature(key: bytes, notice_id: str, seconds: int, body: bytes) -> str:
    """Return the value of the header ``webhook-signature``."""
    signed = f"{notice_id}.{seconds}.".encode() + body
    return f"v1,{b64encode(hmac.new(key, signed, sha256).digest()).decode()}"


class Webhook:
    """A :class:`reactorhub.boundaries.Channel` that posts. It follows no redirect."""

    def __init__(
        self,
        config: WebhookChannel,
        reactor: Any,
        now: Callable[[], datetime],
        policy: IPolicyForHTTPS | None = None,
    ) -> None:
        """:param policy: whose certificates to trust; None for those that the machine trusts."""
        self._config = config
        self._reactor = reactor
        self._now = now
        pool = HTTPConnectionPool(reactor, persistent=False)
        self._agent = Agent(reactor, policy or BrowserLikePolicyForHTTPS(), LONGEST, pool=pool)

    def send(self, notice: Notice) -> Deferred[None]:
        """Post a notice; fires once the receiver has answered with a 2xx."""
        body = json.dumps(notice_view(notice), ensure_ascii=False).encode("utf-8", "backslashreplace")
        asking = self._agent.request(
            b"POST", self._config.url.encode("ascii"), self._headers(notice, body), _Body(body)
        )
        asking.addTimeout(LONGEST, self._reactor)
        return asking.addCallbacks(self._judge, self._explain)

    def _headers(self, notice: Notice, body: bytes) -> Headers:
        seconds = int(self._now().timestamp())
        return Headers(
            {
                "Content-Type": ["application/json"],
                "User-Agent": [f"reactorhub/{__version__}"],
                "webhook-id": [notice.id],
                "webhook-timestamp": [str(seconds)],
                "webhook-signature": [signature(self._config.key, notice.id, seconds, body)],
            }
        )

    def _judge(self, response: IResponse) -> None:
        response.deliverBody(_NotRead())
        code = response.code
        if 200 <= code < 300:
            return
        waits = response.headers.getRawHeaders("Retry-After", [])
        raise DeliveryError(
            f"{self._config.host} answered {code} {_phrase(code)}".strip(),
            again=not 400 <= code < 500 or code in _TRY_AGAIN,
            after=_seconds(waits[0], self._now()) if waits else None,
        )

    def _explain(self, failure: Failure) -> None:
        reason = _reason(failure)
        raise DeliveryError(f"{self._config.host} could not be reached: {reason}", again=True) from None


def _reason(failure: Failure) -> str:
    """Say what went wrong, be it that an answer began."""
    error = failure.value
    if isinstance(error, ResponseFailed) and error.reasons:
        error = error.reasons[0].value
    return why_unreached(error, LONGEST)


def _phrase(code: int) -> str:
    """The name of a status; what a receiver calls it itself is not repeated."""
    return HTTPStatus(code).phrase if code in HTTPStatus._value2member_map_ else ""


def _seconds(text: str, now: datetime) -> float | None:
    """Read a header ``Retry-After``: seconds, or a date (RFC 9110, section 10.2.3)."""
    if text.strip().isascii() and text.strip().isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())


@implementer(IBodyProducer)
class _Body:
    """A body that is written at once."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write it."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It has been written."""

    def resumeProducing(self) -> None:
        """It has been written."""

    def stopProducing(self) -> None:
        """It has been written."""


class _NotRead(Protocol):
    """Hangs up: what a receiver says beside its status is not read."""

    def connectionMade(self) -> None:
        """Let go of the connection before the body comes."""
        if self.transport is not None:
            self.transport.loseConnection()


_: type[Channel] = Webhook
