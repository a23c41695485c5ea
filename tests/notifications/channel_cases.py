"""The promises of every channel, and a mail server on loopback to keep them with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater
from twisted.mail.imap4 import PLAINCredentials
from twisted.mail.smtp import ESMTP, IMessage, IMessageDelivery, SMTPServerError
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from reactorhub.errors import DeliveryError
from reactorhub.model.notification import Notification, NotificationKind
from reactorhub.notifications.channels.channel import Channel
from reactorhub.notifications.channels.unreachable import MAX_HEARD

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = {
    "id": "01a200e6-efb3-7007-b5e3-bd2624e9c3cc",
    "nominal_time": "2026-03-01T12:00:00.000000Z",
    "state": "failed",
    "reason": "the crawl raised\n.a line that begins with a dot",
    "error": "ValueError: größer",
    "attempt": 3,
    "finished_at": "2026-03-01T12:01:00.000000Z",
    "links": {"log": "/api/runs/01a200e6-efb3-7007-b5e3-bd2624e9c3cc/log"},
}
PASSWORD = "hunter2"


def a_notification(kind: NotificationKind = NotificationKind.FAILED, **facts: Any) -> Notification:
    """A notification of noon."""
    given: dict[str, Any] = {"about": {"hub": "lab", "run": RUN}, "schedule": "prices"}
    return Notification(
        id="01a200e6-0000-7007-b5e3-000000000001",
        channel="ops",
        kind=kind,
        not_before=NOON,
        since=NOON,
        **{"created_at": NOON, **given, **facts},
    )


async def until(true: Any, within: float = 8.0) -> None:
    """Look every 10 ms until it is true; fails when it is still not after ``within`` seconds."""
    clock: Any = reactor
    deadline = clock.seconds() + within
    while not true():
        assert clock.seconds() < deadline, "still not true"
        await deferLater(clock, 0.01, lambda: None)


class ChannelSuite(TestCase):
    """What a channel does, whatever it is made of. A subclass sets ``channel`` up, and the other side."""

    channel: Channel
    can_refuse = True  # whether the other side can say that a notification is never welcome

    def arrived(self) -> list[str]:
        """What tells the notifications apart that have arrived, in order."""
        raise NotImplementedError

    def trouble(self, *, for_good: bool) -> None:
        """Let the other side take nothing, for now or for good."""
        raise NotImplementedError

    def hold(self) -> None:
        """Let the other side take its time without end."""
        raise NotImplementedError

    async def failure(self) -> DeliveryError:
        """Return what a notification fails with."""
        try:
            await self.channel.send(a_notification())
        except DeliveryError as error:
            return error
        raise AssertionError("it was delivered")

    async def test_delivers(self) -> None:
        """A notification that is sent arrives, once."""
        await self.channel.send(a_notification())
        self.assertEqual(len(self.arrived()), 1)

    async def test_a_repeat_can_be_told(self) -> None:
        """A notification that is sent again is the same to who receives it, and another one is not."""
        for notification in (a_notification(), a_notification(), a_notification(schedule="other")):
            await self.channel.send(notification)
        first, again, _ = self.arrived()
        self.assertEqual(first, again)

    async def test_trouble_for_now(self) -> None:
        """Where the other side is in trouble the error says so, and that another try may help."""
        self.trouble(for_good=False)
        error = await self.failure()
        self.assertTrue(error.again)
        self.assertNotIn(PASSWORD, str(error))

    async def test_trouble_for_good(self) -> None:
        """Where the other side will never take a notification the error says that no other try will help."""
        self.trouble(for_good=True)
        error = await self.failure()
        self.assertEqual(error.again, not self.can_refuse)
        self.assertNotIn(PASSWORD, str(error))

    async def test_cancel(self) -> None:
        """Cancelling gives up at once, whatever the other side is doing."""
        self.hold()
        ended: list[Any] = []
        sending = self.channel.send(a_notification())
        sending.addBoth(ended.append)
        await until(self.arrived)
        sending.cancel()
        self.assertEqual(len(ended), 1)

    async def test_secrets_are_not_printed(self) -> None:
        """Neither a channel nor what it is made from prints a secret."""
        self.assertNotIn(PASSWORD, f"{self.channel!r} {vars(self.channel)!r}")


@cache
def certificate() -> PrivateCertificate:
    """A certificate for localhost that nobody but these tests trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return PrivateCertificate.loadPEM(made.public_bytes(pem) + secret)


