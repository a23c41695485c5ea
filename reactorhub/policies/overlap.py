"""The rules for a due tick whose schedule still has unfinished runs.

A run that waits for its retry is unfinished too: the next tick finds the schedule busy.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from itertools import takewhile

from reactorhub.model.run import Run, RunState, Stop
from reactorhub.model.schedule import Overlap, Schedule, at_once
from reactorhub.triggers.wall_clock import utc_text

PAUSED = "the schedule is paused: "
"""The reason of a tick that is skipped because of a pause begins with this text."""


class Decision(Enum):
    """What becomes of a due tick."""

    RUN = "run"  # a run that needs nothing but a slot
    WAIT = "wait"  # a run that waits until earlier runs of its schedule have ended
    SKIP = "skip"  # a row in the ledger, and no run


def decide(policy: Overlap, limit: int | None, unfinished: int, waiting: int) -> Decision:
    """Decide what becomes of a due tick. The hub and its simulation share this rule.

    :param limit: how many runs of the schedule may go on at once; None for any number.
    :param unfinished: how many runs of the schedule are not final.
    :param waiting: how many of these are queued; retries do not count.
    """
    if limit is None or unfinished < limit:
        return Decision.RUN
    match policy:
        case Overlap.SKIP | Overlap.ALLOW_ALL:
            return Decision.SKIP
        case Overlap.BUFFER_ONE:
            return Decision.SKIP if waiting else Decision.WAIT
        case Overlap.BUFFER_ALL | Overlap.CANCEL_OTHER:
            return Decision.WAIT


def buffers(policy: Overlap) -> bool:
    """Whether a run waits for earlier runs of its schedule under this policy."""
    return decide(policy, limit=1, unfinished=1, waiting=0) is Decision.WAIT


def skip_reason(schedule: Schedule, unfinished: Sequence[Run]) -> str | None:
    """Return why a due tick is skipped, or None if it becomes a run.

    :param unfinished: the runs of the same schedule that are not final, oldest first.
    """
    waiting = [run for run in unfinished if run.state is RunState.QUEUED and run.spec.retry_of is None]
    limit, policy = at_once(schedule), schedule.overlap
    if decide(policy, limit, len(unfinished), len(waiting)) is not Decision.SKIP:
        return None
    if policy is Overlap.BUFFER_ONE:
        return f"overlap is buffer_one and run {waiting[0].id} already waits"
    oldest, number = unfinished[0], len(unfinished)
    if limit == 1 and policy is not Overlap.ALLOW_ALL:
        return f"overlap is {policy.value} and run {oldest.id} {_stands(oldest)}"
    still = f"{number} runs are" if number > 1 else "a run is"
    return f"max_instances is {limit} and {still} not over; the oldest, {oldest.id}, {_stands(oldest)}"


def _stands(run: Run) -> str:
    if run.state is RunState.QUEUED and run.spec.retry_of is not None:
        return f"waits to be tried again, as attempt {run.spec.attempt}"
    return f"is still {run.state.value}"


def starts_at_most(schedule: Schedule | None, run: Run) -> int | None:
    """Return how many runs of the schedule may go on once this run starts; None if the run need not wait.

    A retry does not wait: its first attempt has waited, and later runs wait for the retry. A run that was
    started by hand does not wait either.

    :param schedule: the run's schedule; None if the run has none, or if it is no longer in the file.
    """
    first = run.spec.retry_of is None and run.spec.nominal_time is not None
    if schedule is None or not first or not buffers(schedule.overlap):
        return None
    return at_once(schedule)


def replaces_others(schedule: Schedule | None, run: Run) -> bool:
    """Whether this run replaces the earlier runs of its schedule, which are then cancelled."""
    policy = None if schedule is None else schedule.overlap
    return policy is Overlap.CANCEL_OTHER and run.spec.retry_of is None


def older(run: Run, unfinished: Sequence[Run]) -> list[Run]:
    """Return the runs of earlier ticks than the tick of ``run``, and those started by hand before ``run``.

    :param unfinished: the runs of the same schedule that are not final, oldest first.
    """
    before = {mate.id for mate in takewhile(lambda mate: mate.id != run.id, unfinished)}
    return [mate for mate in unfinished if _is_earlier(mate, run, mate.id in before)]


def _is_earlier(run: Run, than: Run, was_made_before: bool) -> bool:
    mine, its = run.spec.nominal_time, than.spec.nominal_time
    return was_made_before if mine is None or its is None else mine < its


def replacement(nominal_time: datetime | None) -> Stop:
    """Return the order that ends a run because the tick of ``nominal_time`` replaces it."""
    tick = "a newer run" if nominal_time is None else f"the tick of {utc_text(nominal_time)}"
    reason = f"overlap is cancel_other and {tick} takes this run's place"
    return Stop(state=RunState.CANCELLED, reason=reason)
