"""Posts notifications to a URL, signed as the Standard Webhooks specification defines.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from reactorhub import __version__
from reactorhub.errors import DeliveryError
from reactorhub.model.notification import Notification
from reactorhub.model.values import json_of
from reactorhub.notifications.channels.channel import Channel
from reactorhub.notifications.channels.channel_config import WebhookChannel
from reactorhub.notifications.channels.unreachable import CappedProtocol, why_unreached
from reactorhub.notifications.messages import notification_view

MAX_TRY = 15.0  # seconds for a try, as the specification advises
_TRY_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


def signature(key: bytes, notification_id: str, seconds: int, body: bytes) -> str:
    """Return the value of the header ``webhook-signature``."""
    signed = f"{notification_id}.{seconds}.".encode() + body
    return f"v1,{b64encode(hmac.new(key, signed, sha256).digest()).decode()}"


class Webhook:
    """A :class:`reactorhub.notifications.channels.channel.Channel` that posts. It follows no redirect."""

    def __init__(
        self,
        config: WebhookChannel,
        reactor: Any,
        now: Callable[[], datetime],
        policy: IPolicyForHTTPS | None = None,
    ) -> None:
        """:param policy: which certificates to trust; None for those that this machine trusts."""
        self._config = config
        self._reactor = reactor
        self._now = now
        pool = HTTPConnectionPool(reactor, persistent=False)
        ways = _Ways(reactor, policy or BrowserLikePolicyForHTTPS())
        self._agent = Agent.usingEndpointFactory(reactor, ways, pool)

    def send(self, notification: Notification) -> Deferred[None]:
        """Post a notification. Fires when the receiver answers with a 2xx status."""
        body = json_of(notification_view(notification), ensure_ascii=False).encode(
            "utf-8", "backslashreplace"
        )
        asking: Deferred[IResponse] = self._agent.request(
            b"POST", self._config.url.encode("ascii"), self._headers(notification, body), _Body(body)
        )
        asking.addTimeout(MAX_TRY, self._reactor)
        return asking.addCallbacks(self._judge, self._explain)

    def _headers(self, notification: Notification, body: bytes) -> Headers:
        seconds = int(self._now().timestamp())
        return Headers(
            {
                "Content-Type": ["application/json"],
                "User-Agent": [f"reactorhub/{__version__}"],
                "webhook-id": [notification.id],
                "webhook-timestamp": [str(seconds)],
                "webhook-signature": [signature(self._config.key, notification.id, seconds, body)],
            }
        )

    def _judge(self, response: IResponse) -> None:
        response.deliverBody(_NotRead())
        code = response.code
        if 200 <= code < 300:
            return
        waits = response.headers.getRawHeaders(b"Retry-After", [])
        raise DeliveryError(
            f"{self._config.host} answered {code} {_phrase(code)}".strip(),
            again=not 400 <= code < 500 or code in _TRY_AGAIN,
            after=_seconds(waits[0].decode("latin-1"), self._now()) if waits else None,
        )

    def _explain(self, failure: Failure) -> None:
        reason = _reason(failure)
        raise DeliveryError(f"{self._config.host} could not be reached: {reason}", again=True) from None


def _reason(failure: Failure) -> str:
    """Describe the failure, even one in the middle of a response."""
    error = failure.value
    if isinstance(error, ResponseFailed) and error.reasons:
        error = error.reasons[0].value
    return why_unreached(error, MAX_TRY)


def _phrase(code: int) -> str:
    """Return the standard phrase of a status. The receiver's own phrase is not repeated."""
    return HTTPStatus(code).phrase if code in HTTPStatus._value2member_map_ else ""


def _seconds(text: str, now: datetime) -> float | None:
    """Read a header ``Retry-After``: seconds, or a date (RFC 9110, section 10.2.3)."""
    if text.strip().isascii() and text.strip().isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())


@implementer(IAgentEndpointFactory)
class _Ways:
    """Endpoints whose connections have a cap on what the receiver sends."""

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS) -> None:
        self._reactor = reactor
        self._policy = policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return the endpoint for a URL."""
        way: Any = HostnameEndpoint(self._reactor, uri.host, uri.port, MAX_TRY)
        if uri.scheme == b"https":
            way = wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), way)
        return _Way(way)


@implementer(IStreamClientEndpoint)
class _Way:
    """An endpoint whose connections are :class:`_Capped`."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect. Fires with the protocol that the factory built."""
        counting = WrappingFactory(factory)
        counting.protocol = _Capped
        counting.noisy = factory.noisy = False
        connecting: Deferred[Any] = self._endpoint.connect(counting)
        return connecting.addCallback(lambda counted: counted.wrappedProtocol)


class _Capped(CappedProtocol, ProtocolWrapper):
    """Wraps a protocol and passes on what the receiver sends, up to the cap."""


@implementer(IBodyProducer)
class _Body:
    """A request body that is written at once."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write the body."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: the body is already written."""

    def resumeProducing(self) -> None:
        """Do nothing: the body is already written."""

    def stopProducing(self) -> None:
        """Do nothing: the body is already written."""


class _NotRead(Protocol):
    """Hangs up, because the body of a response is not read."""

    def connectionMade(self) -> None:
        """Close the connection before the body arrives."""
        if self.transport is not None:
            self.transport.loseConnection()


_: type[Channel] = Webhook
