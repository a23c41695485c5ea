"""The rule that says whether a run that has ended is tried again, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from reactorhub.model.run import RetryRule, Run, RunSpec, RunState
from reactorhub.policies.jitter import hash_bits


def next_attempt(run: Run) -> RunSpec | None:
    """Return what the next attempt of a final run is meant to be, or None where there is none.

    It is counted from the run's end, and by nothing but what the run itself carries, so the answer is the
    same at any later time.
    """
    rule, spec = run.spec.retry, run.spec
    if rule is None or run.finished_at is None or not is_tried_again(run):
        return None
    not_before = run.finished_at + timedelta(seconds=retry_delay(rule, spec.attempt, run.id))
    return replace(spec, attempt=spec.attempt + 1, retry_of=run.id, not_before=not_before)


def is_tried_again(run: Run) -> bool:
    """Whether a run in this state and of this attempt has another one coming."""
    rule = run.spec.retry
    return rule is not None and run.state in rule.on and run.spec.attempt <= rule.max_retries


def retry_delay(rule: RetryRule, attempt: int, seed: str) -> float:
    """Return how many seconds lie between the end of an attempt, from 1 on, and the next one.

    :param seed: what the share of the jitter is taken from; the same text gives the same share.
    """
    seconds = rule.delay
    for _ in range(attempt - 1):
        seconds = min(seconds * rule.backoff, rule.max_delay)
    return min(seconds, rule.max_delay) + rule.jitter * ((hash_bits(seed) >> 16) / 2**48)


FAILURES = frozenset({RunState.FAILED, RunState.TIMED_OUT})
"""The ends that count towards ``pause_on_failure``."""


def failures_in_a_row(newest_first: Iterable[Run], since: datetime | None) -> int:
    """Count the failures since the last success.

    Attempts that were followed by another one do not count, nor do runs that were cancelled or interrupted:
    those say nothing about the spider.

    :param newest_first: runs of one schedule.
    :param since: what ended up to this moment does not count.
    """
    count = 0
    for run in _by_first_attempt(newest_first):
        if _ended_by(run, since):
            continue
        if run.state is RunState.SUCCEEDED:
            break
        count += run.state in FAILURES and not is_tried_again(run)
    return count


def _by_first_attempt(newest_first: Iterable[Run]) -> list[Run]:
    """Put each attempt where its first one is: while it waited, runs of later ticks were made."""
    runs = list(newest_first)
    places = {run.id: place for place, run in enumerate(runs)}
    for run in reversed(runs):
        places[run.id] = places.get(run.spec.retry_of or "", places[run.id])
    return sorted(runs, key=lambda run: places[run.id])


def _ended_by(run: Run, moment: datetime | None) -> bool:
    return moment is not None and run.finished_at is not None and run.finished_at <= moment
