"""More habits of the same kinds, which the page does not list one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.integration.habits.habit import Habit, Order, Outcome, spider
from tests.integration.hubs import Hub

YIELD = '\nyield {"url": response.url}\n'
ERROR = 'self.logger.error("one error")\nself.logger.info("one word")' + YIELD
ONE_ERROR = Outcome(errors=1, log=("one error", "one word"))
ITEM = Outcome()


def _habit(
    project: str,
    parse: str,
    outcome: Outcome = ITEM,
    shared: Outcome | None = None,
    *,
    base: str = "",
    **parts: str,
) -> Habit:
    """A project of one spider, which is ordered twice with the same outcome."""
    source = spider(project, parse, **parts)
    if base:
        source = source.replace("Reader(scrapy.Spider)", f"Reader({base})")
    return Habit("", project, {project: source}, (Order(project, outcome, shared, {"shop": "SHOP"}),) * 2)


def _logs(project: str, top: str) -> Habit:
    """A project that sets logging up when it is imported."""
    return _habit(project, ERROR, ONE_ERROR, top=f"import logging, logging.config, sys\n{top}\n")


def _logs_in_run(project: str, call: str) -> Habit:
    """A project that sets logging up in its run, before it logs."""
    isolated = Outcome(errors=1)  # its log is in the hands of the project, as under ``scrapy crawl``
    return _habit(
        project, f"{call}\n{ERROR}", isolated, ONE_ERROR, top="import logging, logging.config, sys\n"
    )


LOGGING = (
    _logs("forced", "logging.basicConfig(level=logging.DEBUG, force=True, stream=sys.stdout)"),
    _logs("captured", "logging.captureWarnings(True)"),
    _logs("handled", "logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))"),
    _logs("emptied", "logging.getLogger().handlers.clear()"),
    _logs_in_run("emptied_late", "logging.root.handlers[:] = []"),
    _logs_in_run("forced_late", "logging.basicConfig(level=logging.DEBUG, force=True)"),
    _logs_in_run("shut_down", "logging.shutdown()"),
    _habit(
        "loud",
        ERROR,
        Outcome(None, "failed", 1, "this handler is broken"),
        ONE_ERROR,
        top="""
        import logging

        class Raising(logging.Handler):
            def emit(self, record):
                raise RuntimeError("this handler is broken")
        logging.getLogger().addHandler(Raising())
        """,
    ),
)

LOGGING += (
    replace(
        _habit(
            "fields",
            'self.logger.error("a %(mood)s error", {"mood": "bad"})' + YIELD,
            Outcome(errors=1, log=("ERROR fields: a bad error", "INFO fields: Spider opened")),
            top="""
            import logging
            plain = logging.getLogRecordFactory()

            def factory(*args, **kwargs):
                record = plain(*args, **kwargs)
                record.project = "fields"
                return record
            logging.setLogRecordFactory(factory)
            """,
        ),
        settings='LOG_FORMAT = "%(levelname)s %(project)s: %(message)s"\n',
    ),
    _habit(
        "discreet",
        'self.logger.info("the password is 1234")\nself.logger.info("no secret")' + YIELD,
        Outcome(log=("SHOP: no secret",), not_in_log=("1234",)),
        top="import logging\n",
        body="""
        async def start(self):
            for handler in logging.getLogger().handlers:
                handler.setFormatter(logging.Formatter("SHOP: %(message)s"))
                handler.addFilter(lambda record: "password" not in record.getMessage())
            yield scrapy.Request("data:text/html,one")

        """,
    ),
    _habit(
        "remade",
        'logging.getLogger("remade").error("one error")' + YIELD,
        Outcome(errors=1, log=("one error",)),
        top="""
        import logging

        class Making(logging.Handler):
            def emit(self, record):
                logging.makeLogRecord(record.__dict__)
        logging.getLogger().addHandler(Making())
        """,
    ),
    _habit(
        "silent",
        ERROR,
        Outcome(errors=1, not_in_log=("one error", "Spider opened")),
        body='custom_settings = {"LOG_ENABLED": False}\n',
    ),
    _habit("lone", 'self.logger.error("cut: \\udce9")' + YIELD, Outcome(errors=1, log=("cut: \\udce9",))),
)

PRINTING = (
    _habit(
        "threaded",
        """
        worker = threading.Thread(target=print, args=("FROM A THREAD",))
        worker.start()
        worker.join()
        yield {"url": response.url}
        """,
        Outcome(log=("FROM A THREAD",)),
        top="import threading\n",
    ),
    _habit(
        "redirected",
        """
        with contextlib.redirect_stdout(io.StringIO()) as heard:
            print("kept")
        yield {"url": response.url, "heard": heard.getvalue()}
        """,
        Outcome(items=({"url": "data:text/html,one", "heard": "kept\n"},)),
        top="import contextlib, io\n",
    ),
    _habit(
        "closing",
        'sys.stdout.close()\nprint("STILL HERE")' + YIELD,
        Outcome((), "failed", 1, "closed file"),
        Outcome(log=("STILL HERE",)),
        top="import sys\n",
    ),
    _habit(
        "tracing",
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.print_exc()" + YIELD,
        Outcome(log=("ZeroDivisionError",)),
        top="import traceback\n",
    ),
    _habit(
        "warning",
        'warnings.warn("old ways")' + YIELD,
        Outcome(log=("UserWarning: old ways",)),
        top="import warnings\n",
    ),
)

CLASS_STATE = (
    _habit(
        "nested",
        """
        self.counts["pages"].append(response.url)
        yield {"pages": len(self.counts["pages"])}
        """,
        Outcome(items=({"pages": 1},)),
        body='counts = {"pages": []}\n',
    ),
    _habit(
        "by_class",
        """
        type(self).queue.append(1)
        self.__class__.total += 1
        yield {"queue": len(self.queue), "total": self.total}
        """,
        Outcome(items=({"queue": 1, "total": 1},)),
        top="from collections import deque\n",
        body="queue = deque()\ntotal = 0\n",
    ),
    _habit(
        "inherited",
        'self.seen.add(1)\nself.visits["x"] += 1\nyield {"seen": len(self.seen), "visits": self.visits["x"]}',
        Outcome(items=({"seen": 1, "visits": 1},)),
        top="""
        from collections import defaultdict

        class Base(scrapy.Spider):
            seen = set()
            visits = defaultdict(int)
        """,
        base="Base",
    ),
)

ITEMS = (
    _habit(
        "precise",
        'yield {"third": str(Decimal(1) / 3), "shop": SHOP.get()}',
        Outcome(items=({"third": "0.3333", "shop": "books"},)),
        top="""
        import decimal
        from contextvars import ContextVar
        from decimal import Decimal

        SHOP = ContextVar("shop", default="none")
        SHOP.set("books")
        decimal.getcontext().prec = 4
        """,
    ),
    _habit(
        "typed",
        """
        yield Page(url=response.url, price=Decimal("1.50"), at=date(2026, 1, 2), tags={"a"})
        """,
        Outcome(items=({"url": "data:text/html,one", "price": "1.50", "at": "2026-01-02", "tags": ["a"]},)),
        top="""
        from dataclasses import dataclass
        from datetime import date
        from decimal import Decimal

        @dataclass
        class Page:
            url: str
            price: Decimal
            at: date
            tags: set
        """,
    ),
    _habit(
        "unicode",
        'yield {"naïve ключ": "日本 \\u2028 \\x00 🕷"}',
        Outcome(items=({"naïve ключ": "日本 \u2028 \x00 🕷"},)),
    ),
)

BY_NAME = (
    _habit(
        "by_name",
        "Reader.seen.append(1)\nyield {'seen': len(Reader.seen)}",
        Outcome(items=({"seen": 1},)),
        body="seen = []\n",
    ),
)

OUTCOMES = (
    _habit(
        "old_style",
        "yield {}",
        Outcome(None, "failed", 0, "without one request"),
        base="Old",
        top="""
        class Old(scrapy.Spider):
            start_urls = ()

            def start_requests(self):
                yield scrapy.Request("data:,x")
        """,
    ),
    _habit(
        "refused",
        "yield {}",
        Outcome((), "failed", 0, "every page was refused: 404 × 2"),
        body="""
    async def start(self):
        for _ in range(2):
            yield scrapy.Request(f"{self.shop}/broken/404", dont_filter=True)

    """,
    ),
    _habit(
        "unstored",
        YIELD,
        Outcome(None, "failed", None, "1 item"),
        body="""
        custom_settings = {"FEEDS": {"/proc/no/such/place.json": {"format": "json"}}}
        """,
    ),
    _habit("not_json", 'self.crawler.stats.set_value("ratio", float("nan"))' + YIELD),
    _habit(
        "odd_stat",
        'self.crawler.stats.set_value("odd", Odd())' + YIELD,
        Outcome(errors=1, log=("Stats close failure",)),
        top="""
        class Odd:
            def __repr__(self):
                raise SystemExit(9)
        """,
    ),
)


def _pictures(hub: Hub, folder: Path) -> None:
    assert len(list((folder / "pictures" / "full").iterdir())) == 1
    assert (folder / "job" / "requests.seen").exists()


STORES = (
    replace(
        _habit(
            "storing",
            'yield {"file_urls": [f"{self.shop}/one/1.html"]}',
            Outcome(None),
            body="""
            custom_settings = {
                "ITEM_PIPELINES": {"scrapy.pipelines.files.FilesPipeline": 1},
                "FILES_STORE": "pictures",
                "JOBDIR": "job",
            }
            """,
        ),
        check=_pictures,
    ),
)

PROCESS_WIDE = (
    _habit(
        "surrounded",
        """
        yield {"seen": os.environ.get("SHOP_SEEN"), "set": os.environ["SHOP_SET"]}
        os.environ["SHOP_SEEN"] = "by an earlier run"
        """,
        Outcome(items=({"seen": None, "set": "at import"},)),
        top='import os\nos.environ["SHOP_SET"] = "at import"\n',
    ),
    _habit(
        "dispatched",
        YIELD,
        Outcome(log=("heard dispatched",)),
        top="from pydispatch import dispatcher\nfrom scrapy import signals\n",
        body="""
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            dispatcher.connect(self.heard, signals.spider_closed)

        def heard(self, spider):
            assert spider is self
            self.logger.info("heard %s", spider.name)

        """,
    ),
    _habit(
        "stopping",
        "reactor.stop()" + YIELD,
        Outcome(None, "failed", 0, "shutdown"),
        Outcome(errors=1),
        top="from twisted.internet import reactor\n",
    ),
    _habit("alarmed", "signal.alarm(1)" + YIELD, Outcome(None), top="import signal\n"),
    _habit(
        "childish",
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)" + YIELD,
        Outcome(None),
        top="import signal\n",
    ),
    _habit("interrupting", "raise KeyboardInterrupt", Outcome((), "failed", 1, "KeyboardInterrupt")),
    _habit("strict", 'warnings.simplefilter("error")' + YIELD, top="import warnings\n"),
    _habit("masking", "os.umask(0o777)" + YIELD, Outcome(None), top="import os\n"),
    _habit("uncollected", "gc.disable()" + YIELD, top="import gc\n"),
    _habit(
        "hooked", "sys.excepthook = None\nthreading.excepthook = None" + YIELD, top="import sys, threading\n"
    ),
)

AT_IMPORT = tuple(
    Habit(
        "",
        project,
        {"good": spider(f"{project}_good", YIELD), "bad": spider(f"{project}_bad", YIELD, top=top)},
        (Order(f"{project}_good"),),
        broken=("bad",),
    )
    for project, top in {
        "exits": "import sys\nsys.exit('usage: ...')\n",
        "runs_reactor": "from twisted.internet import reactor\nreactor.run()\n",
        "moves": "import os\nos.chdir('/')\n",
        "interrupts": "raise KeyboardInterrupt\n",
        "unreadable": "def broken(:\n",
    }.items()
)

SIBLINGS: tuple[Habit, ...] = (
    *LOGGING,
    *PRINTING,
    *CLASS_STATE,
    *ITEMS,
    *BY_NAME,
    *OUTCOMES,
    *STORES,
    *PROCESS_WIDE,
    *AT_IMPORT,
)
