"""Where a run crawls, and with how much memory: order, schedule, project and defaults may all say it."""

from __future__ import annotations

from collections.abc import Mapping

from reactorhub.model.isolation import Isolate, Isolation, IsolationWish


def isolation_of(*wishes: IsolationWish) -> Isolation:
    """Return what the wishes come to, of which earlier ones win over later ones."""
    isolate = next((each.isolate for each in wishes if each.isolate is not None), Isolate.NONE)
    limit = next((each.memory_limit for each in wishes if each.memory_limit is not None), None)
    return Isolation(isolate=isolate, memory_limit=None if isolate is Isolate.NONE else limit)


def isolation_mistakes(own: IsolationWish, chosen: Isolation, python: str | None) -> Mapping[str, str]:
    """Return what is wrong with a schedule's or an order's own wish, by key.

    :param chosen: what it comes to with the project's wish and the defaults.
    :param python: the project's own Python, if it has one.
    """
    if python is not None and own.isolate is Isolate.NONE:
        return {"isolate": f"the project has its own Python, {python}, so its runs are isolated; remove this"}
    if own.memory_limit is not None and chosen.isolate is Isolate.NONE:
        return {"memory_limit": "only a process of its own can have a limit; write isolate: process, too"}
    return {}
