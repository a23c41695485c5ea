"""Where a run crawls."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Isolate(str, Enum):
    """The places where a run can crawl."""

    NONE = "none"  # on the hub's own reactor, beside others
    PROCESS = "process"  # in a process of its own
    AUTO = "auto"  # one or the other, as the doctor says of the spider


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """Where a run crawls.

    ``memory_limit`` is in bytes, and None for a run that cannot have a process of its own.
    """

    isolate: Isolate = Isolate.NONE
    memory_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolationWish:
    """What an order, a schedule, a project or the defaults ask for; None where they do not say."""

    isolate: Isolate | None = None
    memory_limit: int | None = None


NO_WISH = IsolationWish()
