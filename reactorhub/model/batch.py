"""Runs that were submitted together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Runs that were submitted together. The batch is done at ``finished_at``, when its last run is final.

    ``on_complete`` is the order for the run to start then, as JSON values. ``completion`` is the id of that
    run.
    """

    id: str
    created_at: datetime
    on_complete: Mapping[str, Any] = field(default_factory=dict)
    finished_at: datetime | None = None
    completion: str | None = None
