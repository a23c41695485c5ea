"""One POST with Twisted's client. Import this module only when the reactor is installed."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Protocol
from twisted.web.client import Agent, FileBodyProducer, RequestTransmissionFailed, ResponseFailed
from twisted.web.http_headers import Headers

CONNECT_WITHIN = 5.0  # seconds


class _Unread(Protocol):
    """Closes the connection instead of reading an answer of any length."""

    def connectionMade(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


async def post(url: bytes, headers: Mapping[str, str], body: bytes) -> int:
    """Send ``body`` and return the status of the answer. Certificates are verified. Can be cancelled.

    :raises Exception: what Twisted raises, or the reason that it wraps.
    """
    agent = Agent(reactor, connectTimeout=CONNECT_WITHIN)
    raw = Headers({name: [value] for name, value in headers.items()})
    try:
        response: Any = await agent.request(b"POST", url, raw, FileBodyProducer(BytesIO(body)))
    except (ResponseFailed, RequestTransmissionFailed) as error:
        raise (error.reasons[0].value or error) from error
    response.deliverBody(_Unread())
    return int(response.code)
