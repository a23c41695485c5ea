"""The limits that override the schedule file: who set each of them, and when. Who spoke last wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reactorhub.policies.limits import MOST, OF_QUEUE, Limits

API = "api"
REDIS = "redis"
_IN_REDIS = "in_redis"


@dataclass(frozen=True, slots=True)
class SetLimit:
    """A limit that overrides the file. ``source`` is ``api`` or ``redis``; ``since`` a time as text."""

    value: int
    source: str
    since: str | None

    def view(self) -> dict[str, Any]:
        """Return the limit as JSON values."""
        return {"value": self.value, "from": self.source, "since": self.since}


@dataclass(frozen=True, slots=True)
class IgnoredLimit:
    """A limit in Redis that makes no sense, and why."""

    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class LimitOverrides:
    """The limits that override the file, by name, and the words of Redis that are known already.

    A word of Redis counts when it is new. So an order by API holds although Redis still has its older word.
    ``in_redis`` has None for a word that made no sense.
    """

    limits: Mapping[str, SetLimit] = field(default_factory=dict)
    in_redis: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def values(self) -> Mapping[str, int]:
        """The limits alone, by name."""
        return {name: limit.value for name, limit in self.limits.items()}

    def ordered(self, wanted: Mapping[str, Any], since: str) -> LimitOverrides:
        """Return these with what an order by API wants. None takes a limit back, whoever has set it."""
        limits = dict(self.limits)
        if wanted.get("queues", {}) is None:
            limits = {name: limit for name, limit in limits.items() if not name.startswith(OF_QUEUE)}
        for name, value in flat(wanted).items():
            limits.pop(name, None)
            if value is not None:
                limits[name] = SetLimit(value, API, since)
        return replace(self, limits=limits)

    def heard(
        self, words: Mapping[str, str], file: Limits, since: str, *, data_lost: bool
    ) -> tuple[LimitOverrides, list[IgnoredLimit]]:
        """Return these with what Redis says now, and its words that make no sense, which change nothing.

        :param words: the whole hash in Redis. A word that is gone takes back what Redis has set.
        :param data_lost: whether Redis has lost its data. Then words that are gone take nothing back.
        """
        limits, known, ignored = dict(self.limits), dict[str, str | None](), list[IgnoredLimit]()
        for name, word in words.items():
            try:
                value = file.read(name, word)
            except ValueError as error:
                ignored.append(IgnoredLimit(name, word, str(error)))
                known[name] = None
                continue
            known[name] = word
            if word != self.in_redis.get(name):
                limits[name] = SetLimit(value, REDIS, since)
        for name in self.in_redis.keys() - words.keys():
            if not data_lost and name in limits and limits[name].source == REDIS:
                del limits[name]
        return LimitOverrides(limits, known), ignored

    def view(self) -> dict[str, Any]:
        """Return the limits as JSON values; nothing where the file alone holds."""
        queues = {
            name.removeprefix(OF_QUEUE): limit.view() for name, limit in self.limits.items() if name != MOST
        }
        most = {MOST: self.limits[MOST].view()} if MOST in self.limits else {}
        return {**most, "queues": queues} if self.limits else {}

    def stored(self) -> dict[str, Any] | None:
        """Return these as the ledger keeps them; None if there is nothing to keep."""
        words = {_IN_REDIS: dict(self.in_redis)} if self.in_redis else {}
        return {**self.view(), **words} or None


def read_overrides(stored: Mapping[str, Any] | None) -> LimitOverrides:
    """Return what :meth:`LimitOverrides.stored` returned. Older hubs kept numbers, which an order had set."""
    limits = {
        name: SetLimit(kept["value"], kept["from"], kept["since"])
        if isinstance(kept, Mapping)
        else SetLimit(kept, API, None)
        for name, kept in flat(stored or {}).items()
    }
    return LimitOverrides(limits, (stored or {}).get(_IN_REDIS, {}))


def flat(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return limits by name: ``{"queues": {"heavy": 1}}`` becomes ``{"queues.heavy": 1}``."""
    most = {MOST: wanted[MOST]} if MOST in wanted else {}
    queues = wanted.get("queues") or {}
    return {**most, **{OF_QUEUE + name: limit for name, limit in queues.items()}}
