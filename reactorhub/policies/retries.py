"""The rule that decides whether a run is retried, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from reactorhub.model.run import RetryRule, Run, RunSpec, RunState
from reactorhub.policies.jitter import hash_bits


def next_attempt(run: Run) -> RunSpec | None:
    """Return the spec of the next attempt of a final run, or None if the run is not retried.

    The answer depends only on the run itself, and the delay starts at the run's end. So the answer is the
    same at any later time.
    """
    rule, spec = run.spec.retry, run.spec
    if rule is None or run.finished_at is None or not is_tried_again(run):
        return None
    not_before = run.finished_at + timedelta(seconds=retry_delay(rule, spec.attempt, run.id))
    return replace(spec, attempt=spec.attempt + 1, retry_of=run.id, not_before=not_before)


def is_tried_again(run: Run) -> bool:
    """Whether a run in this state and with this attempt is retried."""
    rule = run.spec.retry
    return rule is not None and run.state in rule.on and run.spec.attempt <= rule.max_retries


def retry_delay(rule: RetryRule, attempt: int, seed: str) -> float:
    """Return the seconds between the end of an attempt and the next one. The first attempt is 1.

    :param seed: picks the share of the jitter. The same text picks the same share.
    """
    seconds = rule.delay
    for _ in range(attempt - 1):
        seconds = min(seconds * rule.backoff, rule.max_delay)
    return min(seconds, rule.max_delay) + rule.jitter * ((hash_bits(seed) >> 16) / 2**48)


FAILURES = frozenset({RunState.FAILED, RunState.TIMED_OUT})
"""The final states that count towards ``pause_on_failure``."""


def failures_in_a_row(newest_first: Iterable[Run], since: datetime | None) -> int:
    """Count the failures since the last success.

    Attempts that were retried do not count. Runs that were cancelled or interrupted do not count either,
    because they show nothing about the spider.

    :param newest_first: runs of one schedule.
    :param since: runs that ended up to this moment do not count.
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
    """Move each attempt to the place of its first attempt: runs of later ticks were created in between."""
    runs = list(newest_first)
    places = {run.id: place for place, run in enumerate(runs)}
    for run in reversed(runs):
        places[run.id] = places.get(run.spec.retry_of or "", places[run.id])
    return sorted(runs, key=lambda run: places[run.id])


def _ended_by(run: Run, moment: datetime | None) -> bool:
    return moment is not None and run.finished_at is not None and run.finished_at <= moment
