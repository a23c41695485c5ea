"""Sends notifications as email over SMTP. The only importer of twisted.mail."""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import optionsForClientTLS
from twisted.logger import Logger
from twisted.mail.smtp import (
    AUTHDeclinedError,
    AuthenticationError,
    ESMTPSender,
    ESMTPSenderFactory,
    SMTPClientError,
    SMTPConnectError,
    SMTPDeliveryError,
)
from twisted.python.failure import Failure

from reactorhub.errors import DeliveryError
from reactorhub.model.notification import Notification
from reactorhub.notifications.channels.channel import Channel
from reactorhub.notifications.channels.channel_config import EmailChannel
from reactorhub.notifications.channels.unreachable import CappedProtocol, why_unreached
from reactorhub.notifications.messages import plain, text, title

MAX_TRY = 60.0  # seconds for a try
_SILENCE = 30.0  # seconds a server may take for one answer
_MAX_QUOTED = 300  # characters of a server's answer that an error quotes
_POLICY = SMTP.clone(linesep="\n", cte_type="7bit")  # Twisted converts the line ends for SMTP


def mail(notification: Notification, config: EmailChannel) -> bytes:
    """Return a notification as an email. Its ``Message-ID`` is the same at every try."""
    message = EmailMessage(policy=_POLICY)
    message["From"] = config.sender
    message["To"] = ", ".join(config.to)
    message["Subject"] = title(notification)
    message["Date"] = format_datetime(notification.created_at)
    message["Message-ID"] = f"<{notification.id}@{config.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies, please
    message.set_content(text(notification) + "\n")
    return message.as_bytes()


class Email:
    """A :class:`reactorhub.notifications.channels.channel.Channel` that sends email.

    The connection is encrypted: from the start, or by STARTTLS. Without encryption neither the password nor a
    mail that needs the password is sent. A server on this machine needs no encryption.
    """

    log = Logger()

    def __init__(
        self,
        config: EmailChannel,
        reactor: Any,
        tls: Callable[[str], IOpenSSLClientConnectionCreator] = optionsForClientTLS,
    ) -> None:
        """:param tls: returns the TLS options for a host."""
        self._config = config
        self._reactor = reactor
        self._tls = tls

    def send(self, notification: Notification) -> Deferred[None]:
        """Send a notification. Fires when the server has taken the mail for at least one recipient.

        A recipient that the server refuses is logged.
        """
        sending = Deferred.fromCoroutine(self._send(mail(notification, self._config)))
        sending.addTimeout(MAX_TRY, self._reactor)
        return sending.addErrback(self._explain)

    async def _send(self, message: bytes) -> None:
        result: Deferred[Any] = Deferred()
        factory = self._factory(message, result)
        protocol = await self._endpoint().connect(factory)
        try:
            _, answers = await result
        except BaseException:
            factory.sendFinished = True
            protocol.transport.abortConnection()
            raise
        for who, _, said in _refused(answers):
            host = self._config.server.host
            self.log.warn("{host} refused mail for {who}: {said}", host=host, who=who, said=said)

    def _endpoint(self) -> Any:
        server = self._config.server
        endpoint = HostnameEndpoint(self._reactor, server.host, server.port, timeout=_SILENCE)
        return wrapClientTLS(self._tls(server.host), endpoint) if server.tls else endpoint

    def _factory(self, message: bytes, result: Deferred[Any]) -> ESMTPSenderFactory:
        config, server = self._config, self._config.server
        factory = ESMTPSenderFactory(
            (server.user or "").encode(),
            (server.password or "").encode(),
            config.sender,
            config.to,
            BytesIO(message),
            result,
            retries=0,
            timeout=_SILENCE,
            contextFactory=None if server.near else self._tls(server.host),
            heloFallback=True,
            requireAuthentication=server.password is not None,
            requireTransportSecurity=server.password is not None and not server.near,
        )
        factory.noisy = False
        factory.protocol = _Sender
        return factory

    def _explain(self, failure: Failure) -> None:
        raise DeliveryError(
            f"{self._config.server.host} refused the mail: {_reason(failure)}", again=_again(failure)
        ) from None


class _Sender(CappedProtocol, ESMTPSender):
    """A sender that works on any endpoint. It records no dialogue, which would contain the password."""

    debug = False

    def connectionLost(self, reason: Any = None) -> None:
        """Notify the factory, as a connector would."""
        super().connectionLost(reason)
        if not self.factory.sendFinished:
            self.factory.clientConnectionLost(None, reason)

    def sendError(self, exc: Any) -> None:
        """Report an error, unless the mail was sent and only the goodbye failed."""
        if self.factory.sendFinished:
            self.smtpState_disconnect(-1, None)
        else:
            super().sendError(exc)


def _again(failure: Failure) -> bool:
    """Whether another try could help. Not if the server refused the mail for good, for all recipients."""
    error = failure.value
    if not isinstance(error, SMTPDeliveryError):
        return True
    codes = {code for _, code, _ in _refused(error.addresses)} or {error.code}
    return not all(500 <= code < 600 for code in codes)


def _refused(answers: Any) -> list[tuple[str, int, str]]:
    """Return the recipients that the server refused, with its answers."""
    return [
        (bytes(who).decode("ascii", "replace"), code, _said(code, answer))
        for who, code, answer in answers or ()
        if not 200 <= code < 300
    ]


def _said(code: int, answer: bytes | str) -> str:
    """Return a server's answer in one line."""
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
    text = plain(" ".join(text.split()), _MAX_QUOTED)
    return f"{code} {text}" if code > 0 else text


def _reason(failure: Failure) -> str:
    """Describe the failure without the error's own text, which may quote what was sent."""
    error = failure.value
    if isinstance(error, SMTPConnectError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, AUTHDeclinedError | AuthenticationError):
        return f"it refuses the user or the password ({error.code})"
    if isinstance(error, SMTPClientError):
        refused = _refused(error.addresses)
        return refused[-1][2] if refused else _said(error.code, error.resp)
    return why_unreached(error, MAX_TRY)


_: type[Channel] = Email
