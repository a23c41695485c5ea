"""Sends notices by apprise, which speaks with about a hundred services: the only room that imports it."""

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
from reactorhub.notifications.channels.addresses import AppriseChannel
from reactorhub.notifications.channels.channel import Channel
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
    """Return if notices can be sent there.

    :raises StartError: if apprise is not installed, or does not know what an address means.
    """
    if find_spec("apprise") is None:
        raise StartError("this needs the package apprise; install it with: pip install reactorhub[apprise]")
    for number, url in enumerate(config.urls, 1):
        if not _quietly(_apprise().instantiate, url):
            which = f"address {number}" if len(config.urls) > 1 else "the address"
            raise StartError(f"apprise does not know what {which} means; see https://appriseit.com/services/")


class AppriseSender:
    """A :class:`~reactorhub.notifications.channels.channel.Channel` by apprise, in a thread for each notice.

    Apprise says only whether a message went out, not why it did not, so each failure is tried again. Its
    threads are nobody else's, so a service that hangs delays no file; and the process may end without them.
    """

    log = Logger()

    def __init__(self, config: AppriseChannel, reactor: IReactorFromThreads) -> None:
        self._config = config
        self._reactor = reactor

    def send(self, notification: Notification) -> Deferred[None]:
        """Send a notice; fires once all of its services have taken it."""
        sending: Deferred[bool] = Deferred()

        def settle(result: bool | Failure) -> None:
            if not sending.called:
                sending.callback(result)  # a failure takes the way of failures

        def work() -> None:
            try:
                result: bool | Failure = _quietly(self._notify, notification)
            except Exception:  # noqa: BLE001 - whatever it is, the notice waits and the thread ends
                result = Failure()
            with suppress(RuntimeError):  # the reactor is gone
                self._reactor.callFromThread(settle, result)

        Thread(target=work, name="reactorhub-apprise", daemon=True).start()
        return sending.addCallbacks(self._judge, self._explain)

    def _notify(self, notification: Notification) -> bool:
        sender = _apprise()()
        sender.add(list(self._config.urls))
        kind = _KINDS.get(notification.kind, "warning")
        # Said to be a text, it is escaped for services that take markup; else they refuse a "<" in it.
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
    """Import apprise, which takes a while, once it is needed."""
    found = import_module("apprise").Apprise
    _hush()
    return found


@cache
def _hush() -> None:
    for name in _TALKERS:
        logging.getLogger(name).addFilter(lambda record: not _QUIET.get())


def _quietly(call: Callable[..., Any], *args: Any) -> Any:
    """Call without a word in the log: what apprise says there may hold a token."""
    token = _QUIET.set(True)
    try:
        return call(*args)
    finally:
        _QUIET.reset(token)


_: type[Channel] = AppriseSender
