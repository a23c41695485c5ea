"""Sends notifications through apprise, which knows about a hundred services. The only importer of apprise."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.errors import DeliveryError, StartError
from reactorhub.model.notification import Notification, NotificationKind
from reactorhub.notifications.channels.channel import Channel
from reactorhub.notifications.channels.channel_config import AppriseChannel
from reactorhub.notifications.messages import text, title

_KINDS = {
    NotificationKind.FAILED: "failure",
    NotificationKind.RECOVERED: "success",
    NotificationKind.TEST: "info",
}
_QUIET: ContextVar[bool] = ContextVar("reactorhub_apprise_quiet", default=False)
_TALKERS = ("apprise", "urllib3.connectionpool")
"""Loggers that may quote an address, which may hold a token."""


def check_apprise(config: AppriseChannel) -> None:
    """Check that apprise is installed and accepts the addresses.

    :raises StartError: if not.
    """
    if find_spec("apprise") is None:
        raise StartError("this needs the package apprise; install it with: pip install reactorhub[apprise]")
    for number, url in enumerate(config.urls, 1):
        if not _quietly(_apprise().instantiate, url):
            which = f"address {number}" if len(config.urls) > 1 else "the address"
            raise StartError(f"apprise does not understand {which}; see https://appriseit.com/services/")


class AppriseSender:
    """A :class:`~reactorhub.notifications.channels.channel.Channel` over apprise.

    Apprise reports only whether a message went out, not why it failed, so each failure is tried again. Each
    notification has a thread of its own: a service that hangs delays nothing else, not even the end of the
    hub.
    """

    log = Logger()

    def __init__(self, config: AppriseChannel, reactor: IReactorFromThreads) -> None:
        self._config = config
        self._reactor = reactor

    def send(self, notification: Notification) -> Deferred[None]:
        """Send a notification. Fires when all services of the channel have taken it."""
        sending: Deferred[bool] = Deferred()

        def settle(result: bool | Failure) -> None:
            if not sending.called:
                sending.callback(result)  # a Failure makes the Deferred fail

        def work() -> None:
            try:
                result: bool | Failure = _quietly(self._notify, notification)
            except Exception:  # noqa: BLE001 - whatever it is, the notification waits and the thread ends
                result = Failure()
            with suppress(RuntimeError):  # the reactor has stopped
                self._reactor.callFromThread(settle, result)

        Thread(target=work, name="reactorhub-apprise", daemon=True).start()
        return sending.addCallbacks(self._judge, self._explain)

    def _notify(self, notification: Notification) -> bool:
        sender = _apprise()()
        sender.add(list(self._config.urls))
        kind = _KINDS.get(notification.kind, "warning")
        # With body_format apprise escapes the text for services that take markup; they refuse a bare "<".
        return bool(
            sender.notify(
                title=title(notification), body=text(notification), notify_type=kind, body_format="text"
            )
        )

    def _judge(self, taken: bool) -> None:
        if not taken:
            raise DeliveryError("apprise could not deliver it to all of its services", again=True)

    def _explain(self, failure: Failure) -> None:
        raise DeliveryError(f"apprise failed: {type(failure.value).__name__}", again=True) from None


def _apprise() -> Any:
    """Import apprise when it is first needed, because the import is slow."""
    found = import_module("apprise").Apprise
    _hush()
    return found


@cache
def _hush() -> None:
    for name in _TALKERS:
        logging.getLogger(name).addFilter(lambda record: not _QUIET.get())


def _quietly(call: Callable[..., Any], *args: Any) -> Any:
    """Call apprise without its log records: they may contain a token."""
    token = _QUIET.set(True)
    try:
        return call(*args)
    finally:
        _QUIET.reset(token)


_: type[Channel] = AppriseSender
