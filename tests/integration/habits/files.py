"""Projects that write files, and spiders with names that are not names of files."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.habits.habit import PAGE, Habit, Order, Outcome, spider
from tests.integration.hubs import Hub

YIELD = 'yield {"url": response.url}'
ITEM = {"url": PAGE}


def _own_feed(hub: Hub, folder: Path) -> None:
    assert json.loads((folder / "out" / "pages.json").read_text()) == [ITEM]
    (run,) = hub.get("/api/runs?spider=feeding")[1]["runs"]
    status, problem = hub.get(f"/api/runs/{run['id']}/items")
    assert status == 404
    assert "FEEDS" in json.dumps(problem)


def _cached_here(hub: Hub, folder: Path) -> None:
    assert (folder / ".scrapy" / "httpcache").is_dir()
    assert not (hub.folder / ".scrapy").exists()


def _cache(project: str, does: str) -> Habit:
    return Habit(
        does=does,
        project=project,
        spiders={
            project: spider(
                project,
                'yield {"flags": response.flags}',
                body="""
                async def start(self):
                    yield scrapy.Request(f"{self.shop}/one/1.html")

                """,
            )
        },
        settings="HTTPCACHE_ENABLED = True\n",
        orders=(
            Order(project, Outcome(items=({"flags": []},)), args={"shop": "SHOP"}),
            Order(project, Outcome(items=({"flags": ["cached"]},)), args={"shop": "SHOP"}),
        ),
        check=_cached_here,
    )


FILES = (
    Habit(
        does="yields text that UTF-8 cannot hold",
        project="surrogate",
        spiders={
            "surrogate": spider(
                "surrogate",
                'for title in ("before", "cut \\ud83d", "after"):\n    yield {"title": title}',
            )
        },
        orders=(
            Order(
                "surrogate",
                Outcome(items=({"title": "before"}, {"title": "cut \ud83d"}, {"title": "after"})),
            ),
        ),
    ),
    Habit(
        does="sets options of feeds, and no feed: batches, fields, storages",
        project="batched",
        spiders={
            "batched": spider(
                "batched",
                'yield {"url": response.url, "title": "x"}',
                body="""
                custom_settings = {
                    "FEED_EXPORT_BATCH_ITEM_COUNT": 10,
                    "FEED_EXPORT_FIELDS": ["title"],
                    "FEED_STORAGES": {"file": None},
                    "FEED_EXPORT_ENCODING": "ascii",
                }
                """,
            )
        },
        orders=(Order("batched", Outcome(items=({"url": PAGE, "title": "x"},))),),
    ),
    Habit(
        does="has a spider whose name holds a space, an accent and a percent sign",
        project="named",
        spiders={"named": spider("50 % café", YIELD)},
        orders=(Order("50 % café"),),
    ),
    Habit(
        does="has a spider whose name is a number",
        project="numbered",
        spiders={
            "numbered": spider("numbered", YIELD),
            "seven": spider("seven", YIELD).replace("'seven'", "7"),
        },
        orders=(Order("numbered"),),
        broken=("seven",),
        shared="that spider is listed as broken",
    ),
    Habit(
        does="writes its own `FEEDS`, by a relative path",
        project="feeding",
        spiders={
            "feeding": spider(
                "feeding",
                YIELD,
                body='custom_settings = {"FEEDS": {"out/pages.json": {"format": "json"}}}\n',
            )
        },
        orders=(Order("feeding", Outcome(items=None)),),
        check=_own_feed,
    ),
    _cache("cached", "keeps an HTTP cache in its `.scrapy` folder"),
    _cache("cached_too", "has a page in its cache that another project has fetched"),
    Habit(
        does="opens a file by a relative path",
        project="opening",
        spiders={"opening": spider("opening", 'yield {"words": open("words.txt").read()}')},
        files={"words.txt": "words"},
        orders=(
            Order(
                "opening",
                Outcome(items=({"words": "words"},)),
                shared=Outcome((), "failed", errors=1, log=("No such file or directory: 'words.txt'",)),
            ),
        ),
        shared="the path is below the folder in which the hub was started",
    ),
)
