"""How a spider is told its run: to which spiders the argument ``_job`` is given."""

from __future__ import annotations

from typing import Any

import pytest
import scrapy
from scrapy.settings import Settings
from scrapy.spiders import CrawlSpider

from reactorhub.engine.isolated.child.told import (
    has_own_job,
    job_argument,
    takes_job,
    tell_redis,
    tell_settings,
)


class Plain(scrapy.Spider):
    """Has no ``__init__`` of its own."""


class Rules(CrawlSpider):
    """Derives from another spider of Scrapy's."""


class Keywords(scrapy.Spider):
    """Takes any keyword and hands it on."""

    def __init__(self, page: str = "1", **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Named(scrapy.Spider):
    """Names it."""

    def __init__(self, _job: str | None = None) -> None:
        super().__init__()


class Closed(scrapy.Spider):
    """Takes what it names only."""

    def __init__(self, page: str = "1") -> None:
        super().__init__()


class Above(Closed):
    """Takes any keyword and hands it on to a class that does not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Keeps(Closed):
    """Takes it and keeps it from a class that does not take it."""

    def __init__(self, _job: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Factory(scrapy.Spider):
    """Is made by a method that takes what it names only."""

    @classmethod
    def from_crawler(cls, crawler: Any, page: str = "1") -> Any:  # type: ignore[override]
        return super().from_crawler(crawler)


class Foreign(scrapy.Spider):
    """Has an ``__init__`` whose parameters cannot be read."""

    __init__ = dict.update  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("spidercls", "takes"),
    [
        (Plain, True),
        (Rules, True),
        (Keywords, True),
        (Named, True),
        (Closed, False),
        (Above, False),
        (Keeps, True),
        (Factory, False),
        (type("Below", (Keywords,), {}), True),
    ],
)
def test_who_gets_the_argument(spidercls: type[scrapy.Spider], takes: bool) -> None:
    """A spider gets ``_job`` where every method that would see it takes it."""
    assert takes_job(spidercls) is takes
    assert job_argument(spidercls, "0190") == ({"_job": "0190"} if takes else {})


def test_a_signature_that_cannot_be_read() -> None:
    """Such a spider is made as it always was."""
    assert not takes_job(Foreign)


@pytest.mark.parametrize(
    ("own", "theirs"), [(None, False), ("", False), (property(len), True), (len, True), (7, True)]
)
def test_a_name_that_the_project_uses_itself(own: object, theirs: bool) -> None:
    """A method or property of this name stays; a default for scrapyd's argument gives way."""
    assert has_own_job(type("Own", (Plain,), {"_job": own})) is theirs
    assert not has_own_job(Plain)


@pytest.mark.parametrize(
    ("own", "expected"), [({}, "0190"), ({"JOB": None}, "0190"), ({"JOB": ""}, "0190"), ({"JOB": "x"}, "x")]
)
def test_settings_of_scrapyd_s_jobs(own: dict[str, Any], expected: str) -> None:
    """A project that sets JOB itself keeps its own; one that sets it to nothing gets the run's id."""
    settings = Settings()
    settings.setdict(own, priority="project")
    tell_settings(settings, "0190")
    assert (settings["JOB"], settings["SCRAPY_JOB"]) == (expected, "0190")


@pytest.mark.parametrize(
    ("project", "spider", "expected"),
    [
        ({}, {}, "redis://hub"),
        ({"REDIS_URL": "redis://own"}, {}, "redis://own"),
        ({"REDIS_HOST": "own"}, {}, None),
        ({}, {"REDIS_PARAMS": {"password": "x"}}, None),
    ],
)
def test_the_redis_of_the_hub(project: dict[str, Any], spider: dict[str, Any], expected: str | None) -> None:
    """A project that says nothing of Redis gets the hub's, below everything that may still be set."""
    settings = Settings()
    settings.setdict(project, priority="project")
    tell_redis(settings, type("Spider", (Plain,), {"custom_settings": spider}), "redis://hub")
    assert settings.get("REDIS_URL") == expected
    settings.set("REDIS_URL", "redis://addon", priority="addon")
    assert settings.get("REDIS_URL") == (expected if "REDIS_URL" in project else "redis://addon")
    tell_redis(settings, Plain, None)
