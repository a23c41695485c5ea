"""The placeholders in the arguments of a spider: ``{run.id}``, ``{tick.nominal_time}`` and the like.

Orders and schedules keep their arguments as they were written. Each run fills in its own facts when it begins
and when it is shown, so that each attempt has its own id. Facts about the upstream run are filled in when the
run is made. ``{{run.id}}`` gives the text ``{run.id}``. Other text in braces is not a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from reactorhub.model.run import Run, RunSpec
from reactorhub.model.values import time_text

UPSTREAM = "upstream"
FACTS: Mapping[str, tuple[str, ...]] = {
    "run": ("id", "attempt", "created_at"),
    "schedule": ("name",),
    "tick": ("nominal_time",),
    UPSTREAM: ("run_id", "schedule", "state"),
}
"""The facts that placeholders can name, by the part before the dot."""

_NAME = rf"(?:{'|'.join(FACTS)})\.\w*"
_FOUND = re.compile(rf"\{{\{{({_NAME})\}}\}}|\{{({_NAME})\}}")


def with_upstream(args: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, str]:
    """Return arguments with the facts about the upstream run filled in, and all else as it was."""
    known = {f"{UPSTREAM}.{fact}": text for fact, text in facts.items()}
    return {
        name: _FOUND.sub(lambda found: known.get(found[2], found[0]), text) for name, text in args.items()
    }


def filled_args(run: Run) -> Mapping[str, str]:
    """Return the arguments that the spider of a run gets."""
    args = run.spec.args
    if not any("{" in text for text in args.values()):
        return args
    facts = {
        "run.id": run.id,
        "run.attempt": str(run.spec.attempt),
        "run.created_at": str(time_text(run.created_at)),
        "schedule.name": run.spec.schedule or "",
        "tick.nominal_time": str(time_text(run.spec.nominal_time or run.created_at)),
    }

    def fill(found: re.Match[str]) -> str:
        return f"{{{found[1]}}}" if found[1] else facts.get(found[2], found[0])

    return {name: _FOUND.sub(fill, text) for name, text in args.items()}


def spec_for_spider(run: Run) -> RunSpec:
    """Return the spec that a run crawls with: arguments filled in, and settings that tell the run."""
    spec = run.spec
    told: dict[str, Any] = {
        "REACTORHUB_RUN_ID": run.id,
        "REACTORHUB_SCHEDULE": spec.schedule or "",
        "REACTORHUB_NOMINAL_TIME": time_text(spec.nominal_time or run.created_at),
        "REACTORHUB_CREATED_AT": time_text(run.created_at),
        "REACTORHUB_ATTEMPT": spec.attempt,
    }
    return replace(spec, args=filled_args(run), settings={**spec.settings, **told})


def placeholders_in(args: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield (argument, part, fact) for each placeholder, even if there is no such fact."""
    for name, text in args.items():
        for found in _FOUND.finditer(text):
            if found[2]:
                part, _, fact = found[2].partition(".")
                yield name, part, fact
