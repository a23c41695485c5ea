"""The settings of the uploader: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from scrapy import Spider
from scrapy.settings import Settings

from reactorhub.spiderkit import MemoryConnector, RedisConnector, node_and_name
from reactorhub.spiderkit.stats.options import UploaderOptions, by_name, uploader_options


class Prices(Spider):
    """A spider."""

    name = "prices"


def options(**settings: Any) -> UploaderOptions:
    """Read these settings, named without their beginning."""
    values = {f"STATSUPLOADER_{name}": value for name, value in settings.items()}
    return uploader_options(Settings(values))


def test_defaults() -> None:
    """Without settings the stats go to Redis at the end, under the spider's name."""
    found = options()
    assert (found.mode, found.interval, found.confs) == ("UPLOAD_ON_CLOSE", 60, {})
    assert (found.connector, found.spider_id(Prices())) == (RedisConnector, "prices")


def test_all_are_given() -> None:
    """Texts, as ``-s`` gives them, mean what the values themselves mean."""
    found = options(
        UPLOAD_MODE="UPLOAD_INTERVAL",
        UPLOAD_INTERVAL="0.5",
        CONNECTOR_CLASS="reactorhub.spiderkit.MemoryConnector",
        CONNECT_CONFS='{"key": "a"}',
        GEN_SPIDERID="reactorhub.spiderkit.node_and_name",
    )
    assert (found.mode, found.interval, found.confs) == ("UPLOAD_INTERVAL", 0.5, {"key": "a"})
    assert (found.connector, found.spider_id) == (MemoryConnector, node_and_name)
    assert found.spider_id(Prices()) == f"{socket.gethostname()}:prices"


def test_objects_are_given() -> None:
    """A class and a function need no import path."""
    found = options(CONNECTOR_CLASS=MemoryConnector, GEN_SPIDERID=by_name)
    assert (found.connector, found.spider_id) == (MemoryConnector, by_name)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        (
            "UPLOAD_MODE",
            "ON_CLOSE",
            "must be UPLOAD_ON_CLOSE, UPLOAD_ON_IDLE or UPLOAD_INTERVAL, not 'ON_CLOSE'",
        ),
        ("UPLOAD_INTERVAL", 0, "a number of seconds from 0.1 to 86400"),
        ("UPLOAD_INTERVAL", 0.01, "a number of seconds from 0.1 to 86400"),
        ("UPLOAD_INTERVAL", "1m", "a number of seconds from 0.1 to 86400"),
        ("UPLOAD_INTERVAL", float("nan"), "a number of seconds from 0.1 to 86400"),
        ("CONNECTOR_CLASS", "no.such.Class", "'no.such.Class' cannot be imported: No module named 'no'"),
        ("CONNECTOR_CLASS", "reactorhub.spiderkit.NoSuch", "cannot be imported"),
        ("CONNECTOR_CLASS", "reactorhub.spiderkit.node_and_name", "method upload"),
        ("GEN_SPIDERID", "nothing", "cannot be imported"),
        ("GEN_SPIDERID", "reactorhub.spiderkit.connection.client.MAX_OUTSTANDING", "a function that takes"),
        ("CONNECT_CONFS", "{key", "must be a dict"),
        ("CONNECT_CONFS", 7, "must be a dict"),
    ],
)
def test_mistakes(name: str, value: Any, complaint: str) -> None:
    """A setting that cannot be used is named, with what to write."""
    with pytest.raises(ValueError, match="STATSUPLOADER_") as caught:
        options(**{name: value})
    assert f"STATSUPLOADER_{name}" in str(caught.value)
    assert complaint in str(caught.value)
