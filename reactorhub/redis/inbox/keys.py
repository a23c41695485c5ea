"""The keys of the inbox and of the limits, and how entries are written there. Pure, no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

RESERVED = frozenset({"dead", "ids", "hubs"})
"""Names of hubs that cannot have an inbox of their own, because its key would be another one's."""


@dataclass(frozen=True, slots=True)
class InboxKeys:
    """The keys under ``prefix`` that a hub called ``hub`` uses.

    ``folder_id`` tells hubs apart that have one name, one after the other or by mistake at the same time.
    What the hub on one data folder has taken, only a hub on that folder can finish.
    """

    prefix: str
    hub: str
    folder_id: str = ""

    @property
    def me(self) -> str:
        """Who claims ids: the hub on this data folder."""
        return f"{self.hub}/{self.folder_id}"

    @property
    def inbox(self) -> str:
        """The list that any hub reads."""
        return f"{self.prefix}inbox"

    @property
    def own(self) -> str:
        """The list that only this hub reads; the common one if its name is reserved."""
        return self.inbox if self.hub in RESERVED else f"{self.inbox}:{self.hub}"

    @property
    def dead(self) -> str:
        """The stream of entries that cannot become a run."""
        return f"{self.inbox}:dead"

    @property
    def ids(self) -> str:
        """The hash of claims: which hub, and once that is confirmed which run, belongs to an id."""
        return f"{self.inbox}:ids"

    @property
    def times(self) -> str:
        """The sorted set of claims by age."""
        return f"{self.inbox}:ids:times"

    @property
    def hubs(self) -> str:
        """The hash of who reads the inbox: when each was last seen, and its spiders."""
        return f"{self.inbox}:hubs"

    @property
    def limits(self) -> str:
        """The hash of limits for all hubs."""
        return f"{self.prefix}limits"

    @property
    def own_limits(self) -> str:
        """The hash of limits for this hub, which win over those for all."""
        return f"{self.prefix}limits:{self.hub}"

    def taken(self, who: str) -> str:
        """The list of entries that somebody has taken and not confirmed."""
        return f"{self.inbox}:taken:{who}"


@dataclass(frozen=True, slots=True)
class Taken:
    """An entry that a hub has taken: where it came from, its id, and its text.

    ``record`` is the element of the hub's list of taken entries.
    """

    source: str
    id: str
    entry: bytes

    @property
    def record(self) -> bytes:
        """The element that stands for this entry in the list of taken ones."""
        return json.dumps([self.source, self.id, self.entry.decode()]).encode()


def read_taken(record: bytes) -> Taken:
    """Return the entry that a record stands for.

    :raises ValueError: if no hub has written the record.
    """
    try:
        source, entry_id, entry = json.loads(record)
        if not (isinstance(source, str) and isinstance(entry_id, str)):
            raise TypeError("a list and an id must be texts")
        return Taken(source, entry_id, entry.encode())
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"not a record of the inbox: {error}") from None


def hub_text(seconds: int, spiders: tuple[str, ...]) -> str:
    """Return what the hash of hubs says of one: when it was seen, and its spiders."""
    return f"{seconds} {json.dumps(spiders)}"


def hubs_with(hubs: Mapping[str, bytes], spider: str, since: int) -> list[str]:
    """Return those who were seen since then and have a spider of this name."""
    found = []
    for name, text in hubs.items():
        seen, _, spiders = text.partition(b" ")
        if seen.isdigit() and int(seen) >= since and spider in _names(spiders):
            found.append(name)
    return found


def _names(text: bytes) -> list[str]:
    try:
        names = json.loads(text)
    except ValueError:
        return []
    return names if isinstance(names, list) else []
