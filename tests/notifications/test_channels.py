"""What the schedule file may say of channels, and that none of it shows a secret."""

from __future__ import annotations

import base64
import re

import pytest

from reactorhub.notifications.channels.channel_config import (
    AppriseChannel,
    EmailChannel,
    SmtpServer,
    WebhookChannel,
    mail_address,
    smtp_server,
    webhook_key,
    webhook_url,
)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("smtp://mail.example.org", SmtpServer(host="mail.example.org", port=587, tls=False)),
        ("smtps://mail.example.org/", SmtpServer(host="mail.example.org", port=465, tls=True)),
        ("smtp://[::1]:25", SmtpServer(host="::1", port=25, tls=False)),
        (
            "smtp://u%40ser:p%2Fw@d@mail.example.org:2525",
            SmtpServer(host="mail.example.org", port=2525, tls=False, user="u@ser", password="p/w@d"),
        ),
    ],
)
def test_mail_servers(text: str, server: SmtpServer) -> None:
    """An address of a mail server is read, with its default port and with what is percent-encoded."""
    assert smtp_server(text) == server


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mail.example.org",
        "http://mail.example.org",
        "smtp://",
        "smtp://host:99999",
        "smtp://host:0",
        "smtp://host/path",
        "smtp://host?tls=no",
        "smtp://:hunter2@host",
        "smtp://[::1",
    ],
)
def test_no_mail_servers(text: str) -> None:
    """Anything else is a mistake that shows how to write it, and no password."""
    with pytest.raises(ValueError, match=re.escape("write it like smtp://user:password@")) as error:
        smtp_server(text)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("host", "near"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("192.0.2.1", False), ("example.org", False)],
)
def test_near(host: str, near: bool) -> None:
    """The machine itself is near."""
    assert SmtpServer(host=host, port=25, tls=False).near is near


@pytest.mark.parametrize("text", ["ops@example.org", "a.b+c@x", "hub@localhost"])
def test_mail_addresses(text: str) -> None:
    """A bare address is taken."""
    assert mail_address(text) == text


@pytest.mark.parametrize("text", ["", "ops", "@x", "a@", "Ops <ops@x.org>", "a@b@c", "ä@x.org", "a b@x.org"])
def test_no_mail_addresses(text: str) -> None:
    """A name, a list or half an address is a mistake."""
    with pytest.raises(ValueError, match="not a mail address"):
        mail_address(text)


@pytest.mark.parametrize("text", ["https://example.org/hook?x=1", "http://127.0.0.1:8080/", "http://[::1]/a"])
def test_webhook_addresses(text: str) -> None:
    """Addresses of web pages are taken."""
    assert webhook_url(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "example.org", "ftp://x/y", "https://", "https://u:hunter2@x/", "https://x/#a", "https://ü.org/"],
)
def test_no_webhook_addresses(text: str) -> None:
    """Anything else is a mistake, and a password in it is not shown."""
    with pytest.raises(ValueError) as error:
        webhook_url(text)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("prefix", ["", "whsec_"])
@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets(prefix: str, size: int) -> None:
    """A secret is base64 of 24 to 64 bytes, with the usual prefix or without it."""
    key = bytes(range(size))
    assert webhook_key(prefix + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize("text", ["", "hunter2", "whsec_", "A" * 20, "A" * 100, "not base64 " * 4])
def test_no_secrets(text: str) -> None:
    """A secret that is too short, too long or no base64 is a mistake that says how to make one."""
    with pytest.raises(ValueError, match="openssl rand") as error:
        webhook_key(text)
    assert "hunter2" not in str(error.value)


def test_secrets_are_not_printed() -> None:
    """No value of a channel prints a password, a key, or an address that may hold a token."""
    server = SmtpServer(host="mail", port=25, tls=True, user="u", password="hunter2")
    channels = [
        EmailChannel(to=("a@b",), sender="c@d", server=server),
        WebhookChannel(url="https://example.org/hunter2", key=b"hunter2"),
        AppriseChannel(urls=("tgram://hunter2",)),
    ]
    assert "hunter2" not in repr(channels)
    assert channels[1].host == "example.org"  # type: ignore[union-attr]
