"""The seam to whatever crawls: Engine and Crawl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from reactorhub.model.run import CrawlEnd, RunSpec
from reactorhub.model.spider import Catalog


class Crawl(Protocol):
    """One crawl under way. Its rungs are harsher from top to bottom; each may be called at any time, in any
    state, more than once, and returns at once."""

    opened: Deferred[None]
    """Fires when the spider has opened. Never fires if the crawl ends before."""

    done: Deferred[CrawlEnd]
    """Fires once, when nothing of the crawl is left but facts. Never fails."""

    def stats(self) -> Mapping[str, Any]:
        """Today's stats; empty before there are any."""

    def errors(self) -> int:
        """How many of this run's own records had level ERROR or above so far."""

    def stop(self) -> None:
        """Ask for a graceful end: no new requests, what is in flight may finish."""

    def abort(self) -> None:
        """Give up what is in flight: downloads are cut off, and spider code that waits for something."""

    def cancel_tasks(self) -> None:
        """Cancel everything that still runs on this crawl's behalf."""

    def abandon(self) -> None:
        """Stop waiting: ``done`` fires now, whatever is left behind."""


class Engine(Protocol):
    """Runs crawls."""

    def catalog(self) -> Catalog:
        """What can run."""

    def resolve(self, spider: str, project: str | None) -> str:
        """Return the project that has this spider; ``project`` may be None where only one has it.

        :raises UnknownSpider: if there is none, or if several have it and none was named.
        """

    def launch(self, run_id: str, spec: RunSpec) -> Crawl:
        """Begin a crawl. Never raises: whatever goes wrong is told by the crawl's end."""
