"""The rules for a due tick that meets unfinished runs of its own schedule."""

from __future__ import annotations

from collections.abc import Sequence

from reactorhub.model import Overlap, Run, RunState


def refusal(policy: Overlap, unfinished: Sequence[Run]) -> str | None:
    """Return why a tick is to be skipped, or None where it becomes a run.

    :param unfinished: the runs of the same schedule that are not final, oldest first.
    """
    if policy is Overlap.ALLOW_ALL or not unfinished:
        return None
    if policy is Overlap.SKIP:
        return f"overlap is skip and run {unfinished[0].id} is still {unfinished[0].state.value}"
    waiting = [run for run in unfinished if run.state is RunState.QUEUED]
    if waiting:
        return f"overlap is buffer_one and run {waiting[0].id} already waits"
    return None


def waits_for_earlier(policy: Overlap) -> bool:
    """Whether a run admitted under ``policy`` has to wait until its schedule's earlier runs are final."""
    return policy is Overlap.BUFFER_ONE
