"""Spiders that keep something in a class or in a module."""

from __future__ import annotations

from pathlib import Path

from tests.integration.habits.habit import PAGE, Habit, Order, Outcome, spider
from tests.integration.hubs import Hub

NOTHING = Outcome(items=())


def _two_stamps(hub: Hub, folder: Path) -> None:
    first, second = _stamps(hub)
    assert first != second


def _one_stamp(hub: Hub, folder: Path) -> None:
    first, second = _stamps(hub)
    assert first == second


def _stamps(hub: Hub) -> list[str]:
    runs = hub.get("/api/runs?spider=stamped")[1]["runs"]
    return [hub.items(run["id"])[0]["stamp"] for run in runs]


REMEMBERS = """
if response.url not in self.seen:
    self.seen.add(response.url)
    yield {"url": response.url}
"""

STATE = (
    Habit(
        does="keeps what it has seen in a set of its class",
        project="memory",
        spiders={"memory": spider("memory", REMEMBERS, body="seen = set()\n")},
        orders=(Order("memory"), Order("memory"), Order("memory")),
    ),
    Habit(
        does="appends to the `start_urls` of its class",
        project="growing",
        spiders={
            "growing": spider(
                "growing",
                'yield {"page": response.text}',
                body="""
                start_urls = []

                def __init__(self, page, **kwargs):
                    super().__init__(**kwargs)
                    self.start_urls.append(f"data:text/html,{page}")

                """,
            ).replace(f"    start_urls = [{PAGE!r}]\n", "")
        },
        orders=tuple(
            Order("growing", Outcome(items=({"page": page},)), args={"page": page})
            for page in ("1", "2", "3")
        ),
    ),
    Habit(
        does="changes `custom_settings` of its class in `__init__`",
        project="tuned",
        spiders={
            "tuned": spider(
                "tuned",
                'yield {"seen": sorted(self.custom_settings["MY_LEVELS"])}',
                body="""
                custom_settings = {"MY_LEVELS": {}}

                def __init__(self, level, **kwargs):
                    super().__init__(**kwargs)
                    self.custom_settings["MY_LEVELS"][level] = True

                """,
            )
        },
        orders=tuple(
            Order("tuned", Outcome(items=({"seen": [level]},)), args={"level": level}) for level in ("a", "b")
        ),
    ),
    Habit(
        does="keeps what it has seen in a module",
        project="module_memory",
        spiders={
            "module_memory": spider(
                "module_memory", REMEMBERS.replace("self.seen", "seen"), top="seen = set()\n"
            )
        },
        orders=(Order("module_memory"), Order("module_memory", shared=NOTHING)),
        shared="the second run finds what the first has left",
    ),
    Habit(
        does="opens a connection when a module is imported, and closes it in `close_spider`",
        project="stored",
        spiders={"stored": spider("stored", 'yield {"url": response.url}')},
        settings='ITEM_PIPELINES = {"stored_project.pipelines.Store": 300}\n',
        files={
            "stored_project/pipelines.py": """
            import sqlite3

            connection = sqlite3.connect(":memory:", check_same_thread=False)
            connection.execute("CREATE TABLE pages (url)")

            class Store:
                def process_item(self, item):
                    connection.execute("INSERT INTO pages VALUES (?)", (item["url"],))
                    return item

                def close_spider(self):
                    connection.close()
            """
        },
        orders=(
            Order("stored"),
            Order(
                "stored", shared=Outcome((), "failed", errors=1, log=("Cannot operate on a closed database",))
            ),
        ),
        shared="the second run finds the connection closed, and says so",
    ),
    Habit(
        does="computes a value when a module is imported",
        project="stamped",
        spiders={
            "stamped": spider(
                "stamped",
                'yield {"stamp": self.stamp}',
                top="import datetime\n",
                body='stamp = f"{datetime.datetime.now():%H:%M:%S.%f}"\n',
            )
        },
        orders=(Order("stamped", Outcome(items=None)), Order("stamped", Outcome(items=None))),
        shared="each run has the value of the import",
        check=_two_stamps,
        check_shared=_one_stamp,
    ),
)
