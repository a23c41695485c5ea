"""An engine without Scrapy, whose crawls do what a test or an example orders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed

from reactorhub.engine.projects import ProjectConfig
from reactorhub.errors import UnknownSpider
from reactorhub.model.doctor import ProjectReport
from reactorhub.model.run import CrawlEnd, RunSpec
from reactorhub.model.spider import BrokenModule, Catalog, SpiderInfo


class ScriptedCrawl:
    """A crawl that opens and ends on order. ``rungs`` lists the orders to stop, oldest first.

    ``yields_to`` names the order that ends it: ``stop``, ``abort``, ``cancel_tasks`` or ``abandon``.
    """

    pid: int | None = None
    feeds = False
    service = False
    isolated_because: str | None = None

    def __init__(self, run_id: str, spec: RunSpec, yields_to: str = "stop") -> None:
        self.run_id = run_id
        self.spec = spec
        self.opened: Deferred[None] = Deferred()
        self.done: Deferred[CrawlEnd] = Deferred()
        self.steps: list[str] = []
        self.yields_to = yields_to
        self._stats: dict[str, Any] = {}
        self._errors = 0

    def open(self) -> None:
        """Let the spider open."""
        self.opened.callback(None)

    def scrape(self, items: int, errors: int = 0) -> None:
        """Set the numbers of scraped items and of logged errors."""
        self._stats["item_scraped_count"], self._errors = items, errors

    def finish(self, finish_reason: str | None = "finished", **facts: Any) -> None:
        """Let the crawl end."""
        items = self._stats.get("item_scraped_count", 0)
        end = {"items": items, "errors": self._errors, "stats": dict(self._stats), **facts}
        self.done.callback(CrawlEnd(finish_reason=finish_reason, **end))

    def stats(self) -> Mapping[str, Any]:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        return dict(self._stats)

    def errors(self) -> int:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        return self._errors

    def stop(self) -> None:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        self._rung("stop")

    def abort(self) -> None:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        self._rung("abort")

    def cancel_tasks(self) -> None:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        self._rung("cancel_tasks")

    def abandon(self) -> None:
        """See :class:`reactorhub.engine.protocols.Crawl`."""
        self._rung("abandon")

    def _rung(self, step: str) -> None:
        self.steps.append(step)
        if step == self.yields_to and not self.done.called:
            self.finish("shutdown")


class MemoryEngine:
    """See :class:`reactorhub.engine.protocols.Engine`. ``crawls`` lists all launched crawls, oldest first."""

    def __init__(self, spiders: Mapping[str, Sequence[str]], broken: Sequence[BrokenModule] = ()) -> None:
        """:param spiders: the names of the spiders of each project."""
        self._spiders = spiders
        self._broken = tuple(broken)
        self.crawls: list[ScriptedCrawl] = []
        self.yields_to = "stop"
        self.failure: str | None = None
        """If set, each new crawl fails with this message before ``launch`` returns."""
        self.because: str | None = None
        """Why each new crawl has a process of its own, if it has one."""

    def catalog(self) -> Catalog:
        """See :class:`reactorhub.engine.protocols.Engine`."""
        spiders = tuple(
            SpiderInfo(name=name, project=project, docstring=None, arguments=())
            for project, names in self._spiders.items()
            for name in names
        )
        return Catalog(spiders=spiders, broken=self._broken)

    def resolve(self, spider: str, project: str | None) -> str:
        """See :class:`reactorhub.engine.protocols.Engine`."""
        having = [
            name for name, names in self._spiders.items() if spider in names and project in (None, name)
        ]
        if len(having) != 1:
            raise UnknownSpider(f"{len(having)} projects have a spider {spider!r}")
        return having[0]

    def launch(self, run_id: str, spec: RunSpec) -> ScriptedCrawl:
        """See :class:`reactorhub.engine.protocols.Engine`."""
        crawl = ScriptedCrawl(run_id, spec, self.yields_to)
        crawl.isolated_because = self.because
        self.crawls.append(crawl)
        if self.failure is not None:
            crawl.finish(None, failure=self.failure)
        return crawl


class MemoryDoctor:
    """See :class:`reactorhub.engine.protocols.Doctor`. Says what it is told to say, at once or on order."""

    def __init__(self, says: Mapping[str, ProjectReport] | None = None) -> None:
        self.says = dict(says or {})
        self.asked: list[list[str]] = []
        self._reports: dict[str, ProjectReport] = {}
        self._waiting: list[Deferred[None]] = []
        self.at_once = True

    def report(self, project: str) -> ProjectReport | None:
        """See :class:`reactorhub.engine.protocols.Doctor`."""
        return self._reports.get(project)

    def read(self, projects: Iterable[ProjectConfig]) -> Deferred[None]:
        """See :class:`reactorhub.engine.protocols.Doctor`."""
        names = [each.name for each in projects]
        self._reports = {name: each for name, each in self._reports.items() if name not in names}
        return self._ask(names)

    def known(self, projects: Iterable[ProjectConfig]) -> Deferred[None]:
        """See :class:`reactorhub.engine.protocols.Doctor`."""
        return self._ask([each.name for each in projects if each.name not in self._reports])

    def finish(self) -> None:
        """Say everything that was asked for."""
        for name in (name for names in self.asked for name in names):
            self._reports[name] = self.says.get(name) or ProjectReport()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _ask(self, names: list[str]) -> Deferred[None]:
        if not names:
            return succeed(None)
        self.asked.append(names)
        answer: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(answer)
        if self.at_once:
            self.finish()
        return answer
