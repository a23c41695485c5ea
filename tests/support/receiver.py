"""A receiver of webhooks on loopback, which verifies what it is sent as its users would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from tempfile import NamedTemporaryFile
from threading import Event
from typing import Any, Self

from OpenSSL.crypto import FILETYPE_PEM
from twisted.internet.ssl import PrivateCertificate

from tests.support.loopback import LoopbackServer

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


def verified(headers: Mapping[str, str], body: bytes, key: bytes = KEY) -> dict[str, Any]:
    """Return the message of a webhook whose signature is right.

    :raises AssertionError: if it is not.
    """
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    right = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert right in headers["webhook-signature"].split(" ")
    message: dict[str, Any] = json.loads(body)
    assert message["id"] == headers["webhook-id"]
    return message


class Receiver:
    """Listens in a thread, keeps the messages in ``got``, and answers with ``status`` and ``headers``.

    While ``answering`` is not set it answers nothing.
    """

    def __init__(self, port: int = 0) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 204
        self.headers: dict[str, str] = {}
        self.answering = Event()
        self.answering.set()
        self._server = LoopbackServer(self._answer, port)

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        self.got.append(verified(request.headers, body))
        self.answering.wait(20)
        request.send_response(self.status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.end_headers()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.answering.set()
        self._server.close()

    def encrypt(self, certificate: PrivateCertificate) -> None:
        """Speak TLS from now on."""
        with NamedTemporaryFile() as file:
            key = certificate.privateKey.dump(FILETYPE_PEM)
            file.write(certificate.dumpPEM() + key)
            file.flush()
            context = SSLContext(PROTOCOL_TLS_SERVER)
            context.load_cert_chain(file.name)
        self._server.encrypt(context)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    @property
    def types(self) -> list[str]:
        """What kinds of messages came, in order."""
        return [message["type"] for message in self.got]
