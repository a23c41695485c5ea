"""Spiders that print, and spiders that set logging up for themselves."""

from __future__ import annotations

from pathlib import Path

from tests.integration.habits.habit import Habit, Order, Outcome, spider
from tests.integration.hubs import Hub

YIELD = '\nyield {"url": response.url}\n'
ERROR = 'self.logger.error("one error")' + YIELD
ONE_ERROR = Outcome(errors=1, log=("one error",))
LOST = Outcome(items=(), state="failed", errors=1, reason="ValueError: lost")


def _speaker(name: str, parse: str, **parts: str) -> dict[str, str]:
    return {name: spider(name, parse + YIELD, **parts)}


def _small_log(hub: Hub, folder: Path) -> None:
    assert len(hub.said) < 1_000_000
    assert hub.get("/healthz")[0] == 200


SPEECH = (
    Habit(
        does="prints to stderr, as a progress bar does",
        project="bar",
        spiders=_speaker(
            "bar", 'for n in range(3):\n    print(f"{n}/3 done", file=sys.stderr)', top="import sys\n"
        ),
        orders=(Order("bar", Outcome(log=("2/3 done",)), schedule="bar"),),
        schedules={"bar": {"spider": "bar", "expect": {"errors": 0}}},
    ),
    Habit(
        does="sets `LOG_STDOUT`",
        project="printer",
        spiders=_speaker("printer", 'print("PRINTED")', body='custom_settings = {"LOG_STDOUT": True}\n'),
        orders=(Order("printer", Outcome(log=("PRINTED",))),),
    ),
    Habit(
        does="writes bytes to `sys.stdout.buffer`",
        project="raw",
        spiders=_speaker("raw", 'sys.stdout.buffer.write(b"RAW BYTES\\n")', top="import sys\n"),
        orders=(Order("raw", Outcome(log=("RAW BYTES",))),),
    ),
    Habit(
        does="puts another stream in the place of `sys.stdout`",
        project="wrapped",
        spiders=_speaker(
            "wrapped",
            'print("WRAPPED")',
            top='import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")\n',
        ),
        orders=(Order("wrapped"), Order("wrapped")),
    ),
    Habit(
        does="calls `sys.stdout.reconfigure()`",
        project="reconfigured",
        spiders=_speaker(
            "reconfigured",
            'print("STILL HEARD")',
            top='import sys\nsys.stdout.reconfigure(encoding="utf-8")\n',
        ),
        orders=(Order("reconfigured", Outcome(log=("STILL HEARD",))),),
    ),
    Habit(
        does="gives `sys.stdout` to a program that it starts",
        project="parent",
        spiders=_speaker(
            "parent",
            'subprocess.run(["true"], stdout=sys.stdout, check=True)',
            top="import subprocess, sys\n",
        ),
        orders=(Order("parent"),),
    ),
    Habit(
        does="calls `configure_logging()` at the top of a module",
        project="configured",
        spiders={
            "configured": spider(
                "configured",
                ERROR,
                top="""
                from scrapy.utils.log import configure_logging
                configure_logging({"LOG_LEVEL": "ERROR"})
                """,
            )
        },
        orders=(Order("configured", ONE_ERROR), Order("configured", ONE_ERROR)),
        check=_small_log,
    ),
    Habit(
        does="adds a `StreamHandler` to the root logger",
        project="streaming",
        spiders={
            "streaming": spider(
                "streaming",
                ERROR,
                top="import logging\n",
                body="""
                def __init__(self, **kwargs):
                    logging.getLogger().addHandler(logging.StreamHandler())
                    super().__init__(**kwargs)

                """,
            )
        },
        orders=(Order("streaming", ONE_ERROR), Order("streaming", ONE_ERROR)),
        check=_small_log,
    ),
    Habit(
        does="calls `dictConfig()` with `disable_existing_loggers`, at import",
        project="dictated",
        spiders={
            "dictated": spider(
                "dictated",
                ERROR,
                top="""
                import logging.config
                logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
                """,
            )
        },
        orders=(Order("dictated", ONE_ERROR),),
    ),
    Habit(
        does="calls `logging.disable()` in a callback, and raises",
        project="muted",
        spiders={
            "muted": spider(
                "muted", 'logging.disable(logging.CRITICAL)\nraise ValueError("lost")', top="import logging\n"
            )
        },
        orders=(Order("muted", LOST), Order("muted", LOST)),
    ),
)
