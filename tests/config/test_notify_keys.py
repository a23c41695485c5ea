"""``hub.notify`` and ``notify`` in the schedule file."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from reactorhub.config import HubConfig, parse
from reactorhub.config.reading import read_config
from reactorhub.errors import ConfigError
from reactorhub.model.notification import SCHEDULE_KINDS, NotificationKind, NotifyRule
from reactorhub.notifications.channels.channel_config import (
    AppriseChannel,
    EmailChannel,
    SmtpServer,
    WebhookChannel,
)
from tests.support.receiver import KEY, SECRET

HUB = f"""
hub:
  notify:
    ops: {{email: {{to: [ops@example.org, me@example.org], from: hub@example.org, smtp: "smtp://u:${{P}}@mail"}}}}
    hook: {{webhook: {{url: "https://example.org/hook", secret: "{SECRET}"}}}}
    chat: {{apprise: "json://localhost"}}
"""


def read(text: str) -> HubConfig:
    """Read a schedule file."""
    return parse(dedent(text), "f.yaml", {"P": "hunter2"}, Path("/nowhere"), "test")


def rule(schedule: str, defaults: str = "") -> NotifyRule | None:
    """What a schedule with these keys tells."""
    common = f"defaults: {{{defaults}}}\n" if defaults else ""
    config = read(f"{HUB}{common}schedules:\n  a: {{spider: s, interval: 1h{schedule}}}\n")
    return config.schedules["a"].notify


def mistakes(text: str) -> list[str]:
    """What is wrong with a file."""
    with pytest.raises(ConfigError) as error:
        read(text)
    return str(error.value).splitlines()


def test_channels() -> None:
    """Each kind of channel is read; variables are filled in."""
    server = SmtpServer(host="mail", port=587, tls=False, user="u", password="hunter2")
    assert read(HUB).channels == {
        "ops": EmailChannel(
            to=("ops@example.org", "me@example.org"), sender="hub@example.org", server=server
        ),
        "hook": WebhookChannel(url="https://example.org/hook", key=KEY),
        "chat": AppriseChannel(urls=("json://localhost",)),
    }
    assert "hunter2" not in repr(read(HUB))


@pytest.mark.parametrize(
    ("schedule", "defaults", "expected"),
    [
        ("", "", None),
        (", notify: ops", "", NotifyRule(("ops",))),
        (", notify: [ops, hook, ops]", "", NotifyRule(("ops", "hook"))),
        (", notify: {to: hook}", "", NotifyRule(("hook",))),
        (
            ", notify: {to: [hook], on: failed}",
            "",
            NotifyRule(("hook",), frozenset({NotificationKind.FAILED})),
        ),
        ("", "notify: ops", NotifyRule(("ops",), SCHEDULE_KINDS)),
        (", notify: hook", "notify: ops", NotifyRule(("hook",))),
        (", notify: []", "notify: ops", None),
        (
            ", notify: hook",
            "notify: {to: ops, on: [missed]}",
            NotifyRule(("hook",), frozenset({NotificationKind.MISSED})),
        ),
        (
            ", notify: {on: [paused]}",
            "notify: ops",
            NotifyRule(("ops",), frozenset({NotificationKind.PAUSED})),
        ),
    ],
)
def test_rules(schedule: str, defaults: str, expected: NotifyRule | None) -> None:
    """A channel, a list or a mapping; a schedule's own words go over the defaults, name by name."""
    assert rule(schedule, defaults) == expected


def test_unknown_channels() -> None:
    """A channel that is not there is a mistake where it is named, with a suggestion."""
    found = mistakes(f"""{HUB}
defaults: {{notify: opps}}
schedules:
  a: {{spider: s, notify: [hook, opps]}}
  b: {{spider: s, notify: {{to: nobody}}}}
""")
    assert [line.split(" ", 1)[1] for line in found] == [
        "defaults.notify: there is no channel 'opps' under hub.notify; did you mean 'ops'?",
        "schedules.a.notify[1]: there is no channel 'opps' under hub.notify; did you mean 'ops'?",
        "schedules.b.notify.to: there is no channel 'nobody' under hub.notify",
    ]


@pytest.mark.parametrize(
    ("channel", "path", "message"),
    [
        ("{}", "", "write exactly one of email, webhook and apprise"),
        ("{apprise: a, webhook: {url: u, secret: s}}", "", "write exactly one of email, webhook and apprise"),
        ("{emial: {}}", ".emial", "unknown key 'emial'; did you mean 'email'?"),
        ("{email: {to: a@b, frm: c@d}}", ".email.frm", "unknown key 'frm'; did you mean 'from'?"),
        ("{email: {to: a@b, from: c@d}}", ".email", "write to, from and smtp"),
        ("{webhook: {url: 'http://x'}}", ".webhook", "write url and secret"),
        ("{webhook: {url: 'http://x', secret: '${P}'}}", ".webhook.secret", "a secret is base64 of"),
        ("{webhook: {url: x, secret: '%s'}}", ".webhook.url", "the host is missing"),
        ("{webhook: {url: 'http://x', secret: 4711}}", ".webhook.secret", "must be text; put it in quotes"),
        ("{apprise: 4711}", ".apprise", "must be text; put it in quotes"),
        (
            "{email: {to: [a@b, c], from: c@d, smtp: 'smtp://x'}}",
            ".email.to[1]",
            "this is not a mail address",
        ),
        ("{email: {to: a@b, from: c@d, smtp: 'smtp://u:${P}@x:0'}}", ".email.smtp", "the host is missing or"),
    ],
)
def test_mistakes_in_channels(channel: str, path: str, message: str) -> None:
    """Each mistake in a channel has its place and says what to write; none shows a variable's value."""
    (found,) = mistakes(f"hub:\n  notify:\n    ops: {channel.replace('%s', SECRET)}\n")
    assert f": hub.notify.ops{path}: {message}" in found
    assert "hunter2" not in found
    assert "4711" not in found


@pytest.mark.parametrize(
    ("notify", "message"),
    [
        ("{on: failed}", "schedules.a.notify: does not say whom to notify"),
        (
            "{to: ops, on: [failled]}",
            "must be one of failed, recovered, missed, paused; did you mean 'failed'?",
        ),
        ("{to: ops, on: []}", "schedules.a.notify.on: the list is empty"),
        ("{too: ops}", "unknown key 'too'; did you mean 'to'?"),
    ],
)
def test_mistakes_in_schedules(notify: str, message: str) -> None:
    """A schedule that says what to tell but not whom, or misspells something, hears of it."""
    assert message in "\n".join(mistakes(f"{HUB}\nschedules:\n  a: {{spider: s, notify: {notify}}}\n"))


def test_apprise_is_asked(tmp_path: Path) -> None:
    """An address that apprise does not know is a mistake of the file, at its place; it is not shown."""
    (tmp_path / "schedule.yaml").write_text("hub:\n  notify:\n    chat: {apprise: 'nothing://hunter2'}\n")
    with pytest.raises(ConfigError) as error:
        read_config(tmp_path / "schedule.yaml", {}, {})
    assert ":3:21: hub.notify.chat.apprise: apprise does not understand the address" in str(error.value)
    assert "hunter2" not in str(error.value)
