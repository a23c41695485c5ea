"""What the tests on real processes share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.hubs import Hub
from tests.support.redis_server import RedisServer

MakeHub = Callable[..., Hub]

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as for a shell's background job; hubs would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """A running Redis that no other module uses."""
    server = RedisServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def make_hub(tmp_path: Path) -> Iterator[MakeHub]:
    """Makes hubs below ``tmp_path``, which are not started yet and end with the test."""
    with ExitStack() as stack:

        def make(config: str, *options: str, **choices: Any) -> Hub:
            hub = Hub(tmp_path, config, *options, **choices)
            stack.callback(hub.close)
            return hub

        yield make
