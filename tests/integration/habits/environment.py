"""Projects that ask where they are, and what they are set to."""

from __future__ import annotations

from tests.integration.habits.habit import Habit, Order, Outcome, spider

ENVIRONMENT = (
    Habit(
        does="calls `get_project_settings()` at import and in a callback",
        project="asking",
        spiders={
            "asking": spider(
                "asking",
                'yield {"import": DB, "run": get_project_settings().get("DB")}',
                top="""
                from scrapy.utils.project import get_project_settings
                DB = get_project_settings().get("DB")
                """,
            )
        },
        settings='DB = "asking.db"\n',
        orders=(Order("asking", Outcome(items=({"import": "asking.db", "run": "asking.db"},))),),
    ),
    Habit(
        does="has a helper module at its top, as another project has",
        project="euro",
        spiders={
            "euro": spider(
                "euro",
                'yield {"currency": common.CURRENCY, "mean": mean([1, 3])}',
                top="import common\nfrom statistics import mean\n",
            )
        },
        files={
            "common.py": 'CURRENCY = "EUR"\n',
            "statistics.py": 'raise SystemExit("a script for a report")\n',
        },
        orders=(Order("euro", Outcome(items=({"currency": "EUR", "mean": 2},))),),
    ),
    Habit(
        does="imports that helper module inside a function",
        project="dollar",
        spiders={
            "dollar": spider("dollar", 'import common\nyield {"currency": common.CURRENCY}'),
        },
        files={"common.py": 'CURRENCY = "USD"\n'},
        orders=(Order("dollar", Outcome(items=({"currency": "USD"},))),),
    ),
    Habit(
        does="has several sections of settings in its `scrapy.cfg`",
        project="staged",
        spiders={"staged": spider("staged", 'yield {"stage": self.settings["STAGE"]}')},
        settings='STAGE = "base"\n',
        files={"staged_project/staging.py": 'from staged_project.settings import *\nSTAGE = "staging"\n'},
        keys={"settings": "staging"},
        orders=(Order("staged", Outcome(items=({"stage": "staging"},))),),
    ),
    Habit(
        does="asks which run it works for, as scrapyd's spiders do",
        project="knowing",
        spiders={
            "knowing": spider(
                "knowing",
                """
                job = self.settings["SCRAPY_JOB"]
                yield {"same": self._job == job == self.run, "length": len(job)}
                """,
            )
        },
        schedules={"knowing": {"spider": "knowing", "args": {"run": "{run.id}"}}},
        orders=(Order("knowing", Outcome(items=({"same": True, "length": 36},)), schedule="knowing"),),
    ),
)
