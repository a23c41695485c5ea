"""The channels as the schedule file describes them: addresses and secrets.

None of these values shows a secret in an error message or when it is printed.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, unquote, urlsplit

SMTP_PORTS = {"smtp": 587, "smtps": 465}
SECRET_BYTES = (24, 64)
"""The shortest and the longest secret of a webhook, in bytes, by the Standard Webhooks specification."""

_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")
_SMTP_FORM = "write it like smtp://user:password@mail.example.org:587, or smtps:// for TLS from the start"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """A mail server. With ``tls`` the connection is encrypted from the start."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def near(self) -> bool:
        """Whether the server is on this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChannel:
    """Mail to some people."""

    to: tuple[str, ...]
    sender: str
    server: SmtpServer


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChannel:
    """A signed POST to an address. An address may hold a token, so neither it nor the key is printed."""

    url: str = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def host(self) -> str:
        """The host of the URL. It is safe to show."""
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppriseChannel:
    """Whatever apprise speaks. Its addresses hold tokens, so they are not printed."""

    urls: tuple[str, ...] = field(repr=False)


ChannelConfig = EmailChannel | WebhookChannel | AppriseChannel


def mail_address(text: str) -> str:
    """Return ``text`` if it is a mail address.

    :raises ValueError: if it is not.
    """
    if not text.isascii() or not _ADDRESS.fullmatch(text):
        raise ValueError("this is not a mail address; write it like ops@example.org, without a name")
    return text


def smtp_server(text: str) -> SmtpServer:
    """Read ``smtp://user:password@host:port``. User and password may be percent-encoded, or left out.

    :raises ValueError: if the text has another form.
    """
    parts, port = _split(text, _SMTP_FORM)
    if parts.scheme not in SMTP_PORTS or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"this is not the address of a mail server; {_SMTP_FORM}")
    if parts.password is not None and not parts.username:
        raise ValueError(f"there is a password but no user; {_SMTP_FORM}")
    return SmtpServer(
        host=parts.hostname or "",
        port=port or SMTP_PORTS[parts.scheme],
        tls=parts.scheme == "smtps",
        user=unquote(parts.username) if parts.username else None,
        password=None if parts.password is None else unquote(parts.password),
    )


def webhook_url(text: str) -> str:
    """Return ``text`` if a POST can be sent there.

    :raises ValueError: if not.
    """
    form = "write it like https://example.org/hook"
    parts, _ = _split(text, form)
    if parts.scheme not in ("http", "https") or not text.isascii() or re.search(r"\s", text):
        raise ValueError(f"this is not the address of a web page; {form}")
    if parts.username is not None or parts.fragment:
        raise ValueError(
            "the address must not contain a user, a password or a #; the signature proves who sends"
        )
    return text


def webhook_key(text: str) -> bytes:
    """Read a secret: base64, after ``whsec_`` or without it.

    As in https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.

    :raises ValueError: if the text is not base64, or the key is too short or too long.
    """
    low, high = SECRET_BYTES
    try:
        key = b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not low <= len(key) <= high:
        raise ValueError(
            f"a secret is base64 of {low} to {high} random bytes, after whsec_ or without it;"
            ' make one with: echo "whsec_$(openssl rand -base64 32)"'
        )
    return key


def _split(text: str, form: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"this is not an address; {form}") from None
    if not parts.hostname or port == 0:
        raise ValueError(f"the host is missing or the port is invalid; {form}")
    return parts, port