class Chatterbox(Protocol):
    """Says ``words`` far too often to everybody, and never comes to an end."""

    words = b""

    def connectionMade(self) -> None:
        """Talk."""
        transport: Any = self.transport
        transport.write(self.words * (3 * MAX_HEARD // len(self.words)))


def listen_to_chatter(case: TestCase, words: bytes) -> int:
    """Listen until the test ends, with nothing but words for who comes; return the port."""
    clock: Any = reactor
    factory = ServerFactory.forProtocol(type("Talker", (Chatterbox,), {"words": words}))
    factory.noisy = False
    port = clock.listenTCP(0, factory, interface="127.0.0.1")
    case.addCleanup(port.stopListening)
    return int(port.getHost().port)


class _Session(ESMTP):
    """A session that knows whether it is over."""

    gone = False

    def connectionLost(self, reason: Any = None) -> None:
        """Note the end."""
        super().connectionLost(reason)
        self.gone = True


@implementer(IMessageDelivery, IRealm)
class MailServer(ServerFactory):
    """A mail server that keeps the ``mails`` it is given.

    ``refusal`` is the code that it answers a recipient with, if any, and ``refusals`` those for some of them;
    while ``slow`` it takes mails but never says so. It offers STARTTLS with ``tls``, and asks for the
    password of ``user`` where that is set.
    """

    noisy = False

    def __init__(self, *, tls: bool = False, user: str | None = None) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[str] = []
        self.refusal: int | None = None
        self.refusals: dict[str, int] = {}
        self.slow = False
        self.sessions: list[_Session] = []
        self._tls = tls
        self._user = user

    def listen(self, case: TestCase, *, encrypted: bool = False) -> int:
        """Listen until the test ends; return the port."""
        clock: Any = reactor
        port: IListeningPort
        if encrypted:
            port = clock.listenSSL(0, self, certificate().options(), interface="127.0.0.1")
        else:
            port = clock.listenTCP(0, self, interface="127.0.0.1")
        case.addCleanup(self._close, port)
        return int(port.getHost().port)

    async def _close(self, port: IListeningPort) -> None:
        stopped = port.stopListening()
        for session in self.sessions:
            if not session.gone:
                session.transport.abortConnection()
        await stopped
        await until(lambda: all(session.gone for session in self.sessions))

    def buildProtocol(self, addr: Any) -> ESMTP:
        """Return a session with one client."""
        challenges = {b"PLAIN": PLAINCredentials} if self._user else None
        session = _Session(challenges, certificate().options() if self._tls else None)
        session.factory = self
        session.timeout = None
        session.portal = Portal(self)
        if self._user:
            users = InMemoryUsernamePasswordDatabaseDontUse(**{self._user: PASSWORD.encode()})
            session.portal.registerChecker(users)
        else:
            session.delivery = self
        self.sessions.append(session)
        return session

    def requestAvatar(self, avatar: Any, mind: Any, *interfaces: Any) -> Any:
        """Let who has the password send."""
        return IMessageDelivery, self, lambda: None

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        """Add a line, as servers do."""
        return b"Received: here"

    def validateFrom(self, helo: Any, origin: Any) -> Any:
        """Take mail from everybody."""
        return succeed(origin)

    def validateTo(self, user: Any) -> Any:
        """Take mail for everybody, or refuse it."""
        code = self.refusals.get(str(user.dest), self.refusal)
        if code is not None:
            raise SMTPServerError(code, f"no room for {user.dest}\x1b[2J")
        self.envelopes.append(str(user.dest))
        return lambda: _Incoming(self)


@implementer(IMessage)
class _Incoming:
    """A mail on its way in, for one of its recipients."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        """Keep a line."""
        self._lines.append(line)

    def eomReceived(self) -> Deferred[Any]:
        """Keep the mail."""
        found = message_from_bytes(b"\r\n".join(self._lines), policy=policy.default)
        assert isinstance(found, EmailMessage)
        self._server.mails.append(found)
        return Deferred() if self._server.slow else succeed(None)

    def connectionLost(self) -> None:
        """Nothing is left to do."""
