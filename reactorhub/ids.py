"""Run and event ids: UUIDv7 (RFC 9562, section 5.7), sortable by time and safe in paths."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from os import urandom
from uuid import UUID

_SEQUENCE_BITS = 12
_SEQUENCE_MASK = (1 << _SEQUENCE_BITS) - 1
_RANDOM_BITS = 62


class IdMaker:
    """Makes ids that only ever grow, also within one millisecond and when the wall clock steps back.

    The 12 bits after the timestamp count up within a millisecond (RFC 9562, section 6.2, method 1); when
    they run over, the timestamp borrows from the future.
    """

    def __init__(self, now: Callable[[], datetime], random: Callable[[int], bytes] = urandom) -> None:
        self._now = now
        self._random = random
        self._last = 0

    def __call__(self) -> str:
        """Return the next id in its canonical lower-case form."""
        milliseconds = int(self._now().timestamp() * 1000)
        self._last = max(self._last + 1, milliseconds << _SEQUENCE_BITS)
        timestamp, sequence = self._last >> _SEQUENCE_BITS, self._last & _SEQUENCE_MASK
        random = int.from_bytes(self._random(8), "big") & ((1 << _RANDOM_BITS) - 1)
        value = timestamp << 80 | 0x7 << 76 | sequence << 64 | 0b10 << _RANDOM_BITS | random
        return str(UUID(int=value))
