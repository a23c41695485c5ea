"""Runs that were ordered together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Runs that were ordered together. It is done at ``finished_at``, when the last of them is final.

    ``on_complete`` is what its requester wants then, as JSON values; ``completion`` the id of the run that
    came of it.
    """

    id: str
    created_at: datetime
    on_complete: Mapping[str, Any] = field(default_factory=dict)
    finished_at: datetime | None = None
    completion: str | None = None
