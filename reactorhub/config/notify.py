"""Makes channels and rules from the checked keys of ``hub.notify`` and ``notify``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from reactorhub.config.checking import Checked
from reactorhub.config.keys import ChannelKeys, MailKeys, NotifyKeys, ScheduleKeys
from reactorhub.config.places import KeyPath, Report, noted, suggestion
from reactorhub.model.notification import SCHEDULE_KINDS, NotificationKind, NotifyRule
from reactorhub.notifications.channels.channel_config import (
    AppriseChannel,
    ChannelConfig,
    EmailChannel,
    WebhookChannel,
    mail_address,
    smtp_server,
    webhook_key,
    webhook_url,
)

_PATH: KeyPath = ("hub", "notify")


def read_channels(keys: Mapping[str, ChannelKeys] | None, report: Report) -> dict[str, ChannelConfig]:
    """Return the channels by name. Channels with mistakes are reported and left out."""
    found = {name: _channel(each, (*_PATH, name), report) for name, each in (keys or {}).items()}
    return {name: channel for name, channel in found.items() if channel is not None}


def _channel(keys: ChannelKeys, path: KeyPath, report: Report) -> ChannelConfig | None:
    if keys.email is not None:
        return _email(keys.email, (*path, "email"), report)
    if keys.webhook is not None:
        path = (*path, "webhook")
        url = noted(partial(webhook_url, keys.webhook.url or ""), (*path, "url"), report)
        key = noted(partial(webhook_key, keys.webhook.secret or ""), (*path, "secret"), report)
        return WebhookChannel(url=url, key=key) if url and key else None
    return AppriseChannel(urls=tuple(keys.apprise or ()))


def _email(keys: MailKeys, path: KeyPath, report: Report) -> EmailChannel | None:
    to = [
        noted(partial(mail_address, text), (*path, "to", place), report)
        for place, text in enumerate(keys.to or ())
    ]
    sender = noted(partial(mail_address, getattr(keys, "from")), (*path, "from"), report)
    server = noted(partial(smtp_server, keys.smtp or ""), (*path, "smtp"), report)
    if sender is None or server is None:
        return None
    return EmailChannel(to=tuple(address for address in to if address), sender=sender, server=server)


def rule(keys: NotifyKeys | None) -> NotifyRule | None:
    """Return the rule of a schedule, whose keys include the defaults; None if nobody is notified."""
    if keys is None or not keys.to:
        return None
    on = SCHEDULE_KINDS if keys.on is None else frozenset(NotificationKind(each.value) for each in keys.on)
    return NotifyRule(tuple(dict.fromkeys(keys.to)), on)


def check_notify(section: Checked[ScheduleKeys], channels: Collection[str] | None, report: Report) -> None:
    """Report channels that a section names and ``hub.notify`` does not have."""
    keys, path = section.keys.notify, (*section.path, "notify")
    for place, name in enumerate((keys and keys.to) or ()):
        if channels is not None and name not in channels:
            message = f"there is no channel {name!r} under hub.notify{suggestion(name, channels)}"
            report.note(_place(path, place, report), message)


def _place(path: KeyPath, place: int, report: Report) -> KeyPath:
    """The place of a name in ``notify``, which is one name, a list, or a mapping with either in ``to``."""
    ways: tuple[KeyPath, ...] = (("to", place), ("to",), (place,))
    return next(((*path, *way) for way in ways if (*path, *way) in report.positions.values), path)


def check_whom(section: Checked[ScheduleKeys], keys: ScheduleKeys, report: Report) -> None:
    """Report a schedule with ``notify`` but without ``to``, in the schedule and in the defaults."""
    own = "notify" in section.given and "notify" not in section.broken and section.path[0] == "schedules"
    if own and (keys.notify is None or keys.notify.to is None):
        report.note(
            (*section.path, "notify"), "does not say whom to notify; write to: with a channel of hub.notify"
        )
