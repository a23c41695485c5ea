"""Who decides where a run crawls: order before project, schedule before project, project before defaults."""

from __future__ import annotations

from itertools import product

import pytest

from reactorhub.model.isolation import NO_WISH, Isolate, Isolation, IsolationWish
from reactorhub.policies.isolation import isolation_mistakes, isolation_of

CHOICES = (None, *Isolate)


@pytest.mark.parametrize(("own", "project", "defaults"), list(product(CHOICES, repeat=3)))
def test_the_first_to_say_so_decides(
    own: Isolate | None, project: Isolate | None, defaults: Isolate | None
) -> None:
    """Of all that is said the nearest to the run wins; without any it shares the hub's."""
    said = [each for each in (own, project, defaults) if each is not None]
    chosen = isolation_of(*(IsolationWish(isolate=each) for each in (own, project, defaults)))
    assert chosen == Isolation(isolate=said[0] if said else Isolate.NONE)


def test_a_limit_is_chosen_by_itself() -> None:
    """The nearest limit wins, whoever decides about the process."""
    process, far, near = (
        IsolationWish(isolate=Isolate.PROCESS),
        IsolationWish(memory_limit=2),
        IsolationWish(memory_limit=1),
    )
    assert isolation_of(NO_WISH, near, process, far) == Isolation(isolate=Isolate.PROCESS, memory_limit=1)


def test_no_limit_without_a_process() -> None:
    """A default limit is left aside for a run that shares the hub's process."""
    assert isolation_of(NO_WISH, IsolationWish(memory_limit=1)) == Isolation()


@pytest.mark.parametrize(
    ("wish", "python", "keys"),
    [
        (IsolationWish(), None, []),
        (IsolationWish(isolate=Isolate.NONE), None, []),
        (IsolationWish(isolate=Isolate.NONE), "/venv/bin/python", ["isolate"]),
        (IsolationWish(isolate=Isolate.PROCESS, memory_limit=1), None, []),
        (IsolationWish(isolate=Isolate.AUTO, memory_limit=1), None, []),
        (IsolationWish(isolate=Isolate.AUTO), "/venv/bin/python", []),
        (IsolationWish(memory_limit=1), None, ["memory_limit"]),
    ],
)
def test_mistakes(wish: IsolationWish, python: str | None, keys: list[str]) -> None:
    """What cannot be is named by its key."""
    assert list(isolation_mistakes(wish, isolation_of(wish), python)) == keys
