"""Run and event ids: UUIDv7 (RFC 9562, section 5.7), sortable by time and safe in paths."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from os import urandom

_SEQUENCE_BITS = 12
_SEQUENCE_MASK = (1 << _SEQUENCE_BITS) - 1
_RANDOM_BITS = 62
_RANDOM_BYTES = 8  # of each id
_AT_ONCE = 64  # ids for which chance is asked together: asking lets other threads go first


class IdMaker:
    """Makes ids that always grow, even within one millisecond and if the wall clock steps back.

    The 12 bits after the timestamp count up within a millisecond (RFC 9562, section 6.2, method 1); when
    they overflow, the timestamp moves one millisecond ahead of the clock.
    """

    def __init__(self, now: Callable[[], datetime], random: Callable[[int], bytes] = urandom) -> None:
        self._now = now
        self._random = random
        self._chance = b""
        self._last = 0

    def __call__(self) -> str:
        """Return the next id in its canonical lower-case form."""
        milliseconds = int(self._now().timestamp() * 1000)
        self._last = max(self._last + 1, milliseconds << _SEQUENCE_BITS)
        timestamp, sequence = self._last >> _SEQUENCE_BITS, self._last & _SEQUENCE_MASK
        value = timestamp << 80 | 0x7 << 76 | sequence << 64 | 0b10 << _RANDOM_BITS | self._next_random()
        text = f"{value:032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def _next_random(self) -> int:
        """Return random bits that no other id has used."""
        if not self._chance:
            self._chance = self._random(_AT_ONCE * _RANDOM_BYTES)
        taken, self._chance = self._chance[:_RANDOM_BYTES], self._chance[_RANDOM_BYTES:]
        return int.from_bytes(taken, "big") & ((1 << _RANDOM_BITS) - 1)
