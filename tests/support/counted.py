"""A trigger that counts how often it is asked, for tests of what a rule costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reactorhub.triggers.rules import Trigger


@dataclass(frozen=True)
class Counted:
    """A trigger that counts how often it is asked."""

    inner: Trigger
    calls: list[datetime] = field(default_factory=list, compare=False)
    kind: str = "cron"
    text: str = "counted"
    timezone: str | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        """Ask the trigger inside."""
        self.calls.append(moment)
        return self.inner.next_after(moment)
