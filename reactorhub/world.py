"""What every run's life works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from twisted.internet.interfaces import IReactorTime

from reactorhub.boundaries import Engine, Ledger
from reactorhub.model import Run
from reactorhub.slots import Slots


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What every life works with."""

    clock: IReactorTime
    now: Callable[[], datetime]
    ledger: Ledger
    engine: Engine
    slots: Slots
    changed: Callable[[Run], None]
    """Told of each state a run has reached, once it is on disk."""
