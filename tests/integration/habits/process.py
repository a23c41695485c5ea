"""Spiders that treat the process as theirs."""

from __future__ import annotations

from pathlib import Path

from tests.integration.habits.habit import Habit, Order, Outcome, spider
from tests.integration.hubs import Hub

YIELD = '\nyield {"url": response.url}\n'
REFUSED = Outcome((), "failed", 1, "would end the hub")
LEFT = Outcome(items=(), state="failed", errors=1, reason="SystemExit")


def _loads_again(hub: Hub, folder: Path) -> None:
    assert hub.post("/api/reload")[0] == 200
    assert hub.get("/api/status")[1]["config"]["errors"] == []


def _in_order(hub: Hub, folder: Path) -> None:
    """The newest is called first, and what was taken out is not called."""
    newest = hub.get("/api/runs?spider=tidy&limit=1")[1]["runs"][0]["id"]
    log = hub.log(newest)
    assert log.index("LAST never") < log.index("LAST second") < log.index("LAST first")
    assert "ZeroDivisionError" not in log


def _said_so(hub: Hub, folder: Path) -> None:
    """One line names the project and what its import had changed."""
    line = next(each for each in hub.output.splitlines() if "the import of project 'patching'" in each)
    assert all(what in line for what in ("asyncio.Task", "JSONEncoder.default"))


PROCESS = (
    Habit(
        does="starts a `CrawlerProcess` at the top of a module",
        project="scripted",
        spiders={
            "good": spider("good", YIELD),
            "scripty": spider("scripty", YIELD)
            + """
from scrapy.crawler import CrawlerProcess

process = CrawlerProcess()
process.crawl(Reader)
process.start()
""",
        },
        orders=(Order("good"),),
        broken=("scripty",),
        shared="that module is broken, and the others run",
    ),
    Habit(
        does="takes the handler of SIGTERM",
        project="deaf",
        spiders={
            "deaf": spider(
                "deaf",
                "signal.signal(signal.SIGTERM, lambda *args: None)" + YIELD,
                top="import signal\n",
            )
        },
        orders=(Order("deaf", shared=Outcome(log=("signal.signal does nothing here",))),),
        shared="the handler is not taken, and the log says so",
    ),
    Habit(
        does="calls `os.chdir()` in a callback",
        project="moving",
        spiders={
            "moving": spider(
                "moving",
                "os.chdir(tempfile.gettempdir())" + YIELD,
                top="import os, tempfile\n",
            )
        },
        orders=(
            Order("moving", shared=Outcome((), "failed", 1, "os.chdir would change the folder of all runs")),
        ),
        shared="the run gets an exception that says why",
        check=_loads_again,
    ),
    Habit(
        does="calls `sys.exit()` in a callback",
        project="leaving",
        spiders={"leaving": spider("leaving", "sys.exit(3)", top="import sys\n")},
        orders=(Order("leaving", LEFT), Order("leaving", LEFT)),
    ),
    Habit(
        does="registers a function with `atexit` in a callback",
        project="tidy",
        spiders={
            "tidy": spider(
                "tidy",
                """
                for word in ("first", "second"):
                    atexit.register(self.say, word)
                atexit.register(self.say, "never")
                atexit.register(exec, "1 / 0")
                yield {"url": response.url}
                """,
                top="import atexit\n",
                body="""
                def say(self, word):
                    print("LAST", word)

                def closed(self, reason):
                    for word in range(3):
                        atexit.unregister(exec)
                """,
            )
        },
        orders=(Order("tidy", Outcome(log=("LAST never",))),) * 2,
        check=_in_order,
    ),
    Habit(
        does="replaces `json.JSONEncoder.default`, or what `nest_asyncio` replaces, at import",
        project="patching",
        spiders={
            "patching": spider(
                "patching",
                'yield {"at": Path("/shop")}',
                top="""
                import asyncio, json
                from pathlib import Path

                json.JSONEncoder.default = lambda self, value: str(value)
                asyncio.Task = asyncio.tasks.Task = asyncio.tasks._PyTask
                """,
            )
        },
        orders=(
            Order(
                "patching",
                Outcome(items=({"at": "/shop"},)),
                Outcome((), "failed", 1, "1 item could not be stored"),
            ),
        ),
        shared="it is put back at once, and the hub's log says so",
        check_shared=_said_so,
    ),
    Habit(
        does="ends its process, by `os._exit()` or a signal to itself",
        project="quitting",
        spiders={
            "exiting": spider("exiting", "os._exit(3)", top="import os\n"),
            "killing": spider("killing", "os.kill(os.getpid(), signal.SIGUSR1)", top="import os, signal\n"),
        },
        orders=(
            Order("exiting", Outcome((), "failed", 0, "exit"), REFUSED),
            Order("killing", Outcome((), "failed", 0, "killed by SIGUSR1"), REFUSED),
        ),
        shared="the run gets an exception that says why",
    ),
    Habit(
        does="ends itself with a reason of its own, which `expect.finish_reason` names",
        project="caught_up",
        spiders={
            "caught_up": spider(
                "caught_up",
                'yield {"url": response.url}\nraise CloseSpider("caught_up")',
                top="from scrapy.exceptions import CloseSpider\n",
            )
        },
        schedules={
            "news": {
                "spider": "caught_up",
                "expect": {"finish_reason": ["finished", "caught_up"]},
                "retry": {"max_retries": 1, "delay": "1s"},
            }
        },
        orders=(Order("caught_up", schedule="news"),),
    ),
)
