"""Detects edits of the rule that says when a schedule runs."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from reactorhub.model.schedule import Schedule
from reactorhub.triggers.cron import Cron
from reactorhub.triggers.rules import After, Interval, Once, Trigger
from reactorhub.triggers.window import Window


def fingerprint(schedule: Schedule) -> str:
    """Return a text that changes if, and only if, the rule that says when ``schedule`` runs is edited.

    The ledger stores the text, so it depends on the values of the rule alone.
    """
    facts = [*_facts(schedule.trigger), schedule.enabled]
    if schedule.max_runs is not None:
        facts.append(schedule.max_runs)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _facts(trigger: Trigger | None) -> list[Any]:
    facts: list[Any] = []
    match trigger:
        case None:
            facts = ["manual"]
        case Interval():
            facts = ["interval", trigger.every // timedelta(microseconds=1), trigger.anchor.isoformat()]
        case Cron():
            facts = ["cron", trigger.expressions, trigger.timezone]
        case Once():
            facts = ["once", trigger.moment.isoformat()]
        case After():
            facts = ["after", trigger.upstream, trigger.states]
        case Window():
            edges = [edge and edge.isoformat() for edge in (trigger.start, trigger.end)]
            left_out = [[rule.text, rule.timezone] for rule in trigger.exclude]
            facts = [*_facts(trigger.rule), "within", *edges, left_out]
        case other:
            facts = [other.kind, other.text, other.timezone]
    return facts
