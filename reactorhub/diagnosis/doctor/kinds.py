"""Every kind of finding, and how grave it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reactorhub.model.doctor import Severity

SEVERITIES: Mapping[str, Severity] = {
    "blocks": Severity.ISOLATE,
    "may-block": Severity.ADVICE,
    "spider-state": Severity.ADVICE,
    "class-state": Severity.ISOLATE,
    "module-state": Severity.ISOLATE,
    "kept-value": Severity.ADVICE,
    "import-time": Severity.ISOLATE,
    "import-random": Severity.ADVICE,
    "import-connection": Severity.ISOLATE,
    "relative-path": Severity.ISOLATE,
    "logging": Severity.ADVICE,
    "logger-level": Severity.ADVICE,
    "signals": Severity.ISOLATE,
    "working-folder": Severity.ISOLATE,
    "locale": Severity.ISOLATE,
    "warnings": Severity.ADVICE,
    "warnings-hidden": Severity.ADVICE,
    "umask": Severity.ISOLATE,
    "process-limits": Severity.ISOLATE,
    "sockets": Severity.ISOLATE,
    "streams": Severity.ADVICE,
    "reactor": Severity.ISOLATE,
    "own-process": Severity.ISOLATE,
    "event-loop": Severity.ISOLATE,
    "process-exit": Severity.ISOLATE,
    "exit": Severity.ADVICE,
    "patch": Severity.ISOLATE,
    "certificates": Severity.ADVICE,
    "environment": Severity.ADVICE,
    "random-seed": Severity.ADVICE,
    "start-requests": Severity.ADVICE,
    "ignored-setting": Severity.ADVICE,
}
"""Every kind of finding, and whether it asks for a process of its own."""


@dataclass(frozen=True, slots=True)
class Harm:
    """Why a call matters: ``why`` follows its name in a sentence, ``remedy`` says what to write instead."""

    kind: str
    why: str
    remedy: str


def table(*rows: tuple[str, Harm]) -> dict[str, Harm]:
    """Return a table of calls: each row has paths, and what is wrong with calling them."""
    return {f"{path}()": harm for names, harm in rows for path in names.split()}


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())
