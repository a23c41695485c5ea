"""Mail: a real server takes it, with and without TLS and passwords."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes
from typing import Any

from twisted.internet import reactor
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.logger import capturedLogs

from reactorhub.model.notification import NotificationKind
from reactorhub.notifications.channels import email as email_channel
from reactorhub.notifications.channels.channel_config import EmailChannel, SmtpServer
from reactorhub.notifications.channels.email import Email, mail
from tests.notifications.channel_cases import (
    PASSWORD,
    RUN,
    ChannelSuite,
    MailServer,
    a_notification,
    certificate,
    listen_to_chatter,
)
from tests.support.redis_server import free_port


@dataclass(frozen=True, slots=True, kw_only=True)
class FarServer(SmtpServer):
    """A server on this machine that counts as one beyond it."""

    @property
    def near(self) -> bool:
        """It is not."""
        return False


def trusting(host: str) -> Any:
    """How to speak TLS with a host whose certificate is the tests' own."""
    return optionsForClientTLS(host, trustRootFromCertificates([Certificate(certificate().original)]))


def config(server: SmtpServer) -> EmailChannel:
    """Two people's mail."""
    return EmailChannel(to=("ops@example.org", "me@example.org"), sender="hub@example.org", server=server)


class EmailTests(ChannelSuite):
    """A real server on loopback."""

    def setUp(self) -> None:
        """Listen."""
        self.server = MailServer()
        self.use(self.server.listen(self))

    def use(
        self, port: int, host: str = "127.0.0.1", kind: type[SmtpServer] = SmtpServer, **facts: Any
    ) -> None:
        """Send by the server at this port."""
        server = kind(host=host, port=port, **{"tls": False, **facts})
        self.channel = Email(config(server), reactor, trusting)

    def arrived(self) -> list[str]:
        """The mails for one of the two people, by id and subject."""
        return [f"{each['Message-ID']} {each['Subject']}" for each in self.server.mails[::2]]

    def trouble(self, *, for_good: bool) -> None:
        """Refuse all recipients."""
        self.server.refusal = 550 if for_good else 451

    def hold(self) -> None:
        """Take a mail and never say so."""
        self.server.slow = True

    async def test_mail(self) -> None:
        """Both people get the text, whatever letters and dots are in it."""
        await self.channel.send(a_notification())
        first, second = self.server.mails
        self.assertEqual(self.server.envelopes, ["ops@example.org", "me@example.org"])
        self.assertEqual(first.get_content(), second.get_content())
        self.assertEqual(
            {name: first[name] for name in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted")},
            {
                "From": "hub@example.org",
                "To": "ops@example.org, me@example.org",
                "Subject": "[lab] prices failed",
                "Date": "Sun, 01 Mar 2026 12:00:00 +0000",
                "Message-ID": f"<{a_notification().id}@example.org>",
                "Auto-Submitted": "auto-generated",
            },
        )
        text = first.get_content()
        self.assertIn("error: ValueError: größer", text)
        self.assertIn("\n  .a line that begins with a dot", text.replace("\r\n", "\n"))
        self.assertIn(str(RUN["id"]), text)

    async def test_a_line_that_begins_with_a_dot(self) -> None:
        """A line with a single dot does not end a mail."""
        entry = {"schedule": ".", "ticks": 1, "from": "1", "until": "1", "more": False, "reason": "down"}
        await self.channel.send(a_notification(NotificationKind.MISSED, about={"missed": [entry, entry]}))
        lines = self.server.mails[0].get_content().splitlines()
        self.assertEqual(lines[:3], [".: 1 tick, 1: down"] * 2 + [""])

    async def test_one_of_two_is_refused(self) -> None:
        """Who is refused by a server that takes the mail for somebody else is named in the log."""
        self.server.refusals = {"me@example.org": 450}
        with capturedLogs() as logs:
            await self.channel.send(a_notification())
        self.assertEqual(len(self.server.mails), 1)
        (said,) = [log["said"] for log in logs if log.get("who") == "me@example.org"]
        self.assertEqual(said, "450 no room for me@example.org\\x1b[2J")

    async def test_refused_for_now_and_for_good(self) -> None:
        """As long as one of the people may be reached later, the mail is tried again."""
        self.server.refusals = {"ops@example.org": 450, "me@example.org": 550}
        error = await self.failure()
        self.assertTrue(error.again)
        self.assertEqual(str(error), "127.0.0.1 refused the mail: 550 no room for me@example.org\\x1b[2J")

    async def test_a_server_that_talks_without_end(self) -> None:
        """Nobody listens to a greeting that fills the memory."""
        self.use(listen_to_chatter(self, b"220-hello\r\n"))
        error = await self.failure()
        self.assertEqual(
            (error.again, str(error)), (True, "127.0.0.1 refused the mail: it sent more than 256 KiB")
        )

    async def test_password_over_starttls(self) -> None:
        """Far away the connection is encrypted before the password is sent."""
        self.server = MailServer(tls=True, user="hub")
        port = self.server.listen(self)
        self.use(port, "localhost", FarServer, user="hub", password=PASSWORD)
        await self.channel.send(a_notification())
        self.assertEqual(len(self.arrived()), 1)

    async def test_smtps(self) -> None:
        """A server may be encrypted from the start."""
        port = self.server.listen(self, encrypted=True)
        self.use(port, "localhost", FarServer, tls=True)
        await self.channel.send(a_notification())
        self.assertEqual(len(self.arrived()), 1)

    async def test_no_password_in_the_clear(self) -> None:
        """Far away no password is sent to a server without TLS, and no mail."""
        self.server = MailServer(user="hub")
        self.use(self.server.listen(self), "localhost", FarServer, user="hub", password=PASSWORD)
        error = await self.failure()
        self.assertTrue(error.again)
        self.assertIn("does not support secure communication", str(error))
        self.assertEqual(self.arrived(), [])

    async def test_certificates_are_checked(self) -> None:
        """A server whose certificate nobody vouches for gets no mail."""
        port = self.server.listen(self, encrypted=True)
        server = FarServer(host="localhost", port=port, tls=True)
        self.channel = Email(config(server), reactor)
        error = await self.failure()
        self.assertIn("its certificate is not trusted", str(error))
        self.assertEqual(self.arrived(), [])

    async def test_near_servers_need_no_tls(self) -> None:
        """On this machine a password goes in the clear, and no certificate is asked for."""
        self.server = MailServer(tls=True, user="hub")
        self.use(self.server.listen(self), user="hub", password=PASSWORD)
        await self.channel.send(a_notification())
        self.assertEqual(len(self.arrived()), 1)

    async def test_wrong_password(self) -> None:
        """A refused password is reported but not shown, and the mail is tried again."""
        self.server = MailServer(user="hub")
        self.use(self.server.listen(self), user="hub", password=f"{PASSWORD}-wrong")
        error = await self.failure()
        self.assertTrue(error.again)
        self.assertIn("refuses the user or the password", str(error))
        self.assertNotIn(PASSWORD, str(error))

    async def test_nobody_listens(self) -> None:
        """A server that is not there may be there later."""
        self.use(free_port())
        error = await self.failure()
        self.assertTrue(error.again)
        self.assertIn("127.0.0.1 refused the mail: ", str(error))

    async def test_no_answer_in_time(self) -> None:
        """A server that takes too long is left."""
        self.patch(email_channel, "MAX_TRY", 0.3)
        self.hold()
        error = await self.failure()
        self.assertEqual(
            (error.again, str(error)), (True, "127.0.0.1 refused the mail: no answer within 0.3 seconds")
        )


def test_mail_is_plain_ascii() -> None:
    """A mail passes through servers that know only ASCII, and has the line ends that Twisted expects."""
    made = mail(a_notification(), config(SmtpServer(host="x", port=1, tls=False)))
    assert made.isascii()
    assert b"\r" not in made
    assert max(len(line) for line in made.splitlines()) < 200
    assert message_from_bytes(made)["Subject"] == "[lab] prices failed"


del ChannelSuite
