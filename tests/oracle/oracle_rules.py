"""Schedules as the oracle knows them: what a second of theirs is, by nothing but looking at that second.

No line of the hub's own rules is used here. Times are whole microseconds since the epoch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import gcd
from typing import Any

SECOND = 1_000_000
LENGTHS = (613_000, 2_357_000, 5_119_000, 11_731_000, 47_903_000)
RETRY_DELAY = 2_011_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One schedule. ``when`` is one of ("interval", seconds, anchor or None), ("seconds", n), ("minutes", n),
    ("once", second), ("after", names, states) and ("hand",); ``without`` ("seconds", first, last) or
    ("minutes", n). All seconds are whole ones since the epoch; ``timeout`` is in microseconds."""

    name: str
    when: tuple[Any, ...]
    start: int | None = None
    end: int | None = None
    without: tuple[Any, ...] | None = None
    jitter: int = 0
    overlap: str = "skip"
    instances: int | None = None
    catchup: str = "latest"
    window: int = 600
    most: int = 100
    enabled: bool = True
    retries: int = 0
    timeout: int | None = None
    runs: int | None = None
    failures: int | None = None
    on_start: bool = False
    queue: str = "default"
    priority: int = 0

    @property
    def timed(self) -> bool:
        """Whether it has ticks of its own."""
        return self.enabled and self.when[0] not in ("after", "hand")

    @property
    def identity(self) -> tuple[Any, ...]:
        """What its ticks depend on."""
        return self.when, self.start, self.end, self.without, self.enabled

    @property
    def at_once(self) -> int | None:
        """How many of its runs may go on at once."""
        return self.instances or (None if self.overlap == "allow_all" else 1)

    def ticks(self, second: int) -> bool:
        """Whether this second is one of its ticks."""
        if not self._named(second) or (self.start is not None and second < self.start):
            return False
        return not (self.end is not None and second > self.end) and not self._left_out(second)

    def ticks_between(self, first: int, last: int) -> list[int]:
        """The seconds from ``first`` to ``last`` that are its ticks. Looks only where one can be."""
        first = first if self.start is None else max(first, self.start)
        last = last if self.end is None else min(last, self.end)
        step, origin = self._raster()
        return [
            second for second in range(first + (origin - first) % step, last + 1, step) if self.ticks(second)
        ]

    def _raster(self) -> tuple[int, int]:
        """A step and a second, from which steps lead to every tick."""
        match self.when:
            case ("interval", every, anchor):
                return every, anchor or 0
            case ("once", second):
                return 1 << 40, second
            case ("seconds", n):
                return gcd(n, 60), 0
        return 60, 0

    def _named(self, second: int) -> bool:
        kind, *facts = self.when
        if kind == "interval":
            every, anchor = facts
            return bool((second - (anchor or 0)) % every == 0 and (anchor is None or second >= anchor))
        if kind == "once":
            return bool(second == facts[0])
        return _clock(second, kind, facts[0])

    def _left_out(self, second: int) -> bool:
        match self.without:
            case ("seconds", first, last):
                return bool(first <= second % 60 <= last)
            case ("minutes", n):
                return bool(second // 60 % 60 % n == 0)
        return False

    def starts(self, second: int) -> int:
        """The microsecond at which the tick of this second is to start."""
        if not self.jitter:
            return second * SECOND
        room = self.jitter * SECOND
        for later in range(second + 1, second + self.jitter + 1):
            if self.ticks(later):
                room = min(room, (later - second) * SECOND)
                break
        if self.end is not None:
            room = min(room, (self.end - second) * SECOND)
        moment = datetime.fromtimestamp(second, UTC)
        seed = f"{self.name}\n{moment.isoformat()}".encode()
        return second * SECOND + (int.from_bytes(hashlib.sha256(seed).digest()[:8]) * max(room, 0) >> 64)

    def yaml(self) -> str:
        """The schedule as the file says it."""
        spider = "report" if self.when[0] == "after" else "prices"
        facts = {"spider": spider, **self._when(), **self._bounds()}
        facts |= {"queue": self.queue, "priority": str(self.priority)}
        facts |= {"overlap": self.overlap, "enabled": str(self.enabled).lower()}
        facts |= {} if self.instances is None else {"max_instances": str(self.instances)}
        facts |= {} if self.timeout is None else {"timeout": f"{self.timeout / SECOND}s"}
        facts |= {} if self.runs is None else {"max_runs": str(self.runs)}
        facts |= {} if self.failures is None else {"pause_on_failure": str(self.failures)}
        facts |= {"run_on_start": "true"} if self.on_start else {}
        facts |= {"catchup": self.catchup, "catchup_window": f"{self.window}s", "max_catchup": str(self.most)}
        if self.retries:
            facts["retry"] = f"{{max_retries: {self.retries}, delay: {RETRY_DELAY / SECOND}s, backoff: 2}}"
        return f"  {self.name}: {{{', '.join(f'{key}: {value}' for key, value in facts.items())}}}\n"

    def _when(self) -> dict[str, str]:
        match self.when:
            case ("interval", every, None):
                return {"interval": f"{every}s"}
            case ("interval", every, anchor):
                return {"interval": f"{every}s", "anchor": _text(anchor)}
            case ("once", second):
                return {"at": _text(second)}
            case ("hand",):
                return {}
            case ("after", names, states):
                return {"after": f"[{', '.join(names)}]", "after_state": f"[{', '.join(states)}]"}
            case (kind, n):
                return {"cron": _cron(kind, n)}
        raise AssertionError(self.when)

    def _bounds(self) -> dict[str, str]:
        facts = {"start_time": _text(self.start)} if self.start is not None else {}
        facts |= {"end_time": _text(self.end)} if self.end is not None else {}
        facts |= {"jitter": f"{self.jitter}s"} if self.jitter else {}
        match self.without:
            case ("seconds", first, last):
                facts["exclude"] = f'"{first}-{last} * * * * *"'
            case ("minutes", n):
                facts["exclude"] = _cron("minutes", n)
        return facts


def _clock(second: int, kind: str, n: int) -> bool:
    return second % 60 % n == 0 if kind == "seconds" else second % 60 == 0 and second // 60 % 60 % n == 0


def _cron(kind: str, n: int) -> str:
    return f'"*/{n} * * * * *"' if kind == "seconds" else f'"*/{n} * * * *"'


def _text(second: int) -> str:
    return f'"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"'


def fate(name: str, nominal: int, attempt: int) -> tuple[int, bool]:
    """How long this attempt's crawl takes, and whether it fails: chance, but always the same.

    :param nominal: 0 for a run by hand.
    """
    number = int.from_bytes(hashlib.sha256(f"{name} {nominal} {attempt}".encode()).digest()[:4])
    return LENGTHS[number % len(LENGTHS)], number // 8 % 3 == 0


def microseconds(moment: datetime) -> int:
    """A moment as the oracle counts."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
