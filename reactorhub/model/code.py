"""Which version of a project's code is in force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class CodeReload(str, Enum):
    """When changed code of a project is loaded."""

    MANUAL = "manual"  # on request
    AUTO = "auto"  # when its files have changed, too


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectCode:
    """The version of a project's code that is in force.

    ``changed_at`` is when its files were changed since they were loaded, None if they were not. ``error``
    says what of the newest version that was tried cannot be imported.
    """

    name: str
    loaded_at: datetime
    changed_at: datetime | None = None
    error: str | None = None

    @property
    def stale(self) -> bool:
        """Whether the files hold another version."""
        return self.changed_at is not None
