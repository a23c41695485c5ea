"""The five ways to run many crawls, each behind one order: crawl these, and return when all are over."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.client import Client
from bench.errors import BenchError
from bench.orders import DONE, Order
from bench.plans import Plan
from bench.programs import Program, free_port, installed

CHECKOUT = Path(__file__).parent.parent
SUBMITTERS = 8  # connections that submit to the hub side by side
POLL = 0.1  # seconds between two looks at scrapyd's status


class Contender(Program):
    """A way to run crawls."""

    title: str

    def crawl(self, order: Order) -> None:
        """Submit all crawls of the order; return when all are over.

        :raises BenchError: if it can be seen that one failed.
        """
        raise NotImplementedError


class Script(Contender):
    """A script of this bench that takes orders on standard input."""

    module: str

    def __init__(self, project: Path, at_once: int) -> None:
        command = [sys.executable, "-m", self.module, str(at_once)]
        super().__init__(command, project, {"PYTHONPATH": str(CHECKOUT)})

    def crawl(self, order: Order) -> None:
        """See :class:`Contender`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(order.line())
        self.process.stdin.flush()
        if self.process.stdout.readline().strip() != DONE:
            raise BenchError(f"{self.module} has failed. It said:\n{self.last_words()}")


class Bare(Script):
    """One process, nothing but Scrapy."""

    title = "bare CrawlerRunner script"
    module = "bench.bare"


class Fresh(Script):
    """A process for each crawl."""

    title = "a fresh process per crawl"
    module = "bench.fresh"


class Hub(Contender):
    """This hub, by HTTP, with ledger, logs, items and Redis on."""

    title = "reactorhub"
    order: Mapping[str, str] = {}
    """What each order says beside the spider and its arguments."""
    twistd: Sequence[str] | None = None
    """What starts twistd; by default the program that is installed."""

    def __init__(
        self, project: Path, folder: Path, at_once: int, plan: Plan | None = None, **keys: Any
    ) -> None:
        """
        :param plan: its schedules, if it is to have any.
        :param keys: more of the section ``hub`` of its schedule file.
        """
        self._hub = {
            "projects": {"bench": {"path": str(project)}},
            "max_concurrent_runs": at_once,
            "queues": {"default": at_once},
            "redis": "embedded",
            **keys,
        }
        self.data = folder / "var"
        self.file = folder / "schedule.yaml"
        folder.mkdir(parents=True)
        self.write(plan or {})
        options = ["-n", "--pidfile=", "--logfile=hub.log", "reactorhub"]
        own = ["-c", "schedule.yaml", "--data-dir", str(self.data), "--http", "tcp:0"]
        twistd = self.twistd or [installed("twistd")]
        super().__init__([*twistd, *options, *own], folder, {"PYTHONPATH": str(CHECKOUT)})

    def write(self, plan: Plan) -> None:
        """Put a schedule file with these schedules in the place of the one there is."""
        draft = self.file.with_suffix(".new")
        draft.write_text(json.dumps({"hub": self._hub, "schedules": plan}))  # JSON is YAML, too
        draft.replace(self.file)

    def ready(self) -> None:
        """Wait for the hub's own word."""
        self.base = self.wait_for(self._address)

    def crawl(self, order: Order) -> None:
        """See :class:`Contender`."""
        numbers = order.numbers()
        hands = min(SUBMITTERS, len(numbers))
        with ThreadPoolExecutor(hands) as threads:
            for done in [threads.submit(self._submit, order, numbers[hand::hands]) for hand in range(hands)]:
                done.result()
        self.settle()

    def settle(self) -> None:
        """Wait until no run is left to do."""
        with Client(self.base) as client:
            while unfinished := client.get("/api/runs?state=queued,starting,running,stopping&limit=1")[
                "runs"
            ]:
                client.get(f"/api/runs/{unfinished[0]['id']}?wait=25")

    def check(self) -> None:
        """Make sure that the hub has done all of its work: no run has failed so far, and Redis heard of them.

        :raises BenchError: if it has not.
        """
        with Client(self.base) as client:
            redis = client.get("/api/status")["redis"]
            if redis["state"] != "connected" or redis["dropped"]:
                raise BenchError(f"Redis did not get everything that the hub had to tell: {redis}")
            for run in client.get("/api/runs?state=failed,timed_out,interrupted&limit=1")["runs"]:
                raise BenchError(f"run {run['id']} has failed: {run['reason']}: {run['error']}")

    def _submit(self, order: Order, numbers: range) -> None:
        with Client(self.base) as client:
            for n in numbers:
                args = {"shop": order.shop, "n": str(n)}
                client.post("/api/runs", {"spider": order.spider, "args": args, **self.order})

    def _address(self) -> str | None:
        ready = self.data / "ready.json"
        return str(json.loads(ready.read_text())["http"]) if ready.exists() else None


class Isolated(Hub):
    """The same hub; each run has a process of its own."""

    title = "reactorhub, isolate: process"
    order: Mapping[str, str] = {"isolate": "process"}


class Scrapyd(Contender):
    """scrapyd, started in the project's folder so that it serves this project without an egg."""

    title = "scrapyd"

    def __init__(self, project: Path, at_once: int) -> None:
        port = free_port()
        options = {"bind_address": "127.0.0.1", "http_port": port, "max_proc": at_once, "poll_interval": 0.1}
        lines = "".join(f"{name} = {value}\n" for name, value in options.items())
        (project / "scrapyd.conf").write_text(f"[scrapyd]\n{lines}")
        self._base = f"http://127.0.0.1:{port}"
        super().__init__([installed("scrapyd"), "--pidfile=", "--logfile=scrapyd.log"], project)

    def ready(self) -> None:
        """Wait until it answers, and has once listed the project's spiders."""
        self.wait_for(self._status)
        with Client(self._base) as client:
            client.get("/listspiders.json?project=default")

    def crawl(self, order: Order) -> None:
        """See :class:`Contender`."""
        with Client(self._base) as client:
            for n in order.numbers():
                fields = {"project": "default", "spider": order.spider, "shop": order.shop, "n": str(n)}
                answer = client.post_form("/schedule.json", fields)
                if answer["status"] != "ok":
                    raise BenchError(f"scrapyd has refused a run: {answer['message']}")
            idle = 0
            while idle < 2:  # between taking a run off its queue and starting it, scrapyd counts it nowhere
                time.sleep(POLL)
                status = client.get("/daemonstatus.json")
                idle = idle + 1 if status["pending"] + status["running"] == 0 else 0

    def _status(self) -> Any:
        try:
            with Client(self._base) as client:
                return client.get("/daemonstatus.json")
        except OSError:
            return None


class Site(Program):
    """A site to crawl: a module of this bench that writes its port to standard output."""

    module: str

    def __init__(self, folder: Path) -> None:
        super().__init__([sys.executable, "-m", self.module], folder, {"PYTHONPATH": str(CHECKOUT)})

    def ready(self) -> None:
        """Read the port that the site got."""
        assert self.process.stdout is not None
        port = self.process.stdout.readline().strip()
        if not port:
            raise BenchError(f"the site did not start. It said:\n{self.last_words()}")
        self.url = f"http://127.0.0.1:{port}"


class Shop(Site):
    """The site that all crawl."""

    module = "bench.shop"

    def arrivals(self) -> dict[int, list[float]]:
        """Return when each one-page crawl's page was asked for, since the last time."""
        with Client(self.url) as client:
            return {int(n): moments for n, moments in client.get("/arrivals").items()}
